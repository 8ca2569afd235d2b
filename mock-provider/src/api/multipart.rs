//! Forms with files: `multipart/form-data`, read into a value and written of one.
//!
//! A field is a text; a file is an object with `filename`, `content_type`, `size` and `sha256`, so that what was
//! sent can be compared whatever boundary it was sent with.
//! **Invariant:** no bytes make it panic, and no content of a file is kept.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::hex::as_hex;

/// What stands between the parts that are written here.
const BOUNDARY: &str = "brownout-7MA4YWxkTrZu0gW";

/// The media type of what is written here.
pub(super) const CONTENT_TYPE: &str = "multipart/form-data; boundary=brownout-7MA4YWxkTrZu0gW";

/// How many parts are read; what follows is not.
const PARTS: usize = 1_000;

/// Reads a body; `None` when it is not in this encoding. The boundary is taken from its first line.
pub(super) fn read(body: &[u8]) -> Option<Value> {
    let first = body.strip_prefix(b"--")?;
    let end = find(first, b"\r\n")?;
    let between = [b"\r\n--", &first[..end]].concat();
    let mut rest = &first[end..];
    let mut fields = Map::new();
    for _ in 0..PARTS {
        let part = rest.strip_prefix(b"\r\n")?;
        let length = find(part, &between)?;
        let (name, value) = field(&part[..length])?;
        fields.insert(name, value);
        rest = &part[length + between.len()..];
        if rest.starts_with(b"--") {
            return Some(Value::Object(fields));
        }
    }
    None
}

/// The name and value of one part.
fn field(part: &[u8]) -> Option<(String, Value)> {
    let end = find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..end]).ok()?;
    let content = &part[end + 4..];
    let header = |wanted: &str| {
        let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
        found.next().map(|(_, value)| value.trim())
    };
    let disposition = header("content-disposition")?;
    let parameter = |wanted: &str| {
        let mut pairs = disposition.split(';').filter_map(|pair| pair.trim().split_once('='));
        let found = pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim_matches('"').to_owned())
    };
    let value = match parameter("filename") {
        None => Value::String(String::from_utf8_lossy(content).into_owned()),
        Some(filename) => json!({
            "filename": filename,
            "content_type": header("content-type").unwrap_or("application/octet-stream"),
            "size": content.len(),
            "sha256": sha256(content),
        }),
    };
    Some((parameter("name")?, value))
}

/// The SHA-256 of some content, in hexadecimal.
pub(crate) fn sha256(content: &[u8]) -> String {
    hexadecimal(Sha256::new_with_prefix(content))
}

/// The same of a hash that is complete.
pub(crate) fn hexadecimal(hash: Sha256) -> String {
    let bytes: [u8; 32] = hash.finalize().into();
    as_hex(&bytes, str::to_owned)
}

/// Writes an object: a text is a field, and an object with `content` a file of that text.
pub(super) fn write(value: &Value) -> Bytes {
    let mut out = String::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let file = value.get("content").map(text);
        let filename = value.get("filename").map_or_else(|| "file".to_owned(), text);
        out.extend(["--", BOUNDARY, "\r\nContent-Disposition: form-data; name=\"", name, "\""]);
        if let Some(content) = file {
            out.extend(["; filename=\"", &filename, "\"\r\n"]);
            out.extend(["Content-Type: application/octet-stream\r\n\r\n", &content, "\r\n"]);
        } else {
            out.extend(["\r\n\r\n", &text(value), "\r\n"]);
        }
    }
    out.extend(["--", BOUNDARY, "--\r\n"]);
    Bytes::from(out)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_are_known_by_their_content_and_not_by_their_boundary() {
        let body = |boundary: &str| {
            format!(
                "--{boundary}\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\na.png\r\n--{boundary}\r\n\
                 Content-Type: image/png\r\nContent-Disposition: form-data; name=\"file\"; \
                 filename=\"a.png\"\r\n\r\nabc\r\n--{boundary}--\r\n"
            )
        };
        let expected = json!({
            "name": "a.png",
            "file": {
                "filename": "a.png", "content_type": "image/png", "size": 3,
                "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            },
        });
        assert_eq!(read(body("x").as_bytes()), Some(expected.clone()));
        assert_eq!(read(body("----WebKit7").as_bytes()), Some(expected));
        for broken in ["", "--x", "--x\r\n", "--x\r\nabc\r\n--x--", "{}"] {
            assert_eq!(read(broken.as_bytes()), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(name in "[a-z]{1,8}", text in "[ -~]{0,40}", content in "[ -~\r\n]{0,200}") {
            let value = json!({"note": text, "file": {"filename": name, "content": content}});
            let read = read(&write(&value)).expect("it is in this encoding");
            prop_assert_eq!(&read["note"], &value["note"]);
            prop_assert_eq!(&read["file"]["sha256"], &json!(sha256(content.as_bytes())));
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body);
            let _ = read(&[b"--a\r\n".as_slice(), &body].concat());
        }
    }
}
