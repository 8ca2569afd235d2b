//! Templates against minijinja itself, and what no text may do.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::document::Diagnostics;

fn value(source: &str, names: &Names<'_>) -> Result<Value, TemplateError> {
    Template::compile(source).expect(source).value(names)
}

#[test]
fn one_expression_keeps_its_type_and_text_around_it_makes_text() {
    let input = json!({"amount": 1999, "list": [true, {"a": null}], "text": "x"});
    let names = [("input", &input)];
    for (source, expected) in [
        ("{{ input.amount }}", json!(1999)),
        ("{{input.list}}", json!([true, {"a": null}])),
        ("{{ input.list[1].a }}", Value::Null),
        ("{{ input['text'] }}", json!("x")),
        ("{{ input.amount + 1 }}", json!(2000)),
        ("{{ input.amount }} cents", json!("1999 cents")),
        ("{{ input.text }}{{ input.amount }}", json!("x1999")),
        ("{{ \"}}\" }}", json!("}}")),
        ("{{ {'a': {'b': 1}}.a }}", json!({"b": 1})),
        ("{{ 'big' if input.amount > 5 else 'small' }}", json!("big")),
        ("{{ -1 }}", json!(-1)),
        ("{{ input['amount'] * 2 }}", json!(3998)),
        ("plain {text}", json!("plain {text}")),
        ("{ {{ input.text }} }", json!("{ x }")),
        ("a\n", json!("a\n")),
        ("", json!("")),
    ] {
        assert_eq!(value(source, &names).as_ref(), Ok(&expected), "{source}");
    }
}

#[test]
fn what_is_not_there_is_an_error_and_optional_fields_are_left_out() {
    let input = json!({"a": 1});
    let names = [("input", &input)];
    for source in ["{{ input.b }}", "{{ nobody }}", "{{ input.b.c }}", "x{{ input.b }}"] {
        let error = value(source, &names).expect_err(source);
        assert!(matches!(error, TemplateError::Undefined { .. }), "{source}: {error}");
    }
    let problems = Diagnostics::new();
    let tree = json!({"a": "{{ input.a }}", "b?": "{{ input.b }}", "c?": "{{ input.a }}"});
    let tree = Tree::resolve(&tree, &["input"], &problems.root()).expect("compiles");
    assert_eq!(tree.render(&names), Ok(json!({"a": 1, "c": 1})));
    let tree = Tree::resolve(&json!(["{{ input.b }}"]), &["input"], &problems.root());
    assert!(tree.expect("compiles").render(&names).is_err());
    assert!(problems.into_vec().is_empty());
}

#[test]
fn a_list_is_made_of_each_entry_of_another() {
    let input = json!({"list": ["a", "b"], "one": 1});
    let names = [("input", &input)];
    let resolved = |tree: &Value| {
        let problems = Diagnostics::new();
        let tree = Tree::resolve(tree, &["input"], &problems.root());
        assert_eq!(tree.is_some(), problems.into_vec().is_empty());
        tree
    };
    let source =
        json!({"$each": "{{ input.list }}", "$item": {"at": "{{ index }}", "is": "{{ item }}"}});
    let tree = resolved(&source).expect("compiles");
    let expected = json!([{"at": 0, "is": "a"}, {"at": 1, "is": "b"}]);
    assert_eq!(tree.render(&names), Ok(expected));
    assert_eq!(tree.source(), source);
    assert!(tree.asks_for("input") && !tree.asks_for("item"));
    let of_none = resolved(&json!({"$each": "{{ input.one }}", "$item": "{{ item }}"}));
    assert_eq!(of_none.expect("compiles").render(&names), Ok(json!([])));
    assert!(resolved(&json!({"$each": 7, "$item": "{{ item }}"})).is_none());
    assert!(resolved(&json!({"$each": "{{ nobody }}", "$item": 1})).is_none());
    // What stands outside of an entry would be there as often as there are entries.
    assert!(resolved(&json!({"$each": "{{ input.list }}", "$item": "{{ input }}"})).is_none());
}

#[test]
fn no_template_makes_an_answer_that_is_larger_than_any_may_be() {
    let texts = |count: usize| Value::from(vec![""; count]);
    let nested = |depth: usize| {
        (0..depth).fold(
            json!("{{ item }}"),
            |inner, _| json!({"$each": "{{ [item, item] }}", "$item": inner}),
        )
    };
    let ten_to_the_tenth = json!({
        "$each": "{{ range(99999) }}",
        "$item": {"$each": "{{ range(99999) }}", "$item": "{{ item }}"},
    });
    let ones = |count: usize| json!({"$each": format!("{{{{ range({count}) }}}}"), "$item": 1});
    let long = json!({"$each": "{{ range(1000) }}", "$item": "x".repeat(1 << 20)});
    let shared = json!({"$each": "{{ list * 9999999 }}", "$item": 1});
    let each_of = |tree| json!({"$each": "{{ list }}", "$item": tree});
    let embedding =
        json!({"object": "embedding", "index": "{{ index }}", "embedding": [0.25, -0.5]});
    for (source, entries, fits) in [
        (ten_to_the_tenth, 1, false),
        (nested(40), 1, false),
        (ones(99_999), 1, true),
        (long, 1, false),
        (shared, 1, false),
        (each_of(embedding.clone()), 1_000_000, false),
        (json!("{{ list }}"), 1_000_000, false),
        (json!("{{ list }}"), 300_000, true),
        (each_of(nested(3)), 1, true),
        (ones(40_000), 1, true),
        (each_of(embedding), 2_048, true),
    ] {
        let problems = Diagnostics::new();
        let tree = Tree::resolve(&source, &["list", "item"], &problems.root()).expect("compiles");
        let list = texts(entries);
        let rendered = tree.render(&[("list", &list), ("item", &json!(0))]).map(drop);
        let said = rendered.clone().map_err(|error| error.to_string()).err().unwrap_or_default();
        assert_eq!(rendered.is_ok(), fits, "{said}");
        assert!(fits || said.contains("more than 1000000 values"), "{said}");
    }
}

#[test]
fn no_text_is_longer_than_any_may_be() {
    let text = Value::from("x".repeat(1 << 20));
    let error = value("x{{ texts * 9999 }}", &[("texts", &json!([text]))]).expect_err("too long");
    assert!(error.to_string().contains("longer than 64 MiB"), "{error}");
}

#[test]
fn filters_are_given_and_make_no_more_than_they_may() {
    let text = Value::from("x".repeat(1 << 20));
    let list = json!(["a", "b", "c"]);
    let texts = json!([[[text, text], [text, text]]]);
    let names = [("text", &text), ("list", &list), ("texts", &texts)];
    for (source, says) in [
        ("{{ text | replace('', text) }}", "256 MiB"),
        ("{{ text | replace('x', text) }}", "256 MiB"),
        ("{{ range(9999) | join(text) }}", "256 MiB"),
        ("{{ range(9999) | map('replace', 1, text) | list }}", "256 MiB"),
        ("{{ '%s%s%s' | format(text, text, text) | replace('x', '%s%s%s') | length }}", "18874368"),
        ("{{ (texts * 9999999) | tojson }}", "256 MiB"),
        ("{{ (texts * 9999999) | length }}", "256 MiB"),
        ("{{ range(99999) | select('in', range(99999)) | list | length }}", "256 MiB"),
        ("{{ (texts * 9999999) | list }}", "256 MiB"),
        ("{{ texts * 9999999 == texts }}", "False"),
        ("{{ (text ~ text ~ text ~ text ~ text) | list | length }}", "5242880"),
        ("{{ range(999) | map('list') | list }}", "cannot convert value to list"),
        ("{{ '%99999999999s' | format('a') }}", "three digits"),
        ("{{ '%.99999999999f' | format(1) }}", "three digits"),
        ("{{ '%*d' | format(9999999999, 1) }}", "three digits"),
        ("{{ list | tojson(indent=9999999999) }}", "takes nothing"),
        ("{{ range(99999999) }}", "range"),
        ("{{ text * 99999999 }}", "too large"),
        ("{{ text[list] }}", "is not there"),
        ("{{ 10 ** 99999 }}", "cannot be rendered"),
        ("{{ list | join(', ') }}", "a, b, c"),
        ("{{ 'ab' * 4 }}", "abababab"),
        ("{{ list | map('upper') | join }}", "ABC"),
        ("{{ '%05.1f' | format(7) }}", "007.0"),
        ("{{ list | select('in', 'abx') | list | length }}", "2"),
        ("{{ list | replace('a', 'b') }}", "['b', 'b', 'c']"),
    ] {
        let answer = Template::compile(source).expect(source).text(&names);
        let said = answer.unwrap_or_else(|error| error.to_string());
        assert!(said.contains(says), "{source}: {:.200}", said);
    }
}

#[test]
fn an_expression_that_grows_without_a_filter_is_refused() {
    let sum = |count: usize| format!("{{{{ a{} }}}}", " ~ a".repeat(count));
    let product = |count: usize| format!("{{{{ a{} }}}}", " * a".repeat(count));
    assert!(Template::compile(&sum(64)).is_ok() && Template::compile(&product(4)).is_ok());
    for (source, says) in [
        (sum(65), "at most 64"),
        (product(5), "at most 4"),
        ("{{ 'a' * 99999999 }}".to_owned(), "numbers alone, and has no text"),
        ("{{ 'a' * 9999 * 9999 }}".to_owned(), "numbers alone, and has no text"),
        ("{{ n['a' * 99999999] }}".to_owned(), "has no text"),
        ("{{ a * 99999999 ~ a }}".to_owned(), "has no `~`"),
        ("{{ a * 99999999 in a }}".to_owned(), "has no `in`"),
        ("{{ [a] * 99999999 }}".to_owned(), "has no list"),
        ("{{ 1 if n else ['a'][0] * 99999999 }}".to_owned(), "has no list"),
        ("{{ (a * 99999999)[99999998] }}".to_owned(), "has no list"),
        ("{{ a[0:] * 99999999 }}".to_owned(), "has no `:`"),
        (format!("{{{{ [{}] }}}}", "a,".repeat(65)), "at most 64"),
        (format!("{{{{ {} }}}}", "a".repeat(4_096)), "at most 4096"),
        ("{% set x = 1 %}".to_owned(), "`{%` and `{#` mean nothing here"),
        ("{# x #}".to_owned(), "`{%` and `{#` mean nothing here"),
        ("{{- a }}".to_owned(), "trims white space"),
        ("{{ a -}}".to_owned(), "trims white space"),
    ] {
        let error = Template::compile(&source).expect_err(&source).to_string();
        assert!(error.contains(says), "{source}: {error}");
    }
}

#[test]
fn wrong_templates_and_unknown_names_are_reported() {
    for (source, says) in [
        ("{{ input. }}", "is no template"),
        ("{{ input", "is no template"),
        ("{{ inptu.a }}", "does not know `inptu`"),
        ("{{ inptu.a | upper }}", "does not know `inptu`"),
        ("{{ input.a | defualt(1) }}", "the filter `defualt`"),
        ("{{ input.a is not defned }}", "the test `defned`"),
    ] {
        let problems = Diagnostics::new();
        assert!(Template::resolve(source, &["input"], &problems.root()).is_none());
        let problems = problems.into_vec();
        assert!(problems[0].message.contains(says), "{source}: {problems:?}");
    }
    let problems = Diagnostics::new();
    let good = "{{ range(3) | list }}{{ input is not none }}{{ input | default('| x') }}";
    assert!(Template::resolve(good, &["input"], &problems.root()).is_some());
    assert!(problems.into_vec().is_empty());
}

#[test]
fn a_path_reaches_fields_of_any_name() {
    let input = json!({"a b": {"it's": [7]}, "true": 1});
    let template = Template::path(&["input", "a b", "it's", "0"]).expect("compiles");
    assert_eq!(template.value(&[("input", &input)]), Ok(json!(7)));
    assert_eq!(value("{{ input.true }}", &[("input", &input)]), Ok(json!(1)));
}

/// What minijinja alone makes of a template.
fn by_minijinja(source: &str, names: &Names<'_>) -> Option<String> {
    ENVIRONMENT.render_str(source, values(names)).ok()
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::sample::select(vec![json!(0.5), json!(-3.25), json!(1e300), json!(7.0)]),
        "[a-z<&\"{}é]{0,5}".prop_map(Value::from),
    ]
}

fn input() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("[abc]|items|true", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

#[test]
fn a_sign_that_means_nothing_is_refused_as_minijinja_refuses_it() {
    for source in ["{{''#}}", "{{ a# }}", "{{ '#' }}", "#{{ a }}#"] {
        let a = json!("x");
        let names = [("a", &a)];
        let ours = Template::compile(source).and_then(|template| template.text(&names)).ok();
        assert_eq!(ours, by_minijinja(source, &names), "{source}");
    }
}

proptest! {
    #[test]
    fn the_short_way_agrees_with_minijinja(
        input in input(),
        n in any::<u64>(),
        path in "(\\.(a|b|c|items|true)|\\[[0-2]\\]|\\['[abc]'\\]){0,3}",
        before in "[ a{}'\n]{0,3}",
        after in "[ a{}'\n]{0,3}",
        gap in " ?",
    ) {
        let n = Value::from(n);
        let names = [("input", &input), ("n", &n)];
        let source = format!("{before}{{{{{gap}input{path} }}}}{after}{{{{ n }}}}");
        let expected = by_minijinja(&source, &names);
        let ours = Template::compile(&source).and_then(|template| template.text(&names)).ok();
        prop_assert_eq!(ours, expected, "{}", source);

        let source = format!("{{{{ input{path} }}}}");
        let whole = Template::compile(&source).expect("compiles");
        let expression = ENVIRONMENT.compile_expression(source[2..source.len() - 2].trim());
        let expected = expression.expect("compiles").eval(values(&names)).ok();
        let expected = expected.filter(|value| !value.is_undefined());
        let expected = expected.map(|value| serde_json::to_value(value).expect("is JSON"));
        prop_assert_eq!(whole.value(&names).ok(), expected, "{}", source);
    }

    #[test]
    fn no_text_makes_a_panic(source in "[{}%#\"'a-c. \\[\\]()|+-]{0,24}|\\PC{0,20}") {
        let a = json!({"b": [1]});
        if let Ok(template) = Template::compile(&source) {
            let _ = template.value(&[("a", &a)]);
            let _ = template.text(&[("a", &a)]);
            let _ = template.names();
        }
    }

    #[test]
    fn any_text_renders_as_minijinja_renders_it(source in "[{}%#\"'a-c. \n-]{0,16}") {
        let a = json!("x");
        let names = [("a", &a)];
        let ours = Template::compile(&source).and_then(|template| template.text(&names)).ok();
        // What only minijinja has: statements, comments, and signs that trim white space.
        let only_there = ["{%", "{#", "{{-", "-}}"].iter().any(|sign| source.contains(sign));
        if ours.is_some() || !only_there {
            prop_assert_eq!(ours, by_minijinja(&source, &names));
        }
    }
}
