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

#[tokio::test(start_paused = true)]
async fn a_file_that_is_streamed_ends_with_a_question() {
    let stage = stage(1, None).await;
    let mut raw = stage.connect().await;
    let place = raw.begin_upload().await;
    for (from, to) in [(0, 20), (20, FILE.len())] {
        let range = format!("Content-Range: bytes {from}-{}/*\r\n", to - 1);
        raw.send(request("PUT", &place, &range, &FILE[from..to])).await;
        assert_eq!(raw.answer().await.status(), "308");
    }
    let whole = raw.how_much(&place).await;
    assert_eq!((whole.status(), &whole.json()["sha256"]), ("200", &SHA256.into()));
    assert_eq!(kept(&stage).await, [source()]);
}

#[tokio::test(start_paused = true)]
async fn a_piece_that_is_answered_and_not_kept_is_answered_as_if_it_were() {
    let last = FILE.len();
    for inject in
        ["accept_then_drop", "malformed: {kind: huge_body, size: 1KiB, at: before_commit}"]
    {
        let stage = stage(1, Some(inject)).await;
        let mut raw = stage.connect().await;
        let place = raw.begin_upload().await;
        let part = raw.piece(&place, (0, 10)).await;
        assert_eq!(told(&part), ("308", Some("bytes=0-9")), "{inject}");
        assert_eq!(told(&raw.how_much(&place).await), ("308", None), "{inject}: nothing is kept");
        assert_eq!(raw.piece(&place, (0, last)).await.json()["sha256"], SHA256, "{inject}");
    }
    let stage = stage(1, Some("accept_then_drop")).await;
    let mut raw = stage.connect().await;
    let place = raw.begin_upload().await;
    assert_eq!(raw.piece(&place, (0, last)).await.status(), "202", "the whole file");
    assert_eq!(told(&raw.how_much(&place).await), ("308", None));
    assert!(kept(&stage).await.is_empty());
}

/// What clients of several kinds send as a form: the name of the file, its content in hexadecimal, and a field.
const FORMS: &[(&str, &[u8], &str)] = &[
    ("a.png", b"abc", "ref-1"),
    ("a \"b\"; c=d.png", b"\r\n--edge\r\n\r\n--", "ref; \"2\""),
    ("\u{e4}\u{f6}.png", b"", "ref-\u{e4}"),
    ("a.png", &[0, 255, 13, 10, 45, 45, 13, 10], "ref-1"),
];

/// Sends all forms with the packages of a language, and reads the answers.
fn sent_by(program: &[&str], url: &str) -> Vec<serde_json::Value> {
    let forms: Vec<_> = FORMS
        .iter()
        .map(|(name, content, reference)| {
            let hex: String = content.iter().map(|byte| format!("{byte:02x}")).collect();
            serde_json::json!({"name": name, "content": hex, "reference": reference})
        })
        .collect();
    let command = match program {
        ["python", script] => (crate::brownout::python(), *script),
        [program, script] => ((*program).into(), *script),
        _ => unreachable!("a program and a script"),
    };
    let output = std::process::Command::new(command.0)
        .arg(command.1)
        .args([url, &serde_json::Value::from(forms).to_string()])
        .current_dir(crate::brownout::root())
        .env("NO_PROXY", "*")
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    said.lines().map(|line| serde_json::from_str(line).expect("a document a line")).collect()
}

#[tokio::test]
async fn forms_of_requests_httpx_and_node_are_read_as_they_are_meant() {
    let stage = Stage::calm_of("vision", "upload_image").await;
    for (program, stacks) in [
        (["python", "tests/clients/forms.py"], &["requests", "httpx"][..]),
        (["node", "tests/clients/forms.mjs"], &["fetch"]),
    ] {
        let url = format!("http://{}", stage.server.addr());
        let said = tokio::task::spawn_blocking(move || sent_by(&program, &url)).await;
        let said = said.expect("it says something");
        assert_eq!(said.len(), FORMS.len() * stacks.len());
        for (index, (stack, form)) in
            stacks.iter().flat_map(|stack| FORMS.iter().map(move |form| (stack, form))).enumerate()
        {
            let (name, content, reference) = form;
            let kept = &said[index];
            assert_eq!(kept["stack"], **stack, "{kept}");
            assert_eq!(
                (&kept["status"], &kept["answer"]["name"]),
                (&201.into(), &(*name).into()),
                "{kept}"
            );
            assert_eq!(kept["answer"]["size"], content.len(), "{kept}");
            assert_eq!(kept["answer"]["reference"], *reference, "{kept}");
            assert_eq!(kept["answer"]["sha256"], kept["sha256"], "{kept}");
        }
    }
}

#[tokio::test]
async fn a_form_and_json_do_not_stand_for_each_other() {
    let stage = Stage::calm_of("vision", "upload_image").await;
    let mut raw = stage.connect().await;
    let json = r#"{"file":{"filename":"a.png","sha256":"00"},"reference":"ref-1"}"#;
    let form = "--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\na.png\r\n--b--\r\n";
    for (path, kind, body) in [
        ("/v1/images", "application/json", json),
        ("/v1/images", "multipart/form-data; boundary=other", form),
        ("/v1/images", "multipart/form-data", form),
        ("/v1/classifications", "multipart/form-data; boundary=b", form),
    ] {
        raw.send(request("POST", path, &format!("Content-Type: {kind}\r\n"), body)).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status(), "400", "{kind}: {answer:?}");
        assert_eq!(answer.json()["error"]["code"], "invalid_request", "{answer:?}");
    }
    assert_eq!(stage.effects().await.len(), 0);
}
