//! Forms with files: `multipart/form-data`, read into a value and written of one.
//!
//! A field is a text; a file is an object with `filename`, `content_type`, `size` and `sha256`, so that what was
//! sent can be compared whatever boundary it was sent with.
//! **Invariant:** no bytes make it panic, and no content of a file is kept.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::call::decode;
use crate::hex::as_hex;

/// What stands between the parts that are written here.
const BOUNDARY: &str = "brownout-7MA4YWxkTrZu0gW";

/// The media type of what is written here, with that in it.
pub(super) const CONTENT_TYPE: &str = "multipart/form-data; boundary=brownout-7MA4YWxkTrZu0gW";

/// How many parts are read; what follows is not.
const PARTS: usize = 1_000;

/// What stands between the parts, by a `Content-Type`.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let (_, rest) = content_type.split_once(';')?;
    parameter(rest, "boundary").filter(|boundary| !boundary.is_empty())
}

/// Reads a body whose parts stand between such lines; `None` when it is not in this encoding, or not whole.
pub(super) fn read(body: &[u8], boundary: &str) -> Option<Value> {
    let between = ["\r\n--", boundary].concat();
    let between = between.as_bytes();
    // What stands before the first line is for readers that know nothing of parts.
    let mut rest = match body.strip_prefix(&between[2..]).and_then(after_boundary) {
        Some(rest) => rest,
        None => next_part(body, between)?.1,
    };
    let mut fields = Map::new();
    for _ in 0..PARTS {
        let Rest::Part(part) = rest else { return Some(Value::Object(fields)) };
        // A part without headers would end right where it begins.
        let (part, next) = next_part(part, between)?;
        let (name, value) = field(part)?;
        fields.insert(name, value);
        rest = next;
    }
    matches!(rest, Rest::End).then_some(Value::Object(fields))
}

/// What follows a line between parts.
#[derive(Clone, Copy)]
enum Rest<'b> {
    /// Another part.
    Part(&'b [u8]),
    /// Nothing that counts.
    End,
}

/// What follows a boundary; `None` where that is only the beginning of another line.
fn after_boundary(rest: &[u8]) -> Option<Rest<'_>> {
    if rest.starts_with(b"--") {
        return Some(Rest::End);
    }
    let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    rest[padding..].strip_prefix(b"\r\n").map(Rest::Part)
}

/// What stands before the next line between parts, and what follows that.
fn next_part<'b>(bytes: &'b [u8], between: &[u8]) -> Option<(&'b [u8], Rest<'b>)> {
    let mut from = 0;
    while let Some(at) = find(bytes.get(from..)?, between) {
        let (end, after) = (from + at, from + at + between.len());
        if let Some(rest) = after_boundary(&bytes[after..]) {
            return Some((&bytes[..end], rest));
        }
        from = end + 1;
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
    let (_, parameters) = header("content-disposition")?.split_once(';')?;
    let filename = parameter(parameters, "filename*").and_then(|text| extended(&text));
    let value = match filename.or_else(|| parameter(parameters, "filename").map(unescaped)) {
        None => Value::String(String::from_utf8_lossy(content).into_owned()),
        Some(filename) => json!({
            "filename": filename,
            "content_type": header("content-type").unwrap_or("application/octet-stream"),
            "size": content.len(),
            "sha256": sha256(content),
        }),
    };
    Some((parameter(parameters, "name").map(unescaped)?, value))
}

/// The parameter of that name in `a=b; c="d;e"`. Between quotes a backslash stands before a quote or another
/// backslash; before anything else it is itself, as in the names of files that browsers send.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text.trim_start();
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_start_matches([';', ' ', '\t']).trim_end();
        let after = after.trim_start();
        let (value, left) = match after.strip_prefix('"') {
            None => {
                let (value, left) = after.split_once(';').unwrap_or((after, ""));
                (value.trim_end().to_owned(), left)
            }
            Some(quoted) => in_quotes(quoted)?,
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = left;
    }
}

/// What stands before the closing quote, and what behind it.
fn in_quotes(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return Some((value, &text[at + 1..])),
            '\\' if text[at + 1..].starts_with(['"', '\\']) => {
                value.extend(signs.next().map(|(_, sign)| sign));
            }
            sign => value.push(sign),
        }
    }
    None
}

/// A name with the three signs in it that forms write by their numbers.
fn unescaped(text: String) -> String {
    if !text.contains('%') {
        return text;
    }
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// A name as `utf-8''a%20b`.
fn extended(text: &str) -> Option<String> {
    let (charset, rest) = text.split_once('\'')?;
    let (_, name) = rest.split_once('\'')?;
    charset.eq_ignore_ascii_case("utf-8").then(|| decode(name.as_bytes()))
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
        out.extend(["--", BOUNDARY, "\r\nContent-Disposition: form-data; name=\""]);
        out.extend([&*escaped(name), "\""]);
        if let Some(content) = file {
            out.extend(["; filename=\"", &escaped(&filename), "\"\r\n"]);
            out.extend(["Content-Type: application/octet-stream\r\n\r\n", &content, "\r\n"]);
        } else {
            out.extend(["\r\n\r\n", &text(value), "\r\n"]);
        }
    }
    out.extend(["--", BOUNDARY, "--\r\n"]);
    Bytes::from(out)
}

/// A name so that it can stand between quotes, as forms write it.
fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(boundary: &str) -> String {
        format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\na.png\r\n--{boundary}\r\n\
             Content-Type: image/png\r\nContent-Disposition: form-data; name=\"file\"; \
             filename=\"a.png\"\r\n\r\nabc\r\n--{boundary}--\r\n"
        )
    }

    #[test]
    fn files_are_known_by_their_content_and_not_by_their_boundary() {
        let expected = json!({
            "name": "a.png",
            "file": {
                "filename": "a.png", "content_type": "image/png", "size": 3,
                "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            },
        });
        for boundary in ["x", "----WebKit7", "a b'c(d)+e_f,g-h.i/j:k=l?m"] {
            let body = body(boundary);
            assert_eq!(read(body.as_bytes(), boundary), Some(expected.clone()), "{boundary}");
            assert_eq!(read(body.as_bytes(), "other"), None, "the header says where parts end");
        }
        for broken in ["", "--x", "--x\r\n", "--x\r\nabc\r\n--x--", "{}", "--x\r\n\r\n--x--"] {
            assert_eq!(read(broken.as_bytes(), "x"), None, "{broken}");
        }
        assert_eq!(read(b"--x--\r\n", "x"), Some(json!({})));
    }

    #[test]
    fn the_boundary_stands_in_the_header() {
        for (header, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("multipart/form-data; charset=utf-8; BOUNDARY=\"a b;c\"", Some("a b;c")),
            ("multipart/form-data;boundary=abc ; x=y", Some("abc")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"abc", None),
        ] {
            assert_eq!(boundary(header).as_deref(), expected, "{header}");
        }
    }

    #[test]
    fn names_are_read_as_browsers_curl_and_old_packages_write_them() {
        for (written, expected) in [
            (r#"filename="a \"b\"; c.png""#, r#"a "b"; c.png"#),
            (r#"filename="a %22b%22; c.png""#, r#"a "b"; c.png"#),
            (r#"filename="C:\pictures\a.png""#, r"C:\pictures\a.png"),
            (r#"filename="a\\b.png""#, r"a\b.png"),
            ("filename=a.png", "a.png"),
            (r#"filename="b.png"; filename*=utf-8''%C3%A4.png"#, "\u{e4}.png"),
        ] {
            let part = format!("Content-Disposition: form-data; name=\"f\"; {written}\r\n\r\n");
            let (name, value) = field(part.as_bytes()).expect("a part");
            assert_eq!((&*name, &value["filename"]), ("f", &json!(expected)), "{written}");
        }
    }

    /// A part as a writer that shares nothing with the reader puts it on the wire.
    #[derive(Clone, Debug)]
    struct Part {
        name: String,
        filename: Option<String>,
        content: Vec<u8>,
        /// Quotes as curl writes them, else as browsers do.
        by_backslash: bool,
    }

    fn part() -> impl Strategy<Value = Part> {
        // Lines that begin like a boundary are the hard part of a content.
        let piece = prop_oneof![
            Just(b"\r\n--edge".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"--".to_vec()),
            prop::collection::vec(any::<u8>(), 0..8),
        ];
        let content = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
        let name = "[a-z\"; =]{1,8}";
        (name, prop::option::of("[a-zA-Z\"; ._\u{e4}]{1,12}"), content, any::<bool>()).prop_map(
            |(name, filename, content, by_backslash)| Part {
                name,
                filename,
                content,
                by_backslash,
            },
        )
    }

    fn written(
        parts: &[Part],
        boundary: &str,
        (before, padding, behind): (&str, &str, &str),
    ) -> Vec<u8> {
        let mut out = before.as_bytes().to_vec();
        for part in parts {
            let quote = if part.by_backslash { "\\\"" } else { "%22" };
            let quoted =
                |text: &str| format!("\"{}\"", text.split('"').collect::<Vec<_>>().join(quote));
            out.extend(format!("--{boundary}{padding}\r\n").bytes());
            out.extend(
                format!("Content-Disposition: form-data; name={}", quoted(&part.name)).bytes(),
            );
            if let Some(filename) = &part.filename {
                out.extend(
                    format!("; filename={}\r\nContent-Type: image/png", quoted(filename)).bytes(),
                );
            }
            out.extend(b"\r\n\r\n");
            out.extend(&part.content);
            out.extend(b"\r\n");
        }
        out.extend(format!("--{boundary}--{behind}").bytes());
        out
    }

    proptest! {
        #[test]
        fn what_others_write_is_read(
            parts in prop::collection::vec(part(), 0..4),
            before in prop_oneof![Just(""), Just("\r\n"), Just("This is a form.\r\n")],
            padding in prop_oneof![Just(""), Just(" \t")],
            behind in prop_oneof![Just(""), Just("\r\n"), Just("\r\nThat was a form.\r\n")],
        ) {
            // Longer than what contents hold of it.
            let boundary = "edge-of-parts";
            let read = read(&written(&parts, boundary, (before, padding, behind)), boundary);
            let mut expected = Map::new();
            for part in &parts {
                let value = match &part.filename {
                    None => json!(String::from_utf8_lossy(&part.content)),
                    Some(filename) => json!({
                        "filename": filename, "content_type": "image/png", "size": part.content.len(),
                        "sha256": sha256(&part.content),
                    }),
                };
                expected.insert(part.name.clone(), value);
            }
            prop_assert_eq!(read, Some(Value::Object(expected)));
        }

        #[test]
        fn what_is_written_is_read_back(name in "[a-z\"\r\n]{1,8}", text in "[ -~]{0,40}", content in "[ -~\r\n]{0,200}") {
            let value = json!({"note": text, "file": {"filename": name, "content": content}});
            let read = read(&write(&value), BOUNDARY).expect("it is in this encoding");
            prop_assert_eq!(&read["note"], &value["note"]);
            prop_assert_eq!(&read["file"]["filename"], &value["file"]["filename"]);
            prop_assert_eq!(&read["file"]["sha256"], &json!(sha256(content.as_bytes())));
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), header in "\\PC{0,40}") {
            let _ = read(&body, "a");
            let _ = read(&[b"--a\r\n".as_slice(), &body].concat(), "a");
            let _ = boundary(&header);
            let _ = parameter(&header, "name");
        }
    }
}
