//! Templates: strict minijinja, compiled once, with a short way past it for what is simple.
//!
//! A template is cut into literal text and expressions when it is compiled. An expression that is a
//! plain path (`{{ input.amount }}`) is walked over the values directly, because that is what nearly
//! every answer is made of; everything else goes through minijinja, with undefined names as errors and
//! a bound on work. Knows nothing about APIs or scenarios.
//! **Invariant:** the short way never differs from minijinja: where it is not sure, it does not answer.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::{Environment, ErrorKind, Expression, UndefinedBehavior};
use serde_json::{Map, Value};

use crate::document::At;

/// The names that a template can use, and what they stand for. An earlier name hides a later one.
pub type Names<'a> = [(&'a str, &'a Value)];

/// The most steps that one expression may take.
const FUEL: u64 = 100_000;

/// Words that are no names at the head of a path.
const RESERVED: [&str; 14] = [
    "true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else",
    "loop",
];

/// The one environment of all expressions.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = minijinja::syntax::SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    environment.set_syntax(syntax.build().expect("the default delimiters are legal"));
    environment.set_fuel(Some(FUEL));
    environment
}

/// Why a template gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is not written as templates are.
    #[error("`{template}` is no template: {reason}")]
    Syntax {
        /// The template.
        template: String,
        /// What minijinja says.
        reason: String,
    },
    /// It asks for something that is not there.
    #[error("`{template}` asks for something that is not there")]
    Undefined {
        /// The template.
        template: String,
    },
    /// It failed in another way.
    #[error("`{template}` cannot be rendered: {reason}")]
    Render {
        /// The template.
        template: String,
        /// What minijinja says.
        reason: String,
    },
}

/// A compiled template.
#[derive(Clone)]
pub struct Template(Arc<Compiled>);

struct Compiled {
    source: String,
    parts: Parts,
}

enum Parts {
    /// Text without any expression.
    Literal(Value),
    /// One expression and nothing else: keeps its type.
    One(Piece),
    /// Text and expressions.
    Several(Vec<Segment>),
    /// It has blocks or trims white space: minijinja does it all.
    Whole(Environment<'static>),
}

enum Segment {
    Text(String),
    Piece(Piece),
}

/// One expression.
struct Piece {
    path: Option<Vec<Step>>,
    expression: Expression<'static, 'static>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.0.source).finish()
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    ///
    /// When it is not written as templates are.
    pub fn compile(source: &str) -> Result<Self, TemplateError> {
        let parts = if !source.contains("{{") && !source.contains("{%") && !source.contains("{#") {
            Parts::Literal(Value::String(source.to_owned()))
        } else {
            match cut(source) {
                Some(chunks) => pieces(source, chunks)?,
                None => whole(source)?,
            }
        };
        Ok(Self(Arc::new(Compiled { source: source.to_owned(), parts })))
    }

    /// Compiles a template and reports at `at` what is wrong with it; `names` are those that it may use.
    #[must_use]
    pub fn resolve(source: &str, names: &[&str], at: &At<'_>) -> Option<Self> {
        let template = Self::compile(source)
            .map_err(|error| {
                at.error(error.to_string(), |d| {
                    d.cure("write expressions as `{{ name.field }}`, and text outside of them")
                });
            })
            .ok()?;
        let mut all_known = true;
        for name in template.names() {
            let is_global = || ENVIRONMENT.globals().any(|(global, _)| global == name);
            if !names.contains(&name.as_str()) && !is_global() {
                all_known = false;
                at.error(format!("a template here does not know `{name}`"), |d| {
                    d.allowed(&name, names)
                });
            }
        }
        all_known.then_some(template)
    }

    /// The names that the template asks for, sorted.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let of = |piece: &Piece| piece.expression.undeclared_variables(false).into_iter();
        match &self.0.parts {
            Parts::Literal(_) => BTreeSet::new(),
            Parts::One(piece) => of(piece).collect(),
            Parts::Several(segments) => segments
                .iter()
                .filter_map(|segment| match segment {
                    Segment::Text(_) => None,
                    Segment::Piece(piece) => Some(of(piece)),
                })
                .flatten()
                .collect(),
            Parts::Whole(environment) => environment
                .get_template(WHOLE)
                .map(|template| template.undeclared_variables(false).into_iter().collect())
                .unwrap_or_default(),
        }
    }

    /// A template that gives the value at these names, one after the other: `["request", "amount"]`.
    ///
    /// # Errors
    ///
    /// Never for names without quotes and line ends; see [`Template::compile`].
    pub fn path(steps: &[&str]) -> Result<Self, TemplateError> {
        let mut source = String::from("{{ ");
        for (index, step) in steps.iter().enumerate() {
            if index == 0 {
                source.push_str(step);
            } else if step.parse::<usize>().is_ok() {
                source.extend(["[", step, "]"]);
            } else {
                let quoted = step.replace('\\', "\\\\").replace('\'', "\\'");
                source.extend(["['", &quoted, "']"]);
            }
        }
        source.push_str(" }}");
        Self::compile(&source)
    }

    /// The template as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// True when it is text without any expression.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        matches!(self.0.parts, Parts::Literal(_))
    }

    /// Renders to a value: one that is a single expression keeps its type, all others are text.
    ///
    /// # Errors
    ///
    /// When it asks for something that is not there, or fails in another way.
    pub fn value(&self, names: &Names<'_>) -> Result<Value, TemplateError> {
        match &self.0.parts {
            Parts::Literal(value) => Ok(value.clone()),
            Parts::One(piece) => match piece.find(names) {
                Some(found) => Ok(found.clone()),
                None => {
                    let value = self.evaluate(piece, names)?;
                    serde_json::to_value(&value).map_err(|error| self.failed(&error))
                }
            },
            Parts::Several(_) | Parts::Whole(_) => self.text(names).map(Value::String),
        }
    }

    /// Renders to text.
    ///
    /// # Errors
    ///
    /// When it asks for something that is not there, or fails in another way.
    pub fn text(&self, names: &Names<'_>) -> Result<String, TemplateError> {
        match &self.0.parts {
            Parts::Literal(Value::String(text)) => Ok(text.clone()),
            Parts::Literal(other) => Ok(other.to_string()),
            Parts::One(piece) => {
                let mut out = String::new();
                self.write(piece, names, &mut out)?;
                Ok(out)
            }
            Parts::Several(segments) => {
                let mut out = String::with_capacity(self.0.source.len());
                for segment in segments {
                    match segment {
                        Segment::Text(text) => out.push_str(text),
                        Segment::Piece(piece) => self.write(piece, names, &mut out)?,
                    }
                }
                Ok(out)
            }
            Parts::Whole(environment) => environment
                .get_template(WHOLE)
                .and_then(|template| template.render(values(names)))
                .map_err(|error| self.error(&error)),
        }
    }

    fn write(
        &self,
        piece: &Piece,
        names: &Names<'_>,
        out: &mut String,
    ) -> Result<(), TemplateError> {
        use fmt::Write;
        match piece.find(names) {
            Some(Value::String(text)) => out.push_str(text),
            Some(Value::Number(number)) if !number.is_f64() => {
                write!(out, "{number}").map_err(|error| self.failed(&error))?;
            }
            Some(_) | None => {
                let value = self.evaluate(piece, names)?;
                write!(out, "{value}").map_err(|error| self.failed(&error))?;
            }
        }
        Ok(())
    }

    /// The value that it certainly is, where it is a plain path or has no expression in it.
    fn find<'a>(&'a self, names: &Names<'a>) -> Option<&'a Value> {
        match &self.0.parts {
            Parts::Literal(value) => Some(value),
            Parts::One(piece) => piece.find(names),
            Parts::Several(_) | Parts::Whole(_) => None,
        }
    }

    fn evaluate(
        &self,
        piece: &Piece,
        names: &Names<'_>,
    ) -> Result<minijinja::Value, TemplateError> {
        let value = piece.expression.eval(values(names)).map_err(|error| self.error(&error))?;
        if value.is_undefined() { Err(self.undefined()) } else { Ok(value) }
    }

    fn error(&self, error: &minijinja::Error) -> TemplateError {
        if error.kind() == ErrorKind::UndefinedError {
            self.undefined()
        } else {
            self.failed(&error)
        }
    }

    fn undefined(&self) -> TemplateError {
        TemplateError::Undefined { template: self.0.source.clone() }
    }

    fn failed(&self, reason: &dyn fmt::Display) -> TemplateError {
        TemplateError::Render { template: self.0.source.clone(), reason: reason.to_string() }
    }
}

/// The name of the one template of an environment of its own.
const WHOLE: &str = "template";

fn whole(source: &str) -> Result<Parts, TemplateError> {
    let mut environment = environment();
    environment
        .add_template_owned(WHOLE, source.to_owned())
        .map_err(|error| syntax(source, &error))?;
    Ok(Parts::Whole(environment))
}

fn syntax(source: &str, error: &minijinja::Error) -> TemplateError {
    let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    TemplateError::Syntax { template: source.to_owned(), reason }
}

fn pieces(source: &str, chunks: Vec<Chunk<'_>>) -> Result<Parts, TemplateError> {
    let mut segments = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        segments.push(match chunk {
            Chunk::Text(text) => Segment::Text(text.to_owned()),
            Chunk::Expression(text) => Segment::Piece(Piece {
                path: path(text),
                expression: ENVIRONMENT
                    .compile_expression_owned(text.to_owned())
                    .map_err(|error| syntax(source, &error))?,
            }),
        });
    }
    if segments.len() == 1
        && let Some(Segment::Piece(piece)) = segments.pop_if(|one| matches!(one, Segment::Piece(_)))
    {
        return Ok(Parts::One(piece));
    }
    Ok(Parts::Several(segments))
}

enum Chunk<'s> {
    Text(&'s str),
    Expression(&'s str),
}

/// Cuts a template into text and expressions; `None` where only minijinja knows how (blocks, comments,
/// trimming of white space, an expression that does not end).
fn cut(source: &str) -> Option<Vec<Chunk<'_>>> {
    let mut chunks = Vec::new();
    let mut rest = source;
    while let Some(start) = rest.find('{') {
        let after = &rest[start + 1..];
        match after.as_bytes().first() {
            Some(b'%' | b'#') => return None,
            Some(b'{') => {}
            _ => {
                // A single brace is text, and stays with the text behind it.
                let end = after.find('{').map_or(rest.len(), |next| start + 1 + next);
                chunks.push(Chunk::Text(&rest[..end]));
                rest = &rest[end..];
                continue;
            }
        }
        let inside = &after[1..];
        let end = end_of_expression(inside)?;
        let expression = &inside[..end];
        if expression.starts_with(['-', '+']) || expression.ends_with(['-', '+']) {
            return None;
        }
        if start > 0 {
            chunks.push(Chunk::Text(&rest[..start]));
        }
        chunks.push(Chunk::Expression(expression));
        rest = &inside[end + 2..];
    }
    if !rest.is_empty() {
        chunks.push(Chunk::Text(rest));
    }
    Some(chunks)
}

/// Where the `}}` of an expression stands. Braces of a map and quoted text do not end it.
fn end_of_expression(inside: &str) -> Option<usize> {
    let bytes = inside.as_bytes();
    let mut quote = None;
    let mut depth = 0_usize;
    let mut index = 0;
    while index < bytes.len() {
        match (quote, bytes[index]) {
            (Some(_), b'\\') => index += 1,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(index + 1) == Some(&b'}') => return Some(index),
            (None, _) => {}
        }
        index += 1;
    }
    None
}

/// The steps of a plain path: names with dots, numbers and simple quoted names in brackets.
fn path(expression: &str) -> Option<Vec<Step>> {
    let mut rest = expression.trim();
    let mut steps = Vec::new();
    loop {
        let name = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .map_or(rest, |end| &rest[..end]);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        if steps.is_empty() && RESERVED.contains(&name) {
            return None;
        }
        steps.push(Step::Key(name.to_owned()));
        rest = &rest[name.len()..];
        while let Some(inside) = rest.strip_prefix('[') {
            let (step, after) = inside.split_once(']')?;
            steps.push(bracket(step)?);
            rest = after;
        }
        if rest.is_empty() {
            return Some(steps);
        }
        rest = rest.strip_prefix('.')?;
    }
}

fn bracket(step: &str) -> Option<Step> {
    if let Some(name) = step.strip_prefix('\'').and_then(|step| step.strip_suffix('\'')) {
        let simple = !name.contains(['\'', '"', '\\', '[', ']']);
        return simple.then(|| Step::Key(name.to_owned()));
    }
    let digits = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| step.parse().ok()).flatten().map(Step::Index)
}

impl Piece {
    /// What a plain path leads to, when it certainly leads there.
    fn find<'a>(&self, names: &Names<'a>) -> Option<&'a Value> {
        let (head, steps) = self.path.as_ref()?.split_first()?;
        let Step::Key(head) = head else { return None };
        let mut found = names.iter().find(|(name, _)| name == head).map(|(_, value)| *value)?;
        for step in steps {
            found = match (step, found) {
                (Step::Key(key), Value::Object(fields)) => fields.get(key)?,
                (Step::Index(index), Value::Array(items)) => items.get(*index)?,
                _ => return None,
            };
        }
        Some(found)
    }
}

fn values(names: &Names<'_>) -> minijinja::Value {
    names
        .iter()
        .rev()
        .map(|(name, value)| {
            ((*name).to_owned(), minijinja::Value::from(minijinja::value::Serde(*value)))
        })
        .collect::<std::collections::BTreeMap<String, minijinja::Value>>()
        .into()
}

/// A JSON value whose text leaves are templates.
///
/// A field whose name ends in `?` is left out when what it asks for is not there.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// Has no expression anywhere.
    Constant(Value),
    /// A text leaf.
    Leaf(Template),
    /// A list.
    List(Vec<Tree>),
    /// An object.
    Object(Vec<Field>),
}

/// A field of a [`Tree::Object`].
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// True when it is left out where its value asks for something that is not there.
    pub optional: bool,
    /// Its value.
    pub value: Tree,
}

impl Tree {
    /// Compiles all leaves; reports at `at` what is wrong with them, and gives `None` then. `names` are
    /// those that they may use.
    #[must_use]
    pub fn resolve(value: &Value, names: &[&str], at: &At<'_>) -> Option<Self> {
        match value {
            Value::String(text) => {
                let template = Template::resolve(text, names, at)?;
                Some(if template.is_literal() {
                    Self::Constant(value.clone())
                } else {
                    Self::Leaf(template)
                })
            }
            Value::Array(items) => {
                let trees: Vec<_> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| Self::resolve(item, names, &at.index(index)))
                    .collect();
                let trees: Vec<_> = trees.into_iter().collect::<Option<_>>()?;
                let constant = trees.iter().all(|tree| matches!(tree, Self::Constant(_)));
                Some(if constant { Self::Constant(value.clone()) } else { Self::List(trees) })
            }
            Value::Object(fields) => Self::object(fields, names, at),
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(Self::Constant(value.clone())),
        }
    }

    fn object(fields: &Map<String, Value>, names: &[&str], at: &At<'_>) -> Option<Self> {
        let trees: Vec<_> = fields
            .iter()
            .map(|(key, value)| {
                let name = key.strip_suffix('?').unwrap_or(key);
                let value = Self::resolve(value, names, &at.key(key))?;
                Some(Field { name: name.to_owned(), optional: name.len() < key.len(), value })
            })
            .collect();
        let trees: Vec<_> = trees.into_iter().collect::<Option<_>>()?;
        if !trees.iter().all(|field| matches!(field.value, Self::Constant(_))) {
            return Some(Self::Object(trees));
        }
        let constant = trees.into_iter().filter_map(|field| match field.value {
            Self::Constant(value) => Some((field.name, value)),
            Self::Leaf(_) | Self::List(_) | Self::Object(_) => None,
        });
        Some(Self::Constant(Value::Object(constant.collect())))
    }

    /// The value that it was made of, with the templates as written.
    #[must_use]
    pub fn source(&self) -> Value {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Leaf(template) => Value::from(template.source()),
            Self::List(items) => items.iter().map(Self::source).collect(),
            Self::Object(fields) => {
                let fields = fields.iter().map(|field| {
                    let mark = if field.optional { "?" } else { "" };
                    (format!("{}{mark}", field.name), field.value.source())
                });
                Value::Object(fields.collect())
            }
        }
    }

    /// The names that the leaves ask for.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        match self {
            Self::Constant(_) => BTreeSet::new(),
            Self::Leaf(template) => template.names(),
            Self::List(items) => items.iter().flat_map(Self::names).collect(),
            Self::Object(fields) => fields.iter().flat_map(|one| one.value.names()).collect(),
        }
    }

    /// Renders the tree.
    ///
    /// # Errors
    ///
    /// When a leaf that is not optional asks for something that is not there, or fails.
    pub fn render(&self, names: &Names<'_>) -> Result<Value, TemplateError> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Leaf(template) => template.value(names),
            Self::List(items) => items
                .iter()
                .map(|item| item.render(names))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            Self::Object(fields) => {
                let mut map = Map::with_capacity(fields.len());
                for field in fields {
                    match field.value.render(names) {
                        Ok(value) => {
                            map.insert(field.name.clone(), value);
                        }
                        Err(TemplateError::Undefined { .. }) if field.optional => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(Value::Object(map))
            }
        }
    }

    /// What it renders to, where that stands somewhere already: one plain path, or a constant.
    #[must_use]
    pub fn find<'a>(&'a self, names: &Names<'a>) -> Option<&'a Value> {
        match self {
            Self::Constant(value) => Some(value),
            Self::Leaf(template) => template.find(names),
            Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The tree's constant value, or what it renders to without any names.
    #[must_use]
    pub fn constant(&self) -> Option<Cow<'_, Value>> {
        match self {
            Self::Constant(value) => Some(Cow::Borrowed(value)),
            Self::Leaf(_) | Self::List(_) | Self::Object(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
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
            ("{% if input.amount > 5 %}big{% endif %}", json!("big")),
            (" {{- input.text -}} ", json!("x")),
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
    fn an_endless_template_is_stopped() {
        let source =
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        let error = value(source, &[]).expect_err("takes too long");
        assert!(matches!(error, TemplateError::Render { .. }), "{error}");
    }

    #[test]
    fn wrong_templates_and_unknown_names_are_reported() {
        for (source, says) in [
            ("{{ input. }}", "is no template"),
            ("{{ input", "is no template"),
            ("{% if %}", "is no template"),
            ("{{ inptu.a }}", "does not know `inptu`"),
            ("{% for a in inptu %}{{ a }}{% endfor %}", "does not know `inptu`"),
        ] {
            let problems = Diagnostics::new();
            assert!(Template::resolve(source, &["input"], &problems.root()).is_none());
            let problems = problems.into_vec();
            assert!(problems[0].message.contains(says), "{source}: {problems:?}");
        }
        let problems = Diagnostics::new();
        let good = "{% for a in range(3) %}{{ a }}{% endfor %}{{ input }}";
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
        let environment = environment();
        environment.render_str(source, values(names)).ok()
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
            let expression = environment();
            let expression = expression.compile_expression(source[2..source.len() - 2].trim());
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
            prop_assert_eq!(ours, by_minijinja(&source, &names));
        }
    }
}
