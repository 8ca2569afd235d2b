//! Templates: strict minijinja, compiled once, with a short way past it for what is simple.
//!
//! A template is cut into literal text and expressions when it is compiled; it has no statements, which would let
//! an API file make anything of anything. An expression that is a plain path (`{{ input.amount }}`) is walked over
//! the values directly, because that is what nearly every answer is made of; everything else goes through
//! minijinja, with undefined names as errors and a bound on work. Knows nothing about APIs or scenarios.
//! **Invariant:** the short way never differs from minijinja: where it is not sure, it does not answer.

mod budget;
mod language;
mod tree;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use minijinja::{ErrorKind, Expression};
use serde_json::{Map, Value};

pub use budget::Budget;
pub use tree::{Field, Tree};

use crate::document::At;
use budget::Bounded;
use language::{ENVIRONMENT, Wrong};

/// The names that a template can use, and what they stand for. An earlier name hides a later one.
pub type Names<'a> = [(&'a str, &'a Value)];

/// Words that are no names at the head of a path.
const RESERVED: [&str; 14] = [
    "true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else",
    "loop",
];

/// Why a template gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is not written as templates are.
    #[error("`{template}` is no template: {reason}")]
    Syntax {
        /// The template.
        template: String,
        /// What is wrong.
        reason: String,
    },
    /// It names a filter or a test that is not there.
    #[error("`{template}` names the {what} `{name}`, and there is none of that name")]
    Unknown {
        /// The template.
        template: String,
        /// `filter` or `test`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// It asks for something that is not there.
    #[error("`{template}` asks for something that is not there")]
    Undefined {
        /// The template.
        template: String,
    },
    /// It would become more than the mock makes of any template.
    #[error("`{template}` would become more than the mock makes: {reason}")]
    TooMuch {
        /// The template, or its beginning.
        template: String,
        /// What there would be too much of.
        reason: String,
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
    names: BTreeSet<String>,
}

enum Parts {
    /// Text without any expression.
    Literal(Value),
    /// One expression and nothing else: keeps its type.
    One(Piece),
    /// Text and expressions.
    Several(Vec<Segment>),
}

impl Parts {
    /// The names that their expressions ask for.
    fn names(&self) -> BTreeSet<String> {
        let of = |piece: &Piece| piece.expression.undeclared_variables(false).into_iter();
        match self {
            Self::Literal(_) => BTreeSet::new(),
            Self::One(piece) => of(piece).collect(),
            Self::Several(segments) => segments
                .iter()
                .filter_map(|segment| match segment {
                    Segment::Text(_) => None,
                    Segment::Piece(piece) => Some(of(piece)),
                })
                .flatten()
                .collect(),
        }
    }
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
            pieces(source, cut(source)?)?
        };
        let names = parts.names();
        Ok(Self(Arc::new(Compiled { source: source.to_owned(), parts, names })))
    }

    /// Compiles a template and reports at `at` what is wrong with it; `names` are those that it may use.
    #[must_use]
    pub fn resolve(source: &str, names: &[&str], at: &At<'_>) -> Option<Self> {
        let template = Self::compile(source)
            .map_err(|error| {
                at.error(error.to_string(), |d| {
                    if let TemplateError::Unknown { what, name, .. } = &error {
                        d.allowed(name, language::names_of(what))
                    } else {
                        d.cure("write expressions as `{{ name.field }}`, and text outside of them")
                    }
                });
            })
            .ok()?;
        let mut all_known = true;
        for name in template.names() {
            let is_global = || ENVIRONMENT.globals().any(|(global, _)| global == *name);
            if !names.contains(&name.as_str()) && !is_global() {
                all_known = false;
                at.error(format!("a template here does not know `{name}`"), |d| {
                    d.allowed(name, names)
                });
            }
        }
        all_known.then_some(template)
    }

    /// The names that the template asks for, sorted.
    #[must_use]
    pub fn names(&self) -> &BTreeSet<String> {
        &self.0.names
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
        self.value_within(names, &Budget::default())
    }

    /// The same, within what an answer may still become.
    ///
    /// # Errors
    ///
    /// Also when that is not enough.
    pub fn value_within(&self, names: &Names<'_>, budget: &Budget) -> Result<Value, TemplateError> {
        let copied = |value: &Value| {
            budget.spend(value).map_err(|error| self.too_much(&error))?;
            Ok(value.clone())
        };
        match &self.0.parts {
            Parts::Literal(value) => copied(value),
            Parts::One(piece) => match piece.find(names) {
                Some(found) => copied(found),
                None => {
                    let value = self.evaluate(piece, names)?;
                    budget.spend_made(&value).map_err(|error| self.too_much(&error))?;
                    serde_json::to_value(&value).map_err(|error| self.failed(&error))
                }
            },
            Parts::Several(_) => {
                let text = self.text(names)?;
                budget.spend_one(text.len()).map_err(|error| self.too_much(&error))?;
                Ok(Value::String(text))
            }
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
        }
    }

    fn write(
        &self,
        piece: &Piece,
        names: &Names<'_>,
        out: &mut String,
    ) -> Result<(), TemplateError> {
        use fmt::Write;
        let mut out = Bounded(out);
        match piece.find(names) {
            Some(Value::String(text)) => out.write_str(text),
            Some(Value::Number(number)) if !number.is_f64() => write!(out, "{number}"),
            Some(_) | None => write!(out, "{}", self.evaluate(piece, names)?),
        }
        .map_err(|_| self.too_much(&Bounded::FULL))
    }

    /// The value that it certainly is, where it is a plain path or has no expression in it.
    fn find<'a>(&'a self, names: &Names<'a>) -> Option<&'a Value> {
        match &self.0.parts {
            Parts::Literal(value) => Some(value),
            Parts::One(piece) => piece.find(names),
            Parts::Several(_) => None,
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
        } else if error.kind() == ErrorKind::OutOfFuel {
            self.too_much(&error.detail().unwrap_or_default())
        } else {
            self.failed(&error)
        }
    }

    fn undefined(&self) -> TemplateError {
        TemplateError::Undefined { template: self.0.source.clone() }
    }

    fn too_much(&self, reason: &dyn fmt::Display) -> TemplateError {
        TemplateError::TooMuch { template: self.0.source.clone(), reason: reason.to_string() }
    }

    fn failed(&self, reason: &dyn fmt::Display) -> TemplateError {
        TemplateError::Render { template: self.0.source.clone(), reason: reason.to_string() }
    }
}

fn syntax(source: &str, error: &minijinja::Error) -> TemplateError {
    let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    refused(source, reason)
}

fn refused(source: &str, reason: impl Into<String>) -> TemplateError {
    TemplateError::Syntax { template: brief(source), reason: reason.into() }
}

/// A template as messages name it.
fn brief(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST).chain("…".chars()).collect()
}

fn pieces(source: &str, chunks: Vec<Chunk<'_>>) -> Result<Parts, TemplateError> {
    let mut segments = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        if let Chunk::Expression(text) = &chunk {
            language::check(text).map_err(|wrong| match wrong {
                Wrong::Refused(reason) => refused(source, reason),
                Wrong::Unknown { what, name } => {
                    TemplateError::Unknown { template: brief(source), what, name }
                }
            })?;
        }
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

/// Cuts a template into text and expressions.
fn cut(source: &str) -> Result<Vec<Chunk<'_>>, TemplateError> {
    const STATEMENT: &str = "`{%` and `{#` mean nothing here: a template is text and expressions; \
                             a choice is written `{{ this if that else other }}`";
    let mut chunks = Vec::new();
    let mut rest = source;
    while let Some(start) = rest.find('{') {
        let after = &rest[start + 1..];
        match after.as_bytes().first() {
            Some(b'%' | b'#') => return Err(refused(source, STATEMENT)),
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
        let end = end_of_expression(inside)
            .ok_or_else(|| refused(source, "an expression has no end: `}}` is missing"))?;
        let expression = &inside[..end];
        if expression.starts_with(['-', '+']) || expression.ends_with(['-', '+']) {
            let reason = "a sign at the end of an expression trims white space, which is not done \
                          here; write a space before a number's sign";
            return Err(refused(source, reason));
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
    Ok(chunks)
}

/// Where the `}}` of an expression stands. Braces of a map and quoted text do not end it.
fn end_of_expression(inside: &str) -> Option<usize> {
    let bytes = inside.as_bytes();
    let mut depth = 0_usize;
    let mut index = 0;
    while index < bytes.len() {
        match bytes[index] {
            quote @ (b'"' | b'\'') => {
                index += language::quoted(&inside[index..], char::from(quote));
                continue;
            }
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b'}' if bytes.get(index + 1) == Some(&b'}') => return Some(index),
            _ => {}
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

/// The field of that name. In an object of few fields, comparing names is quicker than hashing one.
#[must_use]
pub fn field<'v>(fields: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    const FEW: usize = 12;
    if fields.len() > FEW {
        return fields.get(name);
    }
    fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

impl Piece {
    /// What a plain path leads to, when it certainly leads there.
    fn find<'a>(&self, names: &Names<'a>) -> Option<&'a Value> {
        let (head, steps) = self.path.as_ref()?.split_first()?;
        let Step::Key(head) = head else { return None };
        let mut found = names.iter().find(|(name, _)| name == head).map(|(_, value)| *value)?;
        for step in steps {
            found = match (step, found) {
                (Step::Key(key), Value::Object(fields)) => field(fields, key)?,
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

#[cfg(test)]
mod tests;
