//! Tests of reading documents.

use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::units::{Chance, Period};

/// The message, path and place of everything that is wrong with a text.
fn refused(bytes: &[u8]) -> Vec<(String, usize, usize)> {
    match Document::parse("test.yaml", bytes) {
        Ok(document) => panic!("accepted: {:?}", document.value),
        Err(refusal) => refusal
            .diagnostics
            .iter()
            .map(|one| {
                let place = refusal.source.place_of(one);
                assert!(one.cure.is_some() || one.message.contains("no YAML"), "no cure: {one:?}");
                (one.message.clone(), place.line, place.column)
            })
            .collect(),
    }
}

fn check_refused(bytes: &[u8], part: &str, line: usize, column: usize) {
    let found = refused(bytes);
    let (message, at_line, at_column) = &found[0];
    assert!(message.contains(part), "{found:?}");
    assert_eq!((*at_line, *at_column), (line, column), "{found:?}");
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    check_refused(b"", "empty", 1, 1);
    check_refused(b"# only a comment\n", "empty", 1, 1);
    check_refused(b"a: 1\nb: 2\na: 3\n", "stands twice", 3, 1);
    check_refused(b"a: 1\n---\nb: 2\n", "second document", 2, 1);
    check_refused(b"a: !secret x\n", "tag", 1, 12);
    check_refused(b"a: {<<: {b: 1}}\n", "merge", 1, 5);
    check_refused(b"a: {{ n }}\n", "key is expected", 1, 5);
    check_refused(b"a: \xff\n", "UTF-8", 1, 4);
    check_refused(b"a: .inf\n", "no number", 1, 4);
    check_refused(b"a: &x [*x]\n", "own anchor", 1, 8);
    check_refused(b"a: [1, 2\nb: 3\n", "no YAML", 2, 2);
    check_refused(b": 1\n", "key is missing", 1, 1);
}

#[test]
fn what_would_be_slow_or_huge_is_refused_by_its_cap() {
    check_refused(&vec![b'a'; 2 << 20], "at most 1048576", 1, 1);
    check_refused("[".repeat(100_000).as_bytes(), "deep", 1, 256);
    check_refused("- ".repeat(100_000).as_bytes(), "deep", 1, 129);
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let items = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb = format!("{bomb}a{n}: &a{n} [{items}]\n");
    }
    check_refused(bomb.as_bytes(), "aliases expand", 6, 25);
    check_refused(format!("{}: 1", "k".repeat(300)).as_bytes(), "at most 256", 1, 1);
}

#[test]
fn several_duplicates_are_named_at_once() {
    assert_eq!(refused(b"a: 1\na: 2\nb: {c: 1, c: 2}\n").len(), 2);
}

#[test]
fn values_come_in_order_and_aliases_are_followed() {
    let document = Document::parse("t", b"z: &v {x: 1}\na: *v\n404: yes\n").expect("legal");
    let text = serde_json::to_string(&document.value).expect("plain data");
    assert_eq!(text, r#"{"z":{"x":1},"a":{"x":1},"404":"yes"}"#);
}

#[test]
fn a_path_leads_to_its_place_or_the_nearest_one() {
    let text = b"faults:\n  - name: a\n    body: {/x.y: 1}\n  - {name: b}\nempty:\n";
    let document = Document::parse("t", text).expect("legal");
    let find = |path: &str, at_key| {
        let places = &document.source.places;
        let place = if at_key { places.find_key(path) } else { places.find(path) };
        let place = place.expect("some place");
        (place.line, place.column, place.length)
    };
    assert_eq!(find("faults[0].name", false), (2, 11, 1));
    assert_eq!(find("faults[0].name", true), (2, 5, 4));
    assert_eq!(find("faults[0].body./x.y", false), (3, 18, 1));
    assert_eq!(find("faults[1].name", false), (4, 12, 1));
    assert_eq!(find("empty", false), (5, 1, 5));
    assert_eq!(find("faults[1].when.route", false).0, 4);
    assert_eq!(find("nothing.here", false).0, 1);
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape is tested")]
struct Sample {
    #[schemars(required)]
    name: Option<String>,
    chance: Option<Chance>,
    wait: Option<ScalarOr<Period, Span>>,
    list: Option<OneOrMany<u32>>,
    word: Option<Word>,
    port: Option<u16>,
    inject: Option<OneOrMany<Named>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape is tested")]
struct Span {
    min: Option<Period>,
    max: Option<Period>,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// The first.
    AtOnce,
    /// The second.
    Later,
    /// With a value.
    In(Period),
}

fn sample(yaml: &str) -> (Option<Sample>, Vec<String>) {
    let document = Document::parse("t", yaml.as_bytes()).expect("legal YAML");
    let problems = Diagnostics::new();
    let sample = decode::<Sample>(&document.value, &problems.root());
    let lines = problems
        .into_vec()
        .into_iter()
        .map(|one| {
            let meant = one.did_you_mean.map(|word| format!(" ~{word}")).unwrap_or_default();
            let cure = one.cure.map(|cure| format!(" -> {cure}")).unwrap_or_default();
            format!("{}: {}{meant}{cure}", one.path, one.message)
        })
        .collect();
    (sample, lines)
}

#[test]
fn both_spellings_of_a_value_are_read() {
    for yaml in [
        "{name: a, wait: 2s, list: 3, word: at_once, inject: hang}",
        "{name: a, wait: {min: 1s, max: 2s}, list: [1, 2], word: {in: 5s}, inject: [{status: {code: 503}}]}",
    ] {
        let (sample, problems) = sample(yaml);
        assert_eq!(problems, Vec::<String>::new(), "{yaml}");
        assert!(sample.is_some_and(|sample| sample.wait.is_some() && sample.list.is_some()));
    }
}

#[test]
fn all_problems_of_shape_are_said_at_once_and_the_rest_is_read() {
    let (read, problems) = sample(
        "chanse: 30%\nchance: 0.3\nwait: {min: 5, max: soon}\nlist: [1, two, -3]\nword: at_onse\n\
         port: 99999\ninject: [7]\n",
    );
    assert_eq!(
        problems,
        [
            "chanse: the key `chanse` is not known here ~chance",
            "chance: expected a chance such as `30%`, found the number `0.3` -> write a percentage such as `30%` or a fraction such as `3/10`",
            "wait.min: expected a duration such as `150ms`, found the number `5` -> write the unit: `5s` or `5ms`",
            "list[1]: expected a whole number, found the text `two` -> write a whole number, without quotes",
            "list[2]: `-3` is out of range -> use at least 0",
            "word: `at_onse` is not known here ~at_once",
            "port: `99999` is out of range -> use a whole number from 0 to 65535",
            "inject[0]: expected a name, or `name: {parameters}`, found the number `7` -> write a map: a line `key: value` for each key",
            "name: the required key `name` is missing -> add `name`: text",
            "wait.max: `soon` is no length of time -> write it in words such as `150ms`, `2s`, `30m` or `24h`",
        ]
    );
    let read = read.expect("all fields are options");
    assert_eq!(read.list, Some(OneOrMany::Many(vec![Some(1), None, None])));
}

#[test]
fn a_word_that_needs_a_value_says_so() {
    let (_, problems) = sample("{name: a, word: in}");
    assert_eq!(problems, ["word: `in` needs a value -> write `in: …` as a map"]);
    let (_, problems) = sample("{name: a, word: {inn: 5s}}");
    assert_eq!(problems.len(), 1);
    let (_, problems) = sample("{name: a, wait: }");
    assert!(problems[0].contains("no value"), "{problems:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(refusal) = Document::parse("t", &bytes) {
            prop_assert!(!refusal.diagnostics.is_empty());
        }
    }

    #[test]
    fn no_text_of_yaml_signs_makes_it_panic(text in r#"([-\[\]{}:,&*!|>'"%@`#?~<\n \tab1.]|---|\.\.\.|<<| - |: ){0,60}"#) {
        if let Ok(document) = Document::parse("t", text.as_bytes()) {
            let problems = Diagnostics::new();
            let _ = decode::<Sample>(&document.value, &problems.root());
            for problem in problems.into_vec() {
                let _ = document.source.place_of(&problem);
            }
        }
    }
}
