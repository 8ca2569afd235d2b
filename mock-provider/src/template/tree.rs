//! JSON values whose text leaves are templates.
//!
//! **Invariant:** a tree without any expression renders to itself.

use serde_json::{Map, Value};

use super::budget::TooMuch;
use super::{Budget, Names, Template, TemplateError};
use crate::document::At;

/// A JSON value whose text leaves are templates.
///
/// A field whose name ends in `?` is left out when what it asks for is not there. An object of the two fields
/// `$each` and `$item` stands for a list: `$item` once for each entry of the list that `$each` gives, where it
/// knows that entry as `item`, its place, from 0, as `index`, and nothing else.
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
    /// A list of one tree, made of each entry of another list.
    Each(Box<(Template, Tree)>),
}

/// The fields of an object that stands for a list.
const EACH: [&str; 2] = ["$each", "$item"];

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

    /// The list that an object stands for, where it does.
    fn each(list: &Value, item: &Value, names: &[&str], at: &At<'_>) -> Option<Self> {
        let [each, one] = EACH;
        let Some(list) = list.as_str() else {
            at.key(each).error(format!("`{each}` is no template that gives a list"), |d| d);
            return None;
        };
        let list = Template::resolve(list, names, &at.key(each));
        // What each entry could take from outside of it would be there as often as there are entries, and in
        // lists of lists as often as there are pairs: a request that is large could not be answered.
        let item = Self::resolve(item, &["item", "index"], &at.key(one));
        Some(Self::Each(Box::new((list?, item?))))
    }

    fn object(fields: &Map<String, Value>, names: &[&str], at: &At<'_>) -> Option<Self> {
        if let (Some(list), Some(item), 2) =
            (fields.get(EACH[0]), fields.get(EACH[1]), fields.len())
        {
            return Self::each(list, item, names, at);
        }
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
            Self::Leaf(_) | Self::List(_) | Self::Object(_) | Self::Each(_) => None,
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
            Self::Each(each) => {
                let sources = [Value::from(each.0.source()), each.1.source()];
                Value::Object(EACH.map(str::to_owned).into_iter().zip(sources).collect())
            }
        }
    }

    /// True when some leaf asks for this name.
    #[must_use]
    pub fn asks_for(&self, name: &str) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Leaf(template) => template.names().contains(name),
            Self::List(items) => items.iter().any(|item| item.asks_for(name)),
            Self::Object(fields) => fields.iter().any(|one| one.value.asks_for(name)),
            // An entry knows nothing but itself.
            Self::Each(each) => each.0.names().contains(name),
        }
    }

    /// Renders the tree.
    ///
    /// # Errors
    ///
    /// When a leaf that is not optional asks for something that is not there, or fails, and when it would become
    /// larger than any answer may be.
    pub fn render(&self, names: &Names<'_>) -> Result<Value, TemplateError> {
        self.render_within(names, &Budget::default())
    }

    /// The same, within what an answer that is made of several trees may still become.
    ///
    /// # Errors
    ///
    /// As for [`Tree::render`].
    pub fn render_within(
        &self,
        names: &Names<'_>,
        budget: &Budget,
    ) -> Result<Value, TemplateError> {
        let within = |spent: Result<(), TooMuch>| {
            spent.map_err(|error| TemplateError::TooMuch {
                template: super::brief(&self.source().to_string()),
                reason: error.to_string(),
            })
        };
        match self {
            Self::Constant(value) => {
                within(budget.spend(value))?;
                Ok(value.clone())
            }
            Self::Leaf(template) => template.value_within(names, budget),
            Self::List(items) => {
                within(budget.spend_one(0))?;
                let rendered = items.iter().map(|item| item.render_within(names, budget));
                rendered.collect::<Result<_, _>>().map(Value::Array)
            }
            Self::Object(fields) => {
                within(budget.spend_one(0))?;
                let mut map = Map::with_capacity(fields.len());
                for field in fields {
                    within(budget.spend_one(field.name.len()))?;
                    match field.value.render_within(names, budget) {
                        Ok(value) => {
                            map.insert(field.name.clone(), value);
                        }
                        Err(TemplateError::Undefined { .. }) if field.optional => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(Value::Object(map))
            }
            Self::Each(each) => {
                // What is no list is a list of nothing: nobody can say what its entries were.
                let Value::Array(items) = each.0.value_within(names, budget)? else {
                    return Ok(Value::Array(Vec::new()));
                };
                let rendered = items.iter().enumerate().map(|(index, item)| {
                    let index = Value::from(index);
                    each.1.render_within(&[("item", item), ("index", &index)], budget)
                });
                rendered.collect::<Result<_, _>>().map(Value::Array)
            }
        }
    }

    /// What it renders to, where that stands somewhere already: one plain path, or a constant.
    #[must_use]
    pub fn find<'a>(&'a self, names: &Names<'a>) -> Option<&'a Value> {
        match self {
            Self::Constant(value) => Some(value),
            Self::Leaf(template) => template.find(names),
            Self::List(_) | Self::Object(_) | Self::Each(_) => None,
        }
    }
}
