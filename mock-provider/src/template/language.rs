//! The language of one expression: minijinja's, without what grows and grows.
//!
//! **Invariant:** what an expression holds while it is worked out is bounded. A filter is charged for what it is
//! given and for what it makes, before it makes it where that can be far more; what no filter makes is as large as
//! the values that are there, as often as the expression names them, which [`check`] bounds.

use std::sync::LazyLock;

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use minijinja::{filters, functions, tests};

/// The longest expression, in bytes: it is read recursively.
const LONGEST: usize = 4_096;

/// The most operators and commas of an expression, which put values together.
const MOST_PARTS: usize = 64;

/// The most multiplications of an expression: each may make a text of 100 MB, which minijinja allows.
const MOST_PRODUCTS: usize = 4;

/// The most digits of a width in what `format` is given.
const MOST_DIGITS: usize = 3;

/// What the filters and tests of one expression may be given and make together, in bytes.
const MOST_WORK: usize = 256 << 20;

/// What a value counts for, beside the text that it is.
const VALUE_BYTES: usize = 16;

/// The one environment of all expressions.
pub(super) static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

/// Tables of what minijinja brings, by the names under which templates know it.
macro_rules! known {
    ($module:ident: $($name:literal $function:ident),* $(,)?) => {
        [$(($name, Value::from_function($module::$function))),*]
    };
}

fn known_filters() -> impl Iterator<Item = (&'static str, Value)> {
    known!(filters:
        "abs" abs, "attr" attr, "bool" bool, "capitalize" capitalize, "count" length, "d" default,
        "default" default, "first" first, "float" float, "format" format, "int" int, "join" join, "last" last,
        "length" length, "lines" lines, "list" list, "lower" lower, "map" map, "max" max, "min" min,
        "reject" reject, "rejectattr" rejectattr, "replace" replace, "reverse" reverse, "round" round,
        "select" select, "selectattr" selectattr, "sort" sort, "split" split, "string" string, "sum" sum,
        "title" title, "tojson" tojson, "trim" trim, "unique" unique, "upper" upper,
    )
    .into_iter()
    .chain([("pick", Value::from_function(pick))])
}

/// The values of the named fields of an object, in the order of the names; `exactly=true` says that it has no others.
///
/// # Errors
///
/// That something is undefined, where the object lacks one of them or has another: a request that does not name what
/// it is about.
fn pick(object: &Value, names: &Value, more: Kwargs) -> Result<Vec<Value>, Error> {
    let exactly: bool = more.get::<Option<bool>>("exactly")?.unwrap_or_default();
    more.assert_all_used()?;
    let names: Vec<Value> = match names.as_str() {
        Some(_) => vec![names.clone()],
        None => names.try_iter()?.collect(),
    };
    let values: Vec<Value> =
        names.iter().map(|name| object.get_item(name)).collect::<Result<_, _>>()?;
    let has_others = exactly && object.len() != Some(names.len());
    if has_others || values.iter().any(Value::is_undefined) {
        return Err(ErrorKind::UndefinedError.into());
    }
    Ok(values)
}

fn known_tests() -> impl Iterator<Item = (&'static str, Value)> {
    known!(tests:
        "boolean" is_boolean, "defined" is_defined, "divisibleby" is_divisibleby, "endingwith" is_endingwith,
        "eq" is_eq, "equalto" is_eq, "even" is_even, "false" is_false, "float" is_float, "ge" is_ge,
        "greaterthan" is_gt, "gt" is_gt, "in" is_in, "int" is_integer, "integer" is_integer,
        "iterable" is_iterable, "le" is_le, "lessthan" is_lt, "lower" is_lower, "lt" is_lt,
        "mapping" is_mapping, "ne" is_ne, "none" is_none, "number" is_number, "odd" is_odd,
        "sequence" is_sequence, "startingwith" is_startingwith, "string" is_string, "true" is_true,
        "undefined" is_undefined, "upper" is_upper,
        "==" is_eq, "!=" is_ne, "<" is_lt, "<=" is_le, ">" is_gt, ">=" is_ge,
    )
    .into_iter()
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = minijinja::syntax::SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    environment.set_syntax(syntax.build().expect("the default delimiters are legal"));
    for (name, filter) in known_filters() {
        environment.add_filter(
            name,
            move |state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>| {
                charged(name, &filter, state, &arguments.into_values())
            },
        );
    }
    for (name, test) in known_tests() {
        environment.add_test(name, move |state: &mut State<'_, '_>, arguments: Rest<Value>| {
            for argument in &*arguments {
                work(state).charge_for(argument)?;
            }
            test.call(state, &arguments).map(|answer| answer.is_true())
        });
    }
    environment.add_function("range", functions::range);
    environment
}

/// What the filters of an expression may still be given and make, in bytes.
#[derive(Clone, Copy)]
struct Work(usize);

impl Work {
    fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            let reason =
                format!("its filters would be given and make more than {} MiB", MOST_WORK >> 20);
            Error::new(ErrorKind::OutOfFuel, reason)
        })?;
        Ok(())
    }

    /// Charges for a value and all that is in it, and says what that is. One value may stand in a list a million
    /// times: it counts as often.
    fn charge_for(&mut self, value: &Value) -> Result<usize, Error> {
        let text = value.as_str().map_or(0, str::len);
        let mut bytes = text.saturating_add(VALUE_BYTES);
        self.charge(bytes)?;
        let kind = value.kind();
        if matches!(kind, ValueKind::Map | ValueKind::Seq | ValueKind::Iterable) {
            for inner in value.try_iter().into_iter().flatten() {
                bytes = bytes.saturating_add(self.charge_for(&inner)?);
                if kind == ValueKind::Map
                    && let Ok(inner) = value.get_item(&inner)
                {
                    bytes = bytes.saturating_add(self.charge_for(&inner)?);
                }
            }
        }
        Ok(bytes)
    }
}

/// The work of this expression. Others may be at it meanwhile: `map` calls the filter that it is given.
fn work<'s>(state: &'s mut State<'_, '_>) -> &'s mut Work {
    state.get_or_insert_extension(Work(MOST_WORK))
}

/// Applies a filter, where what it is given and what it makes is not too much.
fn charged(
    name: &str,
    filter: &Value,
    state: &mut State<'_, '_>,
    arguments: &[Value],
) -> Result<Value, Error> {
    let mut given = 0_usize;
    for argument in arguments {
        given = given.saturating_add(work(state).charge_for(argument)?);
    }
    work(state).charge(more_than_given(name, arguments, given)?)?;
    let made = filter.call(state, arguments)?;
    work(state).charge_for(&made)?;
    Ok(made)
}

/// What a filter may make that is far more than what it is given, in bytes.
fn more_than_given(name: &str, arguments: &[Value], given: usize) -> Result<usize, Error> {
    let refused = |reason| Err(Error::new(ErrorKind::InvalidOperation, reason));
    let text = |index: usize| arguments.get(index).map(ToString::to_string).unwrap_or_default();
    let first = arguments.first();
    match name {
        // Each place where the first text stands takes the whole of the second; nothing stands everywhere.
        "replace" => Ok(text(0).matches(text(1).as_str()).count().saturating_mul(text(2).len())),
        // What stands between two entries is there as often as there are entries.
        "join" => Ok(first.and_then(Value::len).unwrap_or(given).saturating_mul(text(1).len())),
        "format" => {
            let format = text(0);
            let is_wide = |digits: &str| digits.len() > MOST_DIGITS;
            if format.split(|c: char| !c.is_ascii_digit()).any(is_wide) || format.contains('*') {
                return refused("a width or precision of `format` has at most three digits");
            }
            // Each place may take all that is given.
            Ok(format.matches('%').count().saturating_mul(given.saturating_add(1_000)))
        }
        "tojson" if arguments.len() > 1 => refused("`tojson` takes nothing here"),
        // A letter becomes a value.
        "list" | "lines" | "map" | "reject" | "select" | "sort" | "split" | "unique" => {
            Ok(first.and_then(Value::as_str).map_or(0, str::len).saturating_mul(VALUE_BYTES))
        }
        _ => Ok(0),
    }
}

/// What is wrong with an expression before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// No expression has it.
    Refused(String),
    /// It names a filter or a test that is not there.
    Unknown {
        /// `filter` or `test`.
        what: &'static str,
        /// The name.
        name: String,
    },
}

/// The names that there are of a `filter` or a `test`.
pub(super) fn names_of(what: &str) -> Vec<&'static str> {
    let known: Box<dyn Iterator<Item = (&'static str, Value)>> = match what {
        "filter" => Box::new(known_filters()),
        _ => Box::new(known_tests()),
    };
    known
        .map(|(name, _)| name)
        .filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
        .collect()
}

/// Looks through an expression for what no expression may have.
pub(super) fn check(expression: &str) -> Result<(), Wrong> {
    let refused = |reason: String| Err(Wrong::Refused(reason));
    if expression.len() > LONGEST {
        let bytes = expression.len();
        return refused(format!("an expression of {bytes} bytes; at most {LONGEST} are read"));
    }
    let (mut parts, mut products) = (0, 0);
    let mut makes_more = None;
    // The filter or test that the next word names.
    let mut awaits = None;
    let tokens: Vec<_> = tokens(expression).collect();
    for (index, token) in tokens.iter().enumerate() {
        match *token {
            Token::Text if is_name_of_field(&tokens, index) => {}
            Token::Text => makes_more = makes_more.or(Some("text")),
            Token::Word(word) => match (awaits.take(), word) {
                (Some("test"), "not") => awaits = Some("test"),
                (Some(what), name) if !names_of(what).contains(&name) => {
                    return Err(Wrong::Unknown { what, name: name.to_owned() });
                }
                (Some(_), _) => {}
                (None, "is") => awaits = Some("test"),
                (None, "in") => makes_more = makes_more.or(Some("`in`")),
                (None, _) => {}
            },
            Token::Sign('|') => awaits = Some("filter"),
            Token::Sign('#') => return refused("`#` means nothing in an expression".to_owned()),
            // A list that is repeated has no end for who looks for one of its entries, or turns it round.
            Token::Sign('[') if !is_index(&tokens, index) => {
                makes_more = makes_more.or(Some("list"));
            }
            Token::Sign(':') => makes_more = makes_more.or(Some("`:`")),
            Token::Sign('*') if repeats_text(&tokens, index) => {}
            Token::Sign('*') => products += 1,
            Token::Sign(sign @ ('~' | '+' | ',')) => {
                parts += 1;
                if sign == '~' {
                    makes_more = makes_more.or(Some("`~`"));
                }
            }
            Token::Sign(_) => {}
        }
    }
    if parts > MOST_PARTS {
        return refused(format!(
            "an expression of {parts} operators and commas; at most {MOST_PARTS} are read"
        ));
    }
    match makes_more {
        _ if products > MOST_PRODUCTS => {
            refused(format!("an expression multiplies at most {MOST_PRODUCTS} times"))
        }
        Some(what) if products > 0 => refused(format!(
            "an expression that multiplies is about numbers alone, and has no {what}"
        )),
        _ => Ok(()),
    }
}

/// True for the bracket of `prices[0]`, which picks out of what a name stands for.
fn is_index(tokens: &[Token<'_>], index: usize) -> bool {
    match before(tokens, index) {
        Some(Token::Word(word)) => !super::RESERVED.contains(word),
        Some(Token::Sign(sign)) => *sign == ']',
        Some(Token::Text) | None => false,
    }
}

/// True for the text of `amounts['of goods']`, which is the name of a field.
fn is_name_of_field(tokens: &[Token<'_>], index: usize) -> bool {
    let is_alone = matches!(
        (before(tokens, index), tokens.get(index + 1)),
        (Some(Token::Sign('[')), Some(Token::Sign(']')))
    );
    is_alone && is_index(tokens, index - 1)
}

fn before<'t, 'e>(tokens: &'t [Token<'e>], index: usize) -> Option<&'t Token<'e>> {
    index.checked_sub(1).and_then(|index| tokens.get(index))
}

/// True for the sign of `'a text' * 400`, which is at most so often as long as the expression.
fn repeats_text(tokens: &[Token<'_>], index: usize) -> bool {
    const MOST_DIGITS: usize = 4;
    let is_text =
        matches!(index.checked_sub(1).and_then(|before| tokens.get(before)), Some(Token::Text));
    let is_small =
        |word: &str| word.len() <= MOST_DIGITS && word.bytes().all(|b| b.is_ascii_digit());
    is_text && matches!(tokens.get(index + 1), Some(Token::Word(word)) if is_small(word))
}

/// What [`check`] tells apart.
enum Token<'e> {
    /// A quoted text.
    Text,
    /// A name, a number, or a word of the language.
    Word(&'e str),
    /// Any other sign.
    Sign(char),
}

fn tokens(expression: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = expression;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let is_of_word = |c: char| c == '_' || c.is_alphanumeric();
        let (token, length) = if matches!(first, '"' | '\'') {
            (Token::Text, quoted(rest, first))
        } else if is_of_word(first) {
            let length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
            (Token::Word(&rest[..length]), length)
        } else {
            (Token::Sign(first), first.len_utf8())
        };
        rest = &rest[length..];
        Some(token)
    })
}

/// How long a quoted text is, with its quotes.
pub(super) fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return index + 1,
            _ => {}
        }
    }
    text.len()
}
