//! A YAML document with its places, and what is wrong with it.
//!
//! Scenario files and API files are both read through here. Values always come from `serde_yaml`; the
//! scanner beside it only guards and says where they stand. Knows nothing about what the keys mean.
//! **Invariant:** no bytes make it panic, and nothing it reports is lost: all problems at once.

mod decode;
mod diagnostic;
mod guard;
mod places;
mod shape;
mod spelling;
mod words;

pub use decode::{NoNull, decode, map_strings, schema_of, schema_settings};
pub use diagnostic::{At, Diagnostic, Diagnostics, Place, Severity, closest};
pub use places::Places;
pub use spelling::{Named, OneOrMany, ScalarOr};

use serde_json::Value;

/// The largest document that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// The text of a document, and where in it things stand: all that is needed to show a diagnostic.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file's name, as the user knows it.
    pub file: String,
    /// The text; bytes that are no UTF-8 are replaced by a mark.
    pub text: String,
    /// Where each value and key stands.
    pub places: Places,
}

impl Source {
    /// Where a diagnostic points to; the document's first character where nothing better is known.
    #[must_use]
    pub fn place_of(&self, diagnostic: &Diagnostic) -> Place {
        diagnostic
            .place
            .or_else(|| match diagnostic.at_key {
                true => self.places.find_key(&diagnostic.path),
                false => self.places.find(&diagnostic.path),
            })
            .unwrap_or_default()
    }
}

/// A document that could be read.
#[derive(Clone, Debug)]
pub struct Document {
    /// The text and its places.
    pub source: Source,
    /// The value; the order of keys is that of the file.
    pub value: Value,
}

/// A document that could not be read, and why.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The text, as far as it could be kept.
    pub source: Source,
    /// What is wrong; at least one error.
    pub diagnostics: Vec<Diagnostic>,
    /// True when nothing stands in it at all.
    pub is_empty: bool,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// The document is no UTF-8, too large, too deep, expands too far, is no YAML, has duplicate keys,
    /// tags, merge keys or keys that are no text, is empty, or holds several documents.
    ///
    /// ```
    /// use brownout_provider::document::Document;
    /// let document = Document::parse("a.yaml", b"name: calm\n").expect("well-formed");
    /// assert_eq!(document.value["name"], "calm");
    /// let refusal = Document::parse("a.yaml", b"name: calm\nname: busy\n").expect_err("twice");
    /// assert!(refusal.diagnostics[0].message.contains("`name` stands twice"));
    /// ```
    pub fn parse(file: impl Into<String>, bytes: &[u8]) -> Result<Self, Box<Refusal>> {
        let file = file.into();
        let text = match guard::text(bytes) {
            Ok(text) => text,
            Err(refused) => {
                let (text, diagnostic) = *refused;
                let source = Source { file, text, places: Places::default() };
                let diagnostics = vec![diagnostic];
                return Err(Box::new(Refusal { source, diagnostics, is_empty: false }));
            }
        };
        let scan = guard::scan(&text);
        let source = Source { file, text, places: scan.places };
        if !scan.diagnostics.is_empty() {
            let (diagnostics, is_empty) = (scan.diagnostics, scan.is_empty);
            return Err(Box::new(Refusal { source, diagnostics, is_empty }));
        }
        match serde_yaml::from_str(&source.text) {
            Ok(value) => Ok(Self { source, value }),
            Err(error) => {
                let place = error.location().map(|place| Place {
                    line: place.line(),
                    column: place.column(),
                    length: 1,
                });
                let message = format!("this is no YAML that can be read: {error}");
                let diagnostics =
                    vec![guard::refuse(message, place.unwrap_or_default(), Some(guard::LOOK))];
                Err(Box::new(Refusal { source, diagnostics, is_empty: false }))
            }
        }
    }
}

#[cfg(test)]
mod tests;
