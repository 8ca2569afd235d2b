//! What is wrong with a document, as data: where, what, what is allowed, and the cure.

use std::cell::RefCell;
use std::fmt;

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// It runs, and something is worth knowing.
    Note,
}

/// A stretch of a document, all counted from 1; `length` in characters, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column in characters.
    pub column: usize,
    /// How many characters the caret marks.
    pub length: usize,
}

impl Default for Place {
    /// The first character.
    fn default() -> Self {
        Self { line: 1, column: 1, length: 1 }
    }
}

/// One problem of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where in the document's tree: `faults[0].inject.latency`; empty for the document itself.
    pub path: String,
    /// Where in the text, where the path does not say it (a syntax error).
    pub place: Option<Place>,
    /// True when the key itself is wrong, not its value: the caret then marks the key.
    pub at_key: bool,
    /// One sentence fragment in lower case: what is wrong.
    pub message: String,
    /// What would be allowed here, where that is a short list.
    pub allowed: Vec<String>,
    /// The allowed word that the author probably meant.
    pub did_you_mean: Option<String>,
    /// What to do instead.
    pub cure: Option<String>,
}

impl Diagnostic {
    /// What would be allowed here; also finds the word that was probably meant by `wrong`.
    #[must_use]
    pub fn allowed<S: AsRef<str>>(
        mut self,
        wrong: &str,
        allowed: impl IntoIterator<Item = S>,
    ) -> Self {
        self.allowed = allowed.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self.did_you_mean = closest(wrong, &self.allowed);
        self
    }

    /// What to do instead.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    /// The caret marks the key, not the value.
    #[must_use]
    pub fn key(mut self) -> Self {
        self.at_key = true;
        self
    }
}

/// The word of `allowed` that is closest to `wrong`, if any is close.
#[must_use]
pub fn closest(wrong: &str, allowed: &[String]) -> Option<String> {
    let wrong = wrong.to_lowercase();
    let longest = wrong.chars().count().max(3);
    allowed
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&wrong, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance * 5 <= longest * 2)
        .min_by_key(|(distance, word)| (*distance, (*word).clone()))
        .map(|(_, word)| word.clone())
}

/// How many diagnostics of a document are kept; whoever has so many mends the first ones first.
const MAX_DIAGNOSTICS: usize = 200;

/// What is wrong with a document, collected while it is resolved: the first 200.
#[derive(Debug, Default)]
pub struct Diagnostics(RefCell<Vec<Diagnostic>>);

impl Diagnostics {
    /// An empty collection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The root of the document, from which paths are built.
    #[must_use]
    pub fn root(&self) -> At<'_> {
        At { path: String::new(), sink: self }
    }

    /// Adds one, unless there are too many already.
    pub fn push(&self, diagnostic: Diagnostic) {
        if !self.is_full(diagnostic.severity) {
            self.0.borrow_mut().push(diagnostic);
        }
    }

    /// True when no more of this severity are kept. Notes take half of the room at most, so an error is
    /// left out only where others stand already.
    fn is_full(&self, severity: Severity) -> bool {
        let room = match severity {
            Severity::Error => MAX_DIAGNOSTICS,
            Severity::Note => MAX_DIAGNOSTICS / 2,
        };
        self.0.borrow().len() >= room
    }

    /// True when an error is among them.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.borrow().iter().any(|one| one.severity == Severity::Error)
    }

    /// True when an error stands at `path` or below it.
    #[must_use]
    fn has_errors_at(&self, path: &str) -> bool {
        let below = |one: &Diagnostic| {
            let rest = one.path.strip_prefix(path)?;
            Some(rest.is_empty() || path.is_empty() || rest.starts_with(['.', '[']))
        };
        let diagnostics = self.0.borrow();
        let mut errors = diagnostics.iter().filter(|one| one.severity == Severity::Error);
        errors.any(|one| below(one) == Some(true))
    }

    /// All of them, in the order found.
    #[must_use]
    pub fn into_vec(self) -> Vec<Diagnostic> {
        self.0.into_inner()
    }
}

/// A place in a document's tree, and where to report what is wrong there.
#[derive(Clone)]
pub struct At<'a> {
    path: String,
    sink: &'a Diagnostics,
}

impl fmt::Debug for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("At").field(&self.path).finish()
    }
}

impl<'a> At<'a> {
    /// The value under `key`.
    #[must_use]
    pub fn key(&self, key: &str) -> At<'a> {
        let path =
            if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        At { path, sink: self.sink }
    }

    /// The element `index` of a list, from 0.
    #[must_use]
    pub fn index(&self, index: usize) -> At<'a> {
        At { path: format!("{}[{index}]", self.path), sink: self.sink }
    }

    /// The path as text.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reports here what was found in a document that begins here.
    pub fn adopt(&self, mut diagnostic: Diagnostic) {
        diagnostic.path = match (self.path.as_str(), diagnostic.path.as_str()) {
            ("", _) => diagnostic.path,
            (outer, "") => outer.to_owned(),
            (outer, inner) if inner.starts_with('[') => format!("{outer}{inner}"),
            (outer, inner) => format!("{outer}.{inner}"),
        };
        self.sink.push(diagnostic);
    }

    /// True when an error has been reported here or below: what is missing then is no second mistake.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.sink.has_errors_at(&self.path)
    }

    /// Reports an error here: `at.error("…", |d| d.allowed(wrong, words).cure("…"))`.
    pub fn error(&self, message: impl Into<String>, more: impl FnOnce(Diagnostic) -> Diagnostic) {
        self.report(Severity::Error, message.into(), more);
    }

    /// Reports a note here.
    pub fn note(&self, message: impl Into<String>, more: impl FnOnce(Diagnostic) -> Diagnostic) {
        self.report(Severity::Note, message.into(), more);
    }

    fn report(
        &self,
        severity: Severity,
        message: String,
        more: impl FnOnce(Diagnostic) -> Diagnostic,
    ) {
        if self.sink.is_full(severity) {
            return;
        }
        self.sink.push(more(Diagnostic {
            severity,
            path: self.path.clone(),
            place: None,
            at_key: false,
            message,
            allowed: Vec::new(),
            did_you_mean: None,
            cure: None,
        }));
    }
}
