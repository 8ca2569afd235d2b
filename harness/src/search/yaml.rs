//! A scenario as the text of a file: a story on top, one key a line, what belongs together on one line.
//!
//! Knows the order of the keys and nothing of what they mean.
//! **Invariant:** the text reads back as the very value that was written.

use serde_json::{Map, Value};

/// The keys of a scenario in the order in which people read them; others follow as they come.
const ORDER: [&str; 13] = [
    "version",
    "name",
    "summary",
    "tags",
    "seed",
    "scale",
    "provider",
    "providers",
    "faults",
    "script",
    "workload",
    "expect",
    "drain",
];

/// Keys under which each entry has a line of its own.
const IN_BLOCKS: [&str; 6] = ["provider", "providers", "faults", "script", "workload", "expect"];

/// The text of a scenario. Each line of the story becomes a comment at the top; what may not stand in one
/// becomes a space.
#[must_use]
pub fn text(scenario: &Value, story: &[String]) -> String {
    let mut text = String::new();
    for line in story {
        let line: String = line.chars().map(|c| if is_foreign(c) { ' ' } else { c }).collect();
        text.push_str(format!("# {line}").trim_end());
        text.push('\n');
    }
    let empty = Map::new();
    let map = scenario.as_object().unwrap_or(&empty);
    let known = ORDER.iter().filter_map(|key| map.get_key_value(*key));
    let others = map.iter().filter(|(key, _)| !ORDER.contains(&key.as_str()));
    for (key, value) in known.chain(others) {
        write_key(key, value, &mut text);
    }
    text
}

/// True for what may not stand in a comment, or would end it: controls, and what YAML counts as a break, a mark of
/// byte order, or no character at all.
fn is_foreign(one: char) -> bool {
    one.is_control()
        || matches!(one, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn write_key(key: &str, value: &Value, text: &mut String) {
    let in_block = IN_BLOCKS.contains(&key);
    let items = value.as_array().filter(|items| in_block && !items.is_empty());
    let entries = value.as_object().filter(|map| in_block && !map.is_empty());
    if items.is_none() && entries.is_none() {
        text.extend([&*scalar(key), ": ", &flow(value), "\n"]);
        return;
    }
    text.extend(["\n", key, ":\n"]);
    for item in items.into_iter().flatten() {
        text.extend(["  - ", &flow(item), "\n"]);
    }
    for (inner, value) in entries.into_iter().flatten() {
        text.extend(["  ", &scalar(inner), ": ", &flow(value), "\n"]);
    }
}

/// A value on one line.
#[must_use]
pub fn flow(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let entries: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", scalar(key), flow(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::String(text) => scalar(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A text, with quotes where YAML would take it for something else.
fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c if c.is_alphanumeric() => quoted.push(c),
            '\n' => quoted.push_str("\\n"),
            // Which others may stand in a file as they are, readers of YAML do not agree on.
            c => quoted.extend(format!("\\U{:08X}", u32::from(c)).chars()),
        }
    }
    quoted.push('"');
    quoted
}

/// True for words that no reader of YAML, old or new, takes for anything but a text.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 12] =
        ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"];
    const UNITS: [&str; 6] = ["us", "ms", "s", "m", "h", "d"];
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if digits.len() < text.len() {
        return UNITS.contains(&digits);
    }
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_reads_as_people_write_it() {
        let scenario = json!({
            "name": "a-b", "version": 1, "workload": {"call": "create_charge", "operations": 1,
            "input": {"order": "order-{{ n }}", "amount": 5}}, "expect": ["x", {"z": {"max": "2s"}}],
            "script": [{"operation": 1, "inject": {"reset": {"at": "after_commit"}}}],
        });
        assert_eq!(
            text(&scenario, &["What happened:".to_owned(), String::new(), "a\nb".to_owned()]),
            "# What happened:\n#\n# a b\nversion: 1\nname: a-b\n\nscript:\n  - {operation: 1, inject: \
             {reset: {at: after_commit}}}\n\nworkload:\n  call: create_charge\n  operations: 1\n  input: \
             {order: \"order-{{ n }}\", amount: 5}\n\nexpect:\n  - x\n  - {z: {max: 2s}}\n"
        );
    }

    #[test]
    fn what_may_not_stand_in_a_comment_is_left_out() {
        let story = ["a\u{fffe}b\u{2028}c\u{feff}\u{7}".to_owned()];
        assert_eq!(text(&json!({"version": 1}), &story), "# a b c\nversion: 1\n");
    }

    fn leaf() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[a-z0-9_.~:#&*!%@`-]{0,6}".prop_map(Value::from),
            prop::sample::select(vec![
                "yes", "1e3", "0x1", "1_000", "12:30", "1s", "-", "~", "=", "<<"
            ])
            .prop_map(Value::from),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back(
            map in prop::collection::btree_map(
                prop_oneof![prop::sample::select(ORDER.to_vec()).prop_map(str::to_owned), ".{1,8}"],
                leaf().prop_recursive(3, 24, 4, |inner| prop_oneof![
                    prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                    prop::collection::btree_map("[a-z/ ]{1,6}", inner, 0..4)
                        .prop_map(|map| Value::Object(map.into_iter().collect())),
                ]),
                1..6,
            ),
            story in prop::collection::vec(".{0,30}", 0..3),
        ) {
            let value = Value::Object(map.into_iter().collect());
            let written = text(&value, &story);
            let read: Value = serde_yaml::from_str(&written).expect(&written);
            prop_assert_eq!(read, value, "{}", written);
        }
    }
}
