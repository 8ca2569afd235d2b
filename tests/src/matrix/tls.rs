//! The faults of the handshake, met by stacks that verify.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::rows;
use super::stacks::by_programs;
use crate::wire::stage::Stage;

/// The stacks, in the order of the report.
const STACKS: [&str; 5] = ["hyper", "http.client", "requests", "httpx", "fetch"];

/// A client that trusts this authority, and verifies.
pub(crate) fn connector(pem: &str) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.expect("a certificate")).expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("known versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn by_hyper(stage: &Stage) -> String {
    let pem = stage.server.authority().expect("it speaks TLS");
    let stream = TcpStream::connect(stage.server.addr()).await.expect("it listens");
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    let stream = match connector(pem).connect(name, stream).await {
        Ok(stream) => TokioIo::new(stream),
        Err(error) => {
            let inner = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
            return match inner {
                Some(rustls::Error::InvalidCertificate(why)) => {
                    let why = format!("{why:?}");
                    why.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
                }
                _ => format!("{:?}", error.kind()),
            };
        }
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.expect("it is open");
    tokio::spawn(connection);
    let body = r#"{"amount":1999,"currency":"usd","order":"order-1"}"#;
    let request = http::Request::post("/~op-0001.1/v1/charges")
        .header("host", "127.0.0.1")
        .header("authorization", "Bearer sk")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .expect("a right request");
    let answer = sender.send_request(request).await.expect("it is answered");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("it is whole").to_bytes();
    let is_charge = body.starts_with(br#"{"id":"ch_"#);
    format!("{status}, {}", if is_charge { "the charge" } else { "another object" })
}

#[tokio::test]
async fn handshakes() {
    let mut stages = vec![("a good one", Stage::over_tls(None).await)];
    for row in rows::TLS {
        stages.push((row.inject, Stage::over_tls(Some(row.inject)).await));
    }
    let trusted = tempfile::NamedTempFile::new().expect("a temporary file");
    let all: String =
        stages.iter().map(|(_, stage)| stage.server.authority().expect("TLS")).collect();
    std::fs::write(trusted.path(), all).expect("it can be written");
    let providers: Vec<String> =
        stages.iter().map(|(_, stage)| format!("https://{}", stage.server.addr())).collect();
    let path = trusted.path().to_owned();
    let others = tokio::task::spawn_blocking(move || by_programs(&providers, Some(&path)));
    let mut said = Vec::new();
    for (row, (_, stage)) in stages.iter().enumerate() {
        said.push((row, "hyper".to_owned(), by_hyper(stage).await));
    }
    said.extend(others.await.expect("the programs end"));
    let mut text = String::new();
    for (row, (name, stage)) in stages.iter().enumerate() {
        let charges = stage.effects().await.len();
        writeln!(text, "{name} ({charges} charges)").expect("text takes everything");
        for stack in STACKS {
            let found = said.iter().find(|one| one.0 == row && one.1 == stack);
            let said = &found.expect("each says something").2;
            writeln!(text, "  {stack:<12} {said}").expect("text takes everything");
        }
    }
    insta::assert_snapshot!("tls", text);
}
