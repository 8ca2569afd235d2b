//! Where a service listens: read from a URL, or a free port of this machine.
//!
//! **Invariant:** a place is plain HTTP on one host and port; whoever has one can connect.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Mutex;

use brownout_provider::shell::lock::lock;
use http::Uri;

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The host: a name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What stands before every path, without a slash at its end; mostly nothing.
    pub base: String,
}

/// Why a text is no place of a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// It is no address at all.
    #[error("`{0}` is no address of a service; write it as `http://127.0.0.1:9000`")]
    Address(String),
    /// It asks for TLS.
    #[error(
        "`{0}` is HTTPS, which is not spoken to services; let it listen for plain HTTP on this machine as well"
    )]
    Tls(String),
    /// It has a query.
    #[error("`{0}` has a query; write the address alone, and queries in the `path` of the request")]
    Query(String),
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let no_address = || NoPlace::Address(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| no_address())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(NoPlace::Tls(text.to_owned())),
            _ => return Err(no_address()),
        }
        if uri.query().is_some() {
            return Err(NoPlace::Query(text.to_owned()));
        }
        let authority = uri.authority().ok_or_else(no_address)?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(no_address());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = match authority.port() {
            Some(port) => port.as_str().parse().map_err(|_| no_address())?,
            None => 80,
        };
        Ok(Self { host, port, base: uri.path().trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.base)
    }
}

/// The ports that this process has handed out, so that no two services get the same.
static HANDED_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

impl Place {
    /// A port of this machine that nobody listens at.
    ///
    /// # Errors
    ///
    /// When none can be had.
    pub fn free() -> io::Result<Self> {
        for _ in 0..1_000 {
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let port = listener.local_addr()?.port();
            let mut handed_out = lock(&HANDED_OUT);
            // Whoever runs thousands of services comes round to the first ports again.
            if handed_out.len() > 4_000 {
                handed_out.clear();
            }
            if handed_out.insert(port) {
                // Some services listen at `::1` alone, and a name is tried at both addresses.
                return Ok(Self { host: "localhost".to_owned(), port, base: String::new() });
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// Host and port as a URL has them.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// True if somebody listens there.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.is_loopback() && std::net::TcpStream::connect((&*self.host, self.port)).is_ok()
    }

    /// True for a host of this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        address.map_or(self.host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_a_plain_url() {
        let place = |text: &str| text.parse::<Place>();
        let at = |host: &str, port, base: &str| Place {
            host: host.to_owned(),
            port,
            base: base.to_owned(),
        };
        assert_eq!(place("http://127.0.0.1:9000"), Ok(at("127.0.0.1", 9000, "")));
        assert_eq!(place("http://localhost/shop/"), Ok(at("localhost", 80, "/shop")));
        assert_eq!(place("http://[::1]:9000/"), Ok(at("::1", 9000, "")));
        assert_eq!(at("::1", 9000, "/a").to_string(), "http://[::1]:9000/a");
        for wrong in ["", "127.0.0.1:9000", "ftp://a", "http://", "http://u:p@a", "/orders"] {
            assert_eq!(place(wrong), Err(NoPlace::Address(wrong.to_owned())), "{wrong}");
        }
        assert!(matches!(place("https://a"), Err(NoPlace::Tls(_))));
        assert!(matches!(place("http://a/?b=c"), Err(NoPlace::Query(_))));
    }

    #[test]
    fn this_machine_is_known_by_address_and_by_name() {
        for (text, expected) in [
            ("http://127.0.0.2:1", true),
            ("http://[::1]:1", true),
            ("http://LocalHost:1", true),
            ("http://10.0.0.1:1", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(text.parse::<Place>().expect("a place").is_loopback(), expected, "{text}");
        }
    }

    #[test]
    fn no_port_is_handed_out_twice() {
        let ports: BTreeSet<u16> =
            (0..20).map(|_| Place::free().expect("a port is free").port).collect();
        assert_eq!(ports.len(), 20);
    }
}
