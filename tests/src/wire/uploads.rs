//! Files: in one form, or in pieces that are taken where they belong, and what goes wrong with them.

use brownout_provider::event::Digest16;

use super::stage::{Answer, Raw, Stage};

/// The file that is uploaded.
const FILE: &str = "The quick brown fox jumps over the lazy dog.";

/// Its checksum.
const SHA256: &str = "ef537f25c895bfa782526529a9b63d97aa631564d5d789c2b765448c8635fb6c";

async fn stage(attempt: u32, inject: Option<&str>) -> Stage {
    let faults = inject.map_or(String::new(), |inject| {
        format!(
            "faults:\n  - {{name: struck, when: {{route: upload_chunk, attempt: {attempt}}}, inject: {{{inject}}}}}\n"
        )
    });
    Stage::with("vision", "start_upload", &faults).await
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} /~op-0001.1{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl Raw {
    /// Begins an upload; where its pieces go.
    async fn begin_upload(&mut self) -> String {
        self.send(request("POST", "/v1/uploads", "", r#"{"name":"a.png"}"#)).await;
        let answer = self.answer().await;
        assert_eq!(answer.status(), "201", "{answer:?}");
        answer.header("location").expect("it says where").to_owned()
    }

    /// Sends the file's bytes from one place to before another.
    async fn piece(&mut self, place: &str, (from, to): (usize, usize)) -> Answer {
        let range = format!("Content-Range: bytes {from}-{}/{}\r\n", to - 1, FILE.len());
        self.send(request("PUT", place, &range, &FILE[from..to])).await;
        self.answer().await
    }

    /// Asks how much is there.
    async fn how_much(&mut self, place: &str) -> Answer {
        let range = format!("Content-Range: bytes */{}\r\n", FILE.len());
        self.send(request("PUT", place, &range, "")).await;
        self.answer().await
    }
}

/// Status and range of an answer.
fn told(answer: &Answer) -> (&str, Option<&str>) {
    (answer.status(), answer.header("range"))
}

/// The checksums that stand in the ledger.
async fn kept(stage: &Stage) -> Vec<Option<Digest16>> {
    stage.effects().await.into_iter().map(|(_, effect)| effect.digest).collect()
}

fn source() -> Option<Digest16> {
    Some(Digest16::of(FILE.as_bytes()))
}

#[tokio::test(start_paused = true)]
async fn a_file_in_a_form_is_known_by_its_checksum() {
    let stage = Stage::calm_of("vision", "upload_image").await;
    let mut raw = stage.connect().await;
    let body = format!(
        "--xyz\r\nContent-Disposition: form-data; name=\"reference\"\r\n\r\nref-1\r\n--xyz\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\
         {FILE}\r\n--xyz--\r\n"
    );
    let form = "Content-Type: multipart/form-data; boundary=xyz\r\n";
    raw.send(request("POST", "/v1/images", form, &body)).await;
    let answer = raw.answer().await;
    assert_eq!(answer.status(), "201", "{answer:?}");
    let object = answer.json();
    assert_eq!((&object["name"], &object["size"]), (&"a.png".into(), &44.into()));
    assert_eq!((&object["reference"], &object["sha256"]), (&"ref-1".into(), &SHA256.into()));
    assert_eq!(kept(&stage).await, [source()]);
    raw.send(request("POST", "/v1/images", form, "no form at all")).await;
    assert_eq!(raw.answer().await.status(), "400");
}

#[tokio::test(start_paused = true)]
async fn pieces_are_taken_where_they_belong() {
    let stage = stage(1, None).await;
    let mut raw = stage.connect().await;
    let place = raw.begin_upload().await;
    assert_eq!(told(&raw.how_much(&place).await), ("308", None));
    assert_eq!(told(&raw.piece(&place, (0, 10)).await), ("308", Some("bytes=0-9")));
    assert_eq!(told(&raw.piece(&place, (20, 30)).await), ("308", Some("bytes=0-9")), "a gap");
    assert_eq!(told(&raw.piece(&place, (5, 20)).await), ("308", Some("bytes=0-19")), "an overlap");
    assert_eq!(told(&raw.how_much(&place).await), ("308", Some("bytes=0-19")));
    assert!(kept(&stage).await.is_empty());
    for _ in 0..2 {
        let whole = raw.piece(&place, (20, FILE.len())).await;
        assert_eq!(whole.status(), "200");
        assert_eq!(whole.json()["sha256"], SHA256);
    }
    assert_eq!(raw.how_much(&place).await.json()["status"], "stored");
    assert_eq!(kept(&stage).await, [source()], "once");
    raw.send(request("GET", &place, "", "")).await;
    assert_eq!(raw.answer().await.json()["size"], 44);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_piece_is_refused() {
    let stage = stage(1, None).await;
    let mut raw = stage.connect().await;
    let place = raw.begin_upload().await;
    for (range, body) in [("bytes 0-9/44", "short"), ("bytes 9-0/44", "x"), ("elephants", "x")] {
        raw.send(request("PUT", &place, &format!("Content-Range: {range}\r\n"), body)).await;
        assert_eq!(raw.answer().await.status(), "400", "{range}");
    }
    assert_eq!(raw.piece("/v1/uploads/unknown", (0, 10)).await.status(), "404");
    raw.send(request("PUT", &place, "", FILE)).await;
    assert_eq!(raw.answer().await.json()["sha256"], SHA256, "the whole file at once");
}

#[tokio::test(start_paused = true)]
async fn pieces_go_wrong() {
    let last = FILE.len();
    let lost = stage(1, Some("upload: lost_chunk")).await;
    let mut raw = lost.connect().await;
    let place = raw.begin_upload().await;
    assert_eq!(told(&raw.piece(&place, (0, 10)).await), ("308", None));

    let lies = stage(1, Some("upload: lying_offset")).await;
    let mut raw = lies.connect().await;
    let place = raw.begin_upload().await;
    assert_eq!(told(&raw.piece(&place, (0, 10)).await), ("308", Some("bytes=0-9")));
    assert_eq!(told(&raw.how_much(&place).await), ("308", Some("bytes=0-4")));
    assert_eq!(raw.piece(&place, (5, last)).await.json()["sha256"], SHA256);

    for inject in ["upload: stored_twice", "upload: wrong_checksum"] {
        let spoilt = stage(1, Some(inject)).await;
        let mut raw = spoilt.connect().await;
        let place = raw.begin_upload().await;
        assert_eq!(told(&raw.piece(&place, (0, 10)).await), ("308", Some("bytes=0-9")));
        let whole = raw.piece(&place, (10, last)).await.json();
        assert_ne!(whole["sha256"], SHA256, "{inject}");
        let kept = kept(&spoilt).await;
        assert!(kept.len() == 1 && kept[0].is_some() && kept[0] != source(), "{kept:?}");
    }

    let expired = stage(2, Some("upload: expired_session")).await;
    let mut raw = expired.connect().await;
    let place = raw.begin_upload().await;
    assert_eq!(raw.piece(&place, (0, 10)).await.status(), "308");
    for _ in 0..2 {
        let refused = raw.piece(&place, (10, last)).await;
        assert_eq!(refused.status(), "403");
        assert_eq!(refused.json()["error"]["code"], "session_expired");
    }
    let calm = stage(1, None).await;
    let mut raw = calm.connect().await;
    let place = raw.begin_upload().await;
    calm.clock.sleep_until_us(3_600_000_000).await;
    assert_eq!(raw.piece(&place, (0, 10)).await.status(), "403", "an hour is over");
}
