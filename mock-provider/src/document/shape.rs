//! A walk of a value along a JSON Schema that finds everything in it that has the wrong shape.
//!
//! It knows the part of JSON Schema that `schemars` makes of our types: references, properties, required
//! and unknown keys, items, alternatives, words, types and ranges of numbers. What a text must look like
//! is left to the type that reads it.
//! **Invariant:** it walks once, stops after [`MAX_FINDINGS`], and what it does not know it accepts.

use schemars::Schema;
use serde_json::{Map, Value};

use super::diagnostic::{At, Diagnostic};
use super::words::{found, plain, tag_of, titled, types_of, words_of};

/// After so many findings the walk stops.
const MAX_FINDINGS: usize = 100;
/// How many references may lead to each other.
const MAX_REFERENCES: usize = 16;

/// One step down into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Key(String),
    Index(usize),
}

/// Something of the wrong shape.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// Where it is reported.
    pub(super) path: Vec<Segment>,
    /// What must go, so that the rest can be read.
    pub(super) take_out: Option<Vec<Segment>>,
    at_key: bool,
    message: String,
    wrong: String,
    allowed: Vec<String>,
    cure: Option<String>,
}

impl Finding {
    fn new(path: &[Segment], message: String) -> Self {
        Self {
            path: path.to_vec(),
            take_out: Some(path.to_vec()),
            at_key: false,
            message,
            wrong: String::new(),
            allowed: Vec::new(),
            cure: None,
        }
    }

    /// What a type says of a text it refuses; the cure stands after a semicolon.
    pub(super) fn text(path: Vec<Segment>, error: &str) -> Self {
        let (message, cure) = match error.split_once("; ") {
            Some((message, cure)) => (message, Some(cure.to_owned())),
            None => (error, None),
        };
        Self { cure, ..Self::new(&path, message.to_owned()) }
    }

    /// Reports it below `at`.
    pub(super) fn report(&self, at: &At<'_>) {
        let mut here = at.clone();
        for segment in &self.path {
            here = match segment {
                Segment::Key(key) => here.key(key),
                Segment::Index(index) => here.index(*index),
            };
        }
        here.error(self.message.clone(), |diagnostic| Diagnostic {
            at_key: self.at_key,
            cure: self.cure.clone(),
            ..diagnostic.allowed(&self.wrong, &self.allowed)
        });
    }
}

/// Takes the value at `path` out: a key is removed, an element of a list becomes `null` (so that the
/// others keep their places), and so does the whole.
pub(super) fn take_out(value: &mut Value, path: &[Segment]) {
    let Some((last, around)) = path.split_last() else {
        *value = Value::Null;
        return;
    };
    let mut here = value;
    for segment in around {
        let next = match segment {
            Segment::Key(key) => here.get_mut(key.as_str()),
            Segment::Index(index) => here.get_mut(*index),
        };
        let Some(next) = next else { return };
        here = next;
    }
    match (last, here) {
        (Segment::Key(key), Value::Object(map)) => {
            map.shift_remove(key.as_str());
        }
        (Segment::Index(index), Value::Array(list)) => {
            if let Some(element) = list.get_mut(*index) {
                *element = Value::Null;
            }
        }
        _ => {}
    }
}

/// A schema with its definitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape<'s> {
    root: &'s Value,
}

impl<'s> Shape<'s> {
    /// The shape that a whole schema asks for.
    pub(super) fn new(schema: &'s Schema) -> Self {
        Self { root: schema.as_value() }
    }

    /// True when a map is a legal value.
    pub(super) fn takes_map(&self) -> bool {
        self.forms(self.root).iter().any(|form| accepts(form, &Value::Object(Map::new())))
    }

    /// All that is wrong with `value`.
    pub(super) fn findings(&self, value: &Value) -> Vec<Finding> {
        let mut walk = Walk { shape: *self, path: Vec::new(), findings: Vec::new() };
        walk.value(self.root, value);
        walk.findings
    }

    /// Replaces texts that have a format.
    pub(super) fn map_strings(
        &self,
        value: &mut Value,
        change: &dyn Fn(&str, &str) -> Option<String>,
    ) {
        self.map_strings_of(self.root, value, change);
    }

    fn map_strings_of(
        &self,
        schema: &'s Value,
        value: &mut Value,
        change: &dyn Fn(&str, &str) -> Option<String>,
    ) {
        let forms = self.forms(schema);
        match value {
            Value::String(text) => {
                let formats = forms.iter().filter_map(|form| form.get("format")?.as_str());
                if let Some(changed) = formats.filter_map(|format| change(format, text)).next() {
                    *text = changed;
                }
            }
            Value::Array(list) => {
                if let Some(items) = forms.iter().find_map(|form| form.get("items")) {
                    for element in list {
                        self.map_strings_of(items, element, change);
                    }
                }
            }
            Value::Object(map) => {
                for (key, element) in map {
                    let known = |form: &&'s Value| form.get("properties")?.get(key.as_str());
                    let other = |form: &&'s Value| form.get("additionalProperties");
                    let schema =
                        forms.iter().find_map(known).or_else(|| forms.iter().find_map(other));
                    if let Some(schema) = schema {
                        self.map_strings_of(schema, element, change);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The schema itself, or what its reference leads to.
    fn resolve(&self, schema: &'s Value) -> &'s Value {
        let mut schema = schema;
        for _ in 0..MAX_REFERENCES {
            let target = schema.get("$ref").and_then(Value::as_str);
            let found = target
                .and_then(|target| target.strip_prefix('#'))
                .and_then(|pointer| self.root.pointer(pointer));
            match found {
                Some(found) => schema = found,
                None => break,
            }
        }
        schema
    }

    /// The alternatives of a schema, or the schema itself where it has none.
    fn forms(&self, schema: &'s Value) -> Vec<&'s Value> {
        let mut forms = Vec::new();
        self.collect_forms(schema, &mut forms, 0);
        forms
    }

    fn collect_forms(&self, schema: &'s Value, forms: &mut Vec<&'s Value>, depth: usize) {
        let schema = self.resolve(schema);
        let alternatives = ["anyOf", "oneOf"]
            .into_iter()
            .find_map(|key| schema.get(key).and_then(Value::as_array));
        match alternatives {
            Some(alternatives) if depth < MAX_REFERENCES => {
                for alternative in alternatives {
                    self.collect_forms(alternative, forms, depth + 1);
                }
            }
            _ => forms.push(schema),
        }
    }

    /// What is expected, in words.
    fn expected(&self, schema: &'s Value) -> String {
        if let Some(title) = titled(self.resolve(schema)) {
            return title;
        }
        let mut words = Vec::new();
        let mut parts: Vec<String> = Vec::new();
        for form in self.forms(schema) {
            match words_of(form) {
                Some(more) => words.extend(more),
                None => {
                    let part = titled(form).unwrap_or_else(|| plain(form));
                    if !parts.contains(&part) {
                        parts.push(part);
                    }
                }
            }
        }
        if !words.is_empty() {
            let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            parts.insert(
                0,
                match quoted.as_slice() {
                    [only] => only.clone(),
                    several => format!("one of {}", several.join(", ")),
                },
            );
        }
        parts.join(", or ")
    }
}

/// True when a schema takes values of this type.
fn accepts(schema: &Value, value: &Value) -> bool {
    if schema.as_bool() == Some(false) {
        return false;
    }
    let types = types_of(schema);
    if types.is_empty() {
        return schema.get("const").is_none_or(|constant| {
            std::mem::discriminant(constant) == std::mem::discriminant(value)
        });
    }
    types.into_iter().any(|one| match value {
        Value::Null => one == "null",
        Value::Bool(_) => one == "boolean",
        Value::Number(number) => {
            one == "number" || (one == "integer" && (number.is_u64() || number.is_i64()))
        }
        Value::String(_) => one == "string",
        Value::Array(_) => one == "array",
        Value::Object(_) => one == "object",
    })
}

struct Walk<'s> {
    shape: Shape<'s>,
    path: Vec<Segment>,
    findings: Vec<Finding>,
}

impl<'s> Walk<'s> {
    fn value(&mut self, schema: &'s Value, value: &Value) {
        if self.findings.len() >= MAX_FINDINGS {
            return;
        }
        let forms = self.shape.forms(schema);
        let fitting: Vec<&Value> =
            forms.iter().copied().filter(|form| accepts(form, value)).collect();
        match (fitting.as_slice(), value) {
            ([], _) => self.wrong_type(schema, value),
            (_, Value::String(text)) => self.text(schema, &fitting, text),
            ([only], _) if forms.len() == 1 => self.inside(only, value),
            (several, Value::Object(map)) => match self.by_tag(several, map) {
                Some(form) => self.inside(form, value),
                None => self.best_of(several, value),
            },
            (several, _) => self.best_of(several, value),
        }
    }

    fn wrong_type(&mut self, schema: &'s Value, value: &Value) {
        let expected = self.shape.expected(schema);
        let is_key = matches!(self.path.last(), Some(Segment::Key(_)));
        let finding = if value.is_null() && is_key {
            let mut finding = self.finding(format!("the value is missing; expected {expected}"));
            finding.at_key = true;
            finding.message = format!("this key has no value; expected {expected}");
            finding.cure = Some("give it a value, or leave the key out".to_owned());
            finding
        } else {
            let mut finding = self.finding(format!("expected {expected}, found {}", found(value)));
            finding.cure = self.unit_cure(schema, value).or_else(|| self.type_cure(schema, value));
            finding
        };
        self.findings.push(finding);
    }

    /// How a value of the right type is written.
    fn type_cure(&self, schema: &'s Value, value: &Value) -> Option<String> {
        let forms = self.shape.forms(schema);
        let takes = |kind: &str| forms.iter().any(|form| types_of(form).contains(&kind));
        let cure = if takes("array") && value.is_object() {
            "make it a list: begin each element with `- `"
        } else if takes("array") && !takes("object") {
            "write a list: `[a, b]`"
        } else if takes("object") {
            "write a map: a line `key: value` for each key"
        } else if takes("integer") {
            "write a whole number, without quotes"
        } else if takes("string") {
            "write text, in quotes where it looks like something else"
        } else if takes("boolean") {
            "write `true` or `false`, without quotes"
        } else {
            return None;
        };
        Some(cure.to_owned())
    }

    /// How a bare number becomes a quantity.
    fn unit_cure(&self, schema: &'s Value, value: &Value) -> Option<String> {
        let Value::Number(number) = value else { return None };
        self.shape.forms(schema).into_iter().find_map(|form| {
            match form.get("format").and_then(Value::as_str)? {
                "duration-words" => Some(format!("write the unit: `{number}s` or `{number}ms`")),
                "chance" => {
                    Some("write a percentage such as `30%` or a fraction such as `3/10`".into())
                }
                "rate" => Some(format!("write in which time: `{number}/s`")),
                _ => None,
            }
        })
    }

    /// A text is one of the words, or free where some form is free.
    fn text(&mut self, schema: &'s Value, fitting: &[&'s Value], text: &str) {
        let mut words = Vec::new();
        for form in fitting {
            match words_of(form) {
                Some(more) => words.extend(more),
                None => return,
            }
        }
        if words.iter().any(|word| word == text) {
            return;
        }
        let tags: Vec<&str> = self.shape.forms(schema).into_iter().filter_map(tag_of).collect();
        let mut finding = if tags.contains(&text) {
            let mut finding = self.finding(format!("`{text}` needs a value"));
            finding.cure = Some(format!("write `{text}: …` as a map"));
            finding
        } else {
            self.finding(format!("`{text}` is not known here"))
        };
        text.clone_into(&mut finding.wrong);
        finding.allowed = words;
        self.findings.push(finding);
    }

    /// Among maps of one key each, the one whose key is there (or nearly there).
    fn by_tag(&self, forms: &[&'s Value], map: &Map<String, Value>) -> Option<&'s Value> {
        let tags: Vec<&str> = forms.iter().filter_map(|form| tag_of(form)).collect();
        if tags.len() != forms.len() {
            return None;
        }
        let index = tags.iter().position(|tag| map.contains_key(*tag))?;
        forms.get(index).copied()
    }

    /// Of several forms, the findings of the one that fits best.
    fn best_of(&mut self, forms: &[&'s Value], value: &Value) {
        if let Value::Object(map) = value
            && forms.iter().all(|form| tag_of(form).is_some())
        {
            self.no_tag(forms, map);
            return;
        }
        let mut best: Option<Vec<Finding>> = None;
        for form in forms {
            let mut walk =
                Walk { shape: self.shape, path: self.path.clone(), findings: Vec::new() };
            walk.inside(form, value);
            if best.as_ref().is_none_or(|best| walk.findings.len() < best.len()) {
                best = Some(walk.findings);
            }
        }
        self.findings.extend(best.unwrap_or_default());
    }

    /// A map of one key, and none of the keys is there.
    fn no_tag(&mut self, forms: &[&'s Value], map: &Map<String, Value>) {
        let tags = forms.iter().filter_map(|form| tag_of(form)).map(str::to_owned).collect();
        let wrong = map.keys().next().cloned().unwrap_or_default();
        let mut finding = self.finding(if wrong.is_empty() {
            "the map is empty".to_owned()
        } else {
            format!("`{wrong}` is not known here")
        });
        if !wrong.is_empty() {
            finding.path.push(Segment::Key(wrong.clone()));
            finding.at_key = true;
        }
        finding.wrong = wrong;
        finding.allowed = tags;
        finding.cure = Some("write exactly one of them".to_owned());
        self.findings.push(finding);
    }

    /// Looks at one form that takes values of this type.
    fn inside(&mut self, schema: &'s Value, value: &Value) {
        match value {
            Value::Object(map) => self.object(schema, map),
            Value::Array(list) => self.list(schema, list),
            Value::Number(number) => self.number(schema, number),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }

    fn object(&mut self, schema: &'s Value, map: &Map<String, Value>) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        for (key, value) in map {
            let known = properties.and_then(|known| known.get(key.as_str()));
            match known.or_else(|| others.filter(|others| others.as_bool() != Some(false))) {
                Some(schema) if schema.is_boolean() => {}
                Some(schema) => {
                    self.path.push(Segment::Key(key.clone()));
                    self.value(schema, value);
                    self.path.pop();
                }
                None if others.is_none() => {}
                None => self.unknown_key(key, properties),
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for key in required.filter_map(Value::as_str).filter(|key| !map.contains_key(*key)) {
            let schema = properties.and_then(|known| known.get(key));
            let expected = schema.map(|schema| self.shape.expected(schema)).unwrap_or_default();
            let mut finding = self.finding(format!("the required key `{key}` is missing"));
            finding.cure = Some(format!("add `{key}`: {expected}"));
            finding.take_out = None;
            finding.path.push(Segment::Key(key.to_owned()));
            self.findings.push(finding);
        }
    }

    fn unknown_key(&mut self, key: &str, properties: Option<&Map<String, Value>>) {
        let mut finding = self.finding(format!("the key `{key}` is not known here"));
        finding.path.push(Segment::Key(key.to_owned()));
        finding.take_out = Some(finding.path.clone());
        finding.at_key = true;
        key.clone_into(&mut finding.wrong);
        finding.allowed =
            properties.map(|known| known.keys().cloned().collect()).unwrap_or_default();
        self.findings.push(finding);
    }

    fn list(&mut self, schema: &'s Value, list: &[Value]) {
        if list.is_empty() && schema.get("minItems").is_some() {
            let mut finding = self.finding("the list is empty".to_owned());
            finding.cure = Some("give it at least one element, or leave the key out".to_owned());
            self.findings.push(finding);
        }
        let Some(items) = schema.get("items") else { return };
        for (index, element) in list.iter().enumerate() {
            self.path.push(Segment::Index(index));
            self.value(items, element);
            self.path.pop();
        }
    }

    fn number(&mut self, schema: &Value, number: &serde_json::Number) {
        let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
        let (low, high) = (bound("minimum"), bound("maximum"));
        let value = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
        let Some(value) = value else { return };
        let below = low.is_some_and(|low| value < i128::from(low));
        let above = high.is_some_and(|high| value > i128::from(high));
        if below || above {
            let mut finding = self.finding(format!("`{number}` is out of range"));
            finding.cure = Some(match (low, high) {
                (Some(low), Some(high)) => format!("use a whole number from {low} to {high}"),
                (Some(low), None) => format!("use at least {low}"),
                (None, Some(high)) => format!("use at most {high}"),
                (None, None) => String::new(),
            });
            self.findings.push(finding);
        }
    }

    fn finding(&self, message: String) -> Finding {
        Finding::new(&self.path, message)
    }
}
