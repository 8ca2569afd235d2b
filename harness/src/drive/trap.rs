//! The stray-traffic trap: a proxy that every client is pointed at and that lets nothing out.
//!
//! A request that arrives here was not meant for the mock: it is answered 403 and put on record. What
//! goes to this machine is passed on (the mock itself, reached by a client that overlooks `NO_PROXY`),
//! and so is what the user allowed.
//!
//! **Invariant:** no byte leaves this machine through here, except to a host that the user allowed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use brownout_provider::event::{Event, EventKind, Sink, StrayRequest};
use brownout_provider::shell::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The longest head that is read.
const LONGEST_HEAD: usize = 32 * 1024;

/// How long a client may take to send its head.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How long the trap listens on after its answer, so that a client that is still sending reads it.
const LINGER: Duration = Duration::from_secs(2);

/// How much of a body is read and thrown away in that time.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// How long accepting pauses when the machine refuses it for a while.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Which hosts are known, and which may be reached.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Hosts of the real APIs: a client that calls one has overlooked the mock.
    pub named: Vec<String>,
    /// Hosts that the user lets through.
    pub allowed: Vec<String>,
}

/// A trap that listens. Dropping it closes everything.
#[derive(Debug)]
pub struct Trap {
    addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Trap {
    /// Opens the trap on any free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn open(hosts: Hosts, clock: Clock, sink: Arc<dyn Sink>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let watch = Arc::new(Watch { hosts, clock, sink });
        let accepting = tokio::spawn(accept(listener, watch));
        Ok(Self { addr, accepting })
    }

    /// Its URL, for the proxy variables.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Watch {
    hosts: Hosts,
    clock: Clock,
    sink: Arc<dyn Sink>,
}

/// Takes connections; those that are open end with this task.
async fn accept(listener: TcpListener, watch: Arc<Watch>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    open.spawn(serve(stream, Arc::clone(&watch)));
                }
                Err(_) => watch.clock.sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = open.join_next() => {}
        }
    }
}

async fn serve(mut stream: TcpStream, watch: Arc<Watch>) {
    let head = watch.clock.within(HEAD_WITHIN, read_head(&mut stream)).await;
    let Some(Ok((head, rest))) = head else { return };
    let result = match Ask::parse(&head) {
        None => {
            answer(&mut stream, &watch.clock, "400 Bad Request", "brownout: this is no HTTP").await
        }
        Some(ask) => watch.serve(&mut stream, &ask, &rest).await,
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a client of the trap was gone before its answer");
    }
}

/// Reads up to the empty line; what came after it is handed over as well.
async fn read_head(stream: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::new();
    while bytes.len() < LONGEST_HEAD {
        if stream.read_buf(&mut bytes).await? == 0 {
            break;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((bytes, rest));
        }
    }
    Err(io::Error::from(io::ErrorKind::InvalidData))
}

impl Watch {
    async fn serve(&self, stream: &mut TcpStream, ask: &Ask, rest: &[u8]) -> io::Result<()> {
        if ask.is_local() {
            return forward(stream, ask, rest).await;
        }
        let is = |list: &[String]| list.iter().any(|one| one.eq_ignore_ascii_case(&ask.host));
        let allowed = is(&self.hosts.allowed);
        let stray = EventKind::StrayRequest(StrayRequest {
            host: ask.host.clone(),
            port: ask.port,
            named: is(&self.hosts.named),
            allowed,
        });
        self.sink.record(vec![Event::new(self.clock.now_us(), stray)]);
        if allowed {
            return forward(stream, ask, rest).await;
        }
        let host = &ask.host;
        let words = format!(
            "brownout: `{host}` is not the mock, so this request was stopped; point the client at BROWNOUT_URL, or let the host through with `--allow-network {host}`\n"
        );
        answer(stream, &self.clock, "403 Forbidden", &words).await
    }
}

/// Connects to the host and passes everything on, both ways.
async fn forward(stream: &mut TcpStream, ask: &Ask, rest: &[u8]) -> io::Result<()> {
    let Ok(mut host) = TcpStream::connect((ask.host.as_str(), ask.port)).await else {
        stream
            .write_all(
                b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            )
            .await?;
        return stream.shutdown().await;
    };
    match &ask.head {
        None => stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
        Some(head) => host.write_all(head.as_bytes()).await?,
    }
    host.write_all(rest).await?;
    copy_bidirectional(stream, &mut host).await?;
    Ok(())
}

/// Answers and closes, without cutting off a client that is still sending.
async fn answer(
    stream: &mut TcpStream,
    clock: &Clock,
    status: &str,
    words: &str,
) -> io::Result<()> {
    let length = words.len();
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{words}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await?;
    let mut buffer = vec![0; 64 * 1024];
    let linger = async {
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut buffer).await {
                Ok(length) if length > 0 => left = left.saturating_sub(length),
                _ => break,
            }
        }
    };
    clock.within(LINGER, linger).await;
    Ok(())
}

/// What a client asks a proxy for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ask {
    host: String,
    port: u16,
    /// The head to pass on; `None` for a tunnel.
    head: Option<String>,
}

impl Ask {
    /// Reads a head: `CONNECT host:port`, `GET http://host/path`, or a plain request, whose host is in
    /// its `Host` field.
    fn parse(head: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(head).ok()?;
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if !version.starts_with("HTTP/") {
            return None;
        }
        if method == "CONNECT" {
            let (host, port) = split_host(target, 443)?;
            return Some(Self { host, port, head: None });
        }
        let fields: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
        let value = |name: &str| {
            fields.iter().find_map(|line| {
                let (field, value) = line.split_once(':')?;
                field.trim().eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let (authority, path, default) = match target.split_once("://") {
            Some((scheme, rest)) => {
                let cut = rest.find(['/', '?']).unwrap_or(rest.len());
                let default = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
                (&rest[..cut], &rest[cut..], default)
            }
            None => (value("host")?, target, 80),
        };
        let (host, port) = split_host(authority, default)?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut head = format!("{method} {slash}{path} {version}\r\n");
        for line in &fields {
            let name = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
            if !name.starts_with("proxy-") && name != "connection" {
                head.push_str(line);
                head.push_str("\r\n");
            }
        }
        // One request a connection: the next one may be for another host.
        head.push_str("connection: close\r\n\r\n");
        Some(Self { host, port, head: Some(head) })
    }

    /// True for this machine, which no proxy stands before.
    fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// Splits `user@host:port` or `[v6]:port`; the host in lower case and without its last dot.
fn split_host(authority: &str, default: u16) -> Option<(String, u16)> {
    let authority = authority.rsplit('@').next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        None | Some("") => default,
        Some(port) => port.parse().ok()?,
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<StrayRequest>>);

    impl Sink for Kept {
        fn record(&self, events: Vec<Event>) {
            let mut kept = self.0.lock().expect("no holder panics");
            for event in events {
                if let EventKind::StrayRequest(stray) = event.kind {
                    kept.push(stray);
                }
            }
        }
    }

    fn host(head: &str) -> Option<(String, u16, bool)> {
        let ask = Ask::parse(head.as_bytes())?;
        Some((ask.host, ask.port, ask.head.is_none()))
    }

    #[test]
    fn every_form_of_a_request_names_its_host() {
        let table = [
            ("CONNECT api.stripe.com:443 HTTP/1.1\r\n\r\n", Some(("api.stripe.com", 443, true))),
            (
                "GET http://API.Stripe.com./v1?a=b HTTP/1.1\r\n\r\n",
                Some(("api.stripe.com", 80, false)),
            ),
            ("POST http://u:p@host:8080 HTTP/1.1\r\n\r\n", Some(("host", 8080, false))),
            ("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", Some(("example.com", 80, false))),
            ("CONNECT [::1]:8443 HTTP/1.1\r\n\r\n", Some(("::1", 8443, true))),
            ("GET / HTTP/1.1\r\n\r\n", None),
            ("\u{16}\u{3}\u{1}\r\n\r\n", None),
            ("CONNECT host:99999 HTTP/1.1\r\n\r\n", None),
        ];
        for (head, expected) in table {
            let expected = expected.map(|(name, port, tunnel)| (name.to_owned(), port, tunnel));
            assert_eq!(host(head), expected, "{head}");
        }
    }

    #[test]
    fn a_passed_on_head_has_a_path_and_no_words_for_proxies() {
        let ask = Ask::parse(
            b"GET http://h/p?q HTTP/1.1\r\nHost: h\r\nProxy-Connection: keep-alive\r\nA: b\r\n\r\n",
        );
        assert_eq!(
            ask.expect("a request").head.expect("no tunnel"),
            "GET /p?q HTTP/1.1\r\nHost: h\r\nA: b\r\nconnection: close\r\n\r\n"
        );
    }

    async fn ask(trap: &Trap, text: &str) -> String {
        let mut stream = TcpStream::connect(trap.addr).await.expect("it listens");
        stream.write_all(text.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers and closes");
        answer
    }

    #[tokio::test]
    async fn a_stray_request_is_refused_and_recorded() {
        let kept = Arc::new(Kept::default());
        let hosts = Hosts { named: vec!["api.stripe.com".to_owned()], allowed: Vec::new() };
        let sink: Arc<dyn Sink> = Arc::<Kept>::clone(&kept);
        let trap = Trap::open(hosts, Clock::real(), sink).await.expect("a port");
        let answer = ask(&trap, "CONNECT api.stripe.com:443 HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        assert!(answer.contains("--allow-network api.stripe.com"), "{answer}");
        ask(&trap, "GET http://example.com/ HTTP/1.1\r\n\r\n").await;
        assert!(ask(&trap, "nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
        let strays = kept.0.lock().expect("no holder panics").clone();
        let seen: Vec<_> =
            strays.iter().map(|s| (s.host.as_str(), s.port, s.named, s.allowed)).collect();
        assert_eq!(seen, [("api.stripe.com", 443, true, false), ("example.com", 80, false, false)]);
    }

    #[tokio::test]
    async fn this_machine_is_reached_through_it_without_a_record() {
        let kept = Arc::new(Kept::default());
        let sink: Arc<dyn Sink> = Arc::<Kept>::clone(&kept);
        let trap = Trap::open(Hosts::default(), Clock::real(), sink).await.expect("a port");
        let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let addr = host.local_addr().expect("it listens");
        let serving = tokio::spawn(async move {
            let (mut stream, _) = host.accept().await.expect("a connection");
            let (head, _) = read_head(&mut stream).await.expect("a head");
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("it reads");
            String::from_utf8(head).expect("text")
        });
        let text = format!("GET http://{addr}/x HTTP/1.1\r\nHost: {addr}\r\n\r\n");
        assert!(ask(&trap, &text).await.starts_with("HTTP/1.1 204 "));
        assert!(serving.await.expect("it ends").starts_with("GET /x HTTP/1.1\r\n"));
        assert!(kept.0.lock().expect("no holder panics").is_empty());
    }
}
