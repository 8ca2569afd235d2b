//! Providers over TLS: what a client sees of certificates, and that the wire's faults are the same inside.

use brownout_provider::event::{EventKind, Side};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stage::{Stage, charge};
use crate::matrix::connector;

type Secure = tokio_rustls::client::TlsStream<TcpStream>;

async fn connect(stage: &Stage) -> std::io::Result<Secure> {
    let stream = TcpStream::connect(stage.server.addr()).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    connector(stage.server.authority().expect("TLS")).connect(name, stream).await
}

async fn ask(stage: &Stage) -> (String, std::io::Result<()>) {
    let mut stream = connect(stage).await.expect("a good certificate");
    stream.write_all(charge("op-0001", "Connection: close\r\n").as_bytes()).await.expect("taken");
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).await.map(|_| ());
    (String::from_utf8(bytes).expect("answers are UTF-8"), ended)
}

#[tokio::test]
async fn a_charge_goes_through_and_the_close_is_said() {
    let stage = Stage::over_tls(None).await;
    let (answer, ended) = ask(&stage).await;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    ended.expect("TLS says that this is all");
    assert_eq!(stage.effects().await.len(), 1);
    assert!(stage.responses().await[0].complete);
}

#[tokio::test]
async fn the_wires_faults_are_the_same_inside() {
    for (inject, begins, is_reset) in [
        ("close: {at: after_commit}", "", false),
        ("reset: {at: after_commit}", "", true),
        ("truncate: {after_bytes: 20, then: rst}", "HTTP/1.1 201 ", true),
        ("clean_cut", "HTTP/1.1 201 ", false),
        ("garbage: {at: after_commit}", "220 mail", false),
        ("wrong_content_length: {delta: 5, then: fin}", "HTTP/1.1 201 ", false),
    ] {
        let stage = Stage::secure(inject).await;
        let (answer, ended) = ask(&stage).await;
        assert!(answer.starts_with(begins) && answer.is_empty() == begins.is_empty(), "{answer}");
        assert_eq!(ended.is_err(), is_reset, "{inject}: {ended:?}");
        assert_eq!(stage.effects().await.len(), 1, "{inject}");
    }
}

#[tokio::test]
async fn a_handshake_that_fails_is_on_record_and_nothing_is_done() {
    for inject in ["expired_certificate", "wrong_host", "untrusted", "handshake_reset"] {
        let stage = Stage::over_tls(Some(inject)).await;
        let refused = connect(&stage).await;
        assert!(refused.is_err(), "{inject}");
        // A client that knows nothing of TLS is no better off.
        let mut plain = stage.connect().await;
        plain.charge().await;
        let mut bytes = Vec::new();
        let _ = plain.stream.read_to_end(&mut bytes).await;
        assert!(!bytes.starts_with(b"HTTP/"), "{inject}");
        let ends = stage.ends_of(2).await;
        assert!(
            ends.iter().all(|end| end.by == Side::Client && &*end.how == "handshake"),
            "{ends:?}"
        );
        let struck = stage.events().await;
        let struck = struck.iter().filter(|one| matches!(one.kind, EventKind::FaultInjected(_)));
        assert_eq!(struck.count(), 2, "{inject}");
        assert_eq!(stage.effects().await, []);
    }
}
