//! TLS: certificates made at start-up, good ones and bad ones, and the handshake.
//!
//! Knows nothing of rules: it is told how to greet. **Invariant:** keys live in memory alone, and the
//! authority that clients are told to trust has signed nothing but certificates for this machine and for
//! hosts that cannot exist.

use std::fmt;
use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;

use crate::base64;
use crate::fault::Greeting;
use crate::shell::stream::Accepted;

/// The names of this machine.
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A name that no machine has.
const ELSEWHERE: &str = "elsewhere.invalid";

/// Why no certificates could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificates themselves.
    #[error("a certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// Their use.
    #[error("a certificate could not be used")]
    Config(#[from] rustls::Error),
}

/// Which versions of HTTP a provider offers over TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offers {
    /// HTTP/1.1 alone.
    #[default]
    Http1,
    /// HTTP/2, and HTTP/1.1 to those who do not speak it.
    Http2,
}

/// An authority, and a provider's certificates: those that it should show, and those that it should not.
pub struct Authority {
    pem: String,
    good: TlsAcceptor,
    expired: TlsAcceptor,
    wrong_host: TlsAcceptor,
    untrusted: TlsAcceptor,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

impl Authority {
    /// A new one, which nobody trusts yet.
    ///
    /// # Errors
    /// If the machine has no randomness for keys.
    pub fn new(offers: Offers) -> Result<Self, TlsError> {
        let (own, stranger) = (issuer("brownout")?, issuer("somebody else")?);
        let key = KeyPair::generate()?;
        Ok(Self {
            pem: pem(own.der()),
            good: acceptor((&own, &key, offers), &HERE, 2120)?,
            expired: acceptor((&own, &key, offers), &HERE, 2021)?,
            wrong_host: acceptor((&own, &key, offers), &[ELSEWHERE], 2120)?,
            untrusted: acceptor((&stranger, &key, offers), &HERE, 2120)?,
        })
    }

    /// The certificate that clients have to trust, as PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Shakes hands with whoever has connected.
    pub(super) async fn greet(
        &self,
        mut stream: Accepted,
        greeting: Option<Greeting>,
    ) -> io::Result<Accepted> {
        let acceptor = match greeting {
            None => &self.good,
            Some(Greeting::Expired) => &self.expired,
            Some(Greeting::WrongHost) => &self.wrong_host,
            Some(Greeting::Untrusted) => &self.untrusted,
            Some(Greeting::Reset) => {
                // The client has begun by then.
                let _first = stream.read_u8().await?;
                stream.reset()?;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        };
        let stream = acceptor.accept(stream).await?;
        Ok(Accepted::Tls(Box::new(stream)))
    }
}

/// A certificate as programs read it: base64 in lines of 64 characters (RFC 7468).
fn pem(certificate: &[u8]) -> String {
    let text = base64::encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

fn issuer(name: &str) -> Result<Issuer, TlsError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, format!("{name}, for tests only"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    Ok(Issuer::self_signed(params, KeyPair::generate()?)?)
}

/// A server that shows a certificate for these names, valid from 2020 to that year.
fn acceptor(
    (issuer, key, offers): (&Issuer, &KeyPair, Offers),
    names: &[&str],
    until: i32,
) -> Result<TlsAcceptor, TlsError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "the mock provider");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let certificate = params.signed_by(key, issuer)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    config.alpn_protocols = match offers {
        Offers::Http1 => vec![b"http/1.1".to_vec()],
        Offers::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    // A session that is taken up again shows no certificate.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(TlsAcceptor::from(Arc::new(config)))
}
