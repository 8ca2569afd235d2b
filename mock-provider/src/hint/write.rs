//! Writing a retry hint into an answer.
//!
//! **Invariant:** an answer holds exactly the hint that was asked for; what stood there before is gone.

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Map, Value};

use super::{Dialect, HintSpec, Wall};

/// Puts the hint into headers and body, in place of every hint of the dialect that stands there. A hint
/// of the body goes nowhere when the body is no JSON object.
pub fn write(
    spec: &HintSpec,
    dialect: &Dialect,
    wall: Wall,
    headers: &mut HeaderMap,
    body: Option<&mut Value>,
) {
    headers.remove(RETRY_AFTER);
    headers.remove(dialect.ms_header());
    let mut retry_after = |value: HeaderValue| {
        headers.append(RETRY_AFTER, value);
    };
    let mut in_body = None;
    match spec {
        HintSpec::Seconds(micros) => retry_after(seconds_up(*micros).into()),
        HintSpec::HttpDate(micros) => retry_after(date(wall, *micros)),
        HintSpec::MsHeader(micros) => {
            if let Ok(name) = HeaderName::try_from(dialect.ms_header()) {
                headers.insert(name, micros.div_ceil(1000).into());
            }
        }
        HintSpec::Body(micros) => in_body = Some(seconds_up(*micros)),
        HintSpec::Missing => {}
        HintSpec::Zero => retry_after(HeaderValue::from_static("0")),
        HintSpec::Negative => retry_after(HeaderValue::from_static("-5")),
        HintSpec::Fraction => retry_after(HeaderValue::from_static("1.5")),
        HintSpec::Huge => retry_after(HeaderValue::from_static("1000000000000")),
        HintSpec::PastDate => {
            let hour_ago = wall.now().checked_sub(std::time::Duration::from_secs(3600));
            retry_after(http_date(hour_ago.unwrap_or(std::time::UNIX_EPOCH)));
        }
        HintSpec::Garbage => retry_after(HeaderValue::from_static("soon")),
        HintSpec::TwoHeaders => {
            retry_after(HeaderValue::from_static("1"));
            retry_after(HeaderValue::from_static("3"));
        }
        HintSpec::Contradictory => {
            retry_after(HeaderValue::from_static("1"));
            in_body = Some(5);
        }
    }
    if let Some(body) = body {
        match in_body {
            Some(seconds) => set(body, dialect.body(), seconds.into()),
            None => remove(body, dialect.body()),
        }
    }
}

/// Whole seconds, rounded up.
const fn seconds_up(micros: u64) -> u64 {
    micros.div_ceil(1_000_000)
}

/// The date so many microseconds from now, rounded up to a second.
fn date(wall: Wall, micros: u64) -> HeaderValue {
    let exact = wall.after(micros);
    let since_epoch = exact.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let part = since_epoch.subsec_nanos();
    let up = if part == 0 { 0 } else { 1_000_000_000 - part };
    http_date(exact + std::time::Duration::from_nanos(up.into()))
}

fn http_date(time: std::time::SystemTime) -> HeaderValue {
    HeaderValue::try_from(httpdate::fmt_http_date(time))
        .unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

/// Sets the value at a JSON pointer and makes the objects on the way, as far as the body has room for
/// them.
fn set(body: &mut Value, pointer: &str, value: Value) {
    let mut at = body;
    for step in pointer.split('/').skip(1) {
        let Value::Object(object) = at else { return };
        let step = step.replace("~1", "/").replace("~0", "~");
        at = object.entry(step).or_insert_with(|| Value::Object(Map::new()));
    }
    *at = value;
}

/// Takes the value at a JSON pointer out.
fn remove(body: &mut Value, pointer: &str) {
    if let Some((parent, last)) = pointer.rsplit_once('/')
        && let Some(Value::Object(object)) = body.pointer_mut(parent)
    {
        object.shift_remove(&last.replace("~1", "/").replace("~0", "~"));
    }
}
