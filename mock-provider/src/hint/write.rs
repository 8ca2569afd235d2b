//! Writing a retry hint into an answer.
//!
//! **Invariant:** an answer holds exactly the hint that was asked for; what stood there before is gone.

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Map, Value};

use super::{Dialect, HintSpec, OLD_DATE_US, Wall, steps, whole_second};

/// What AWS's services write, in milliseconds.
static AMZ_RETRY_AFTER: HeaderName = HeaderName::from_static("x-amz-retry-after");

/// Puts the hint into headers and body, in place of every hint of the dialect that stands there, but for
/// what a limiter tells of itself. A hint of the body goes nowhere when the body is no JSON object.
pub fn write(
    spec: &HintSpec,
    dialect: &Dialect,
    wall: Wall,
    headers: &mut HeaderMap,
    body: Option<&mut Value>,
) {
    headers.remove(RETRY_AFTER);
    headers.remove(dialect.ms_header());
    headers.remove(&AMZ_RETRY_AFTER);
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
        HintSpec::AmzMs(micros) => {
            headers.insert(AMZ_RETRY_AFTER.clone(), micros.div_ceil(1000).into());
        }
        HintSpec::RateLimitReset { in_us, form } => {
            let (name, usual) = dialect.reset();
            let text = form.unwrap_or(usual).text(wall, *in_us);
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(text))
            {
                headers.insert(name, value);
            }
        }
        HintSpec::Rfc850Date => retry_after(old_date(wall, rfc850)),
        HintSpec::AsctimeDate => retry_after(old_date(wall, asctime)),
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
    http_date(whole_second(wall.after(micros)))
}

/// A date in an obsolete form, made of the pieces of the usual one: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn old_date(wall: Wall, form: fn(&[&str; 5]) -> String) -> HeaderValue {
    let usual = httpdate::fmt_http_date(whole_second(wall.after(OLD_DATE_US)));
    let mut pieces = usual.split([',', ' ']).filter(|piece| !piece.is_empty());
    let pieces = [(); 5].map(|()| pieces.next().unwrap_or_default());
    HeaderValue::try_from(form(&pieces)).unwrap_or_else(|_| HeaderValue::from_static("soon"))
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`.
fn rfc850([weekday, day, month, year, time]: &[&str; 5]) -> String {
    const DAYS: [&str; 7] =
        ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let weekday = DAYS.iter().find(|name| name.starts_with(weekday)).unwrap_or(&DAYS[0]);
    let year = year.get(2..).unwrap_or(year);
    format!("{weekday}, {day}-{month}-{year} {time} GMT")
}

/// `Sun Nov  6 08:49:37 1994`.
fn asctime([weekday, day, month, year, time]: &[&str; 5]) -> String {
    format!("{weekday} {month} {:>2} {time} {year}", day.trim_start_matches('0'))
}

fn http_date(time: std::time::SystemTime) -> HeaderValue {
    HeaderValue::try_from(httpdate::fmt_http_date(time))
        .unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

/// Sets the value at a JSON pointer and makes the objects on the way, as far as the body has room for
/// them.
fn set(body: &mut Value, pointer: &str, value: Value) {
    let mut at = body;
    for step in steps(pointer) {
        let Value::Object(object) = at else { return };
        at = object.entry(&*step).or_insert_with(|| Value::Object(Map::new()));
    }
    *at = value;
}

/// Takes the value at a JSON pointer out.
fn remove(body: &mut Value, pointer: &str) {
    let mut steps = steps(pointer).peekable();
    let mut at = body;
    while let (Some(step), Value::Object(object)) = (steps.next(), at) {
        if steps.peek().is_none() {
            object.shift_remove(&*step);
            return;
        }
        let Some(inner) = object.get_mut(&*step) else { return };
        at = inner;
    }
}
