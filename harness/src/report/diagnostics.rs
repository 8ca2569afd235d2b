//! Diagnostics as people read them: the place, the line of the file with a caret under it, what is allowed,
//! what was probably meant, and the cure.
//!
//! Knows nothing about what the keys of a file mean.
//! **Invariant:** it shows a short piece of the file whatever the file is, so its cost does not grow with
//! the file.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use brownout_provider::document::{Diagnostic, Place, Severity, Source};

/// How many diagnostics are shown.
const MAX_SHOWN: usize = 50;
/// How many allowed words are shown.
const MAX_ALLOWED: usize = 40;
/// How many characters after the caret are read; the renderer cuts a long line to a width that can be read.
const AFTER_CARET: usize = 1_000;

/// All diagnostics of a file, with styles for a terminal.
#[must_use]
pub fn render(source: &Source, diagnostics: &[Diagnostic]) -> String {
    with(&Renderer::styled(), source, diagnostics)
}

/// All diagnostics of a file as plain text.
#[must_use]
pub fn render_plain(source: &Source, diagnostics: &[Diagnostic]) -> String {
    with(&Renderer::plain(), source, diagnostics)
}

fn with(renderer: &Renderer, source: &Source, diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<&str> = source.text.split('\n').collect();
    let mut text = String::new();
    for diagnostic in diagnostics.iter().take(MAX_SHOWN) {
        let excerpt = Excerpt::new(&lines, source.place_of(diagnostic));
        text.push_str(&renderer.render(&[group(&source.file, diagnostic, &excerpt)]));
        text.push_str("\n\n");
    }
    let left_out = diagnostics.len().saturating_sub(MAX_SHOWN);
    if left_out > 0 {
        text = format!("{text}… and {left_out} more\n\n");
    }
    text
}

/// The line that a diagnostic is about.
struct Excerpt {
    place: Place,
    text: String,
    /// The caret, in bytes of `text`.
    start: usize,
    end: usize,
}

impl Excerpt {
    fn new(lines: &[&str], place: Place) -> Self {
        let line = lines.get(place.line - 1).copied().unwrap_or("").trim_end_matches('\r');
        // Tabs and other control characters would move the caret away from its place.
        let visible = line.chars().map(|c| if c.is_control() { ' ' } else { c });
        let text: String = visible.take(place.column + place.length + AFTER_CARET).collect();
        let byte_of = |character: usize| {
            text.char_indices().nth(character).map_or(text.len(), |(index, _)| index)
        };
        let start = byte_of(place.column - 1);
        let end = byte_of(place.column - 1 + place.length.max(1));
        Self { place, start, end, text }
    }
}

fn group<'a>(file: &'a str, diagnostic: &'a Diagnostic, excerpt: &'a Excerpt) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Note => Level::NOTE,
    };
    let mut caret = AnnotationKind::Primary.span(excerpt.start..excerpt.end);
    if let Some(word) = &diagnostic.did_you_mean {
        caret = caret.label(format!("did you mean `{word}`?"));
    }
    let snippet = Snippet::source(excerpt.text.as_str()).path(file).line_start(excerpt.place.line);
    let mut group =
        level.primary_title(diagnostic.message.as_str()).element(snippet.annotation(caret));
    if !diagnostic.allowed.is_empty() {
        let shown = diagnostic.allowed.iter().take(MAX_ALLOWED);
        let words: Vec<String> = shown.map(|word| format!("`{word}`")).collect();
        let more = if diagnostic.allowed.len() > MAX_ALLOWED { ", …" } else { "" };
        group = group.element(
            Level::NOTE.with_name("allowed").message(format!("{}{more}", words.join(", "))),
        );
    }
    if let Some(cure) = &diagnostic.cure {
        group = group.element(Level::HELP.message(cure.as_str()));
    }
    group
}

#[cfg(test)]
mod tests {
    use brownout_provider::document::Diagnostics;

    use super::*;

    fn shown(text: &str, path: &str, message: &str) -> String {
        let document = brownout_provider::document::Document::parse("a.yaml", text.as_bytes())
            .expect("legal YAML");
        let problems = Diagnostics::new();
        problems
            .root()
            .key(path)
            .error(message, |d| d.key().allowed(path, ["name", "seed"]).cure("write it right"));
        render_plain(&document.source, &problems.into_vec())
    }

    #[test]
    fn a_diagnostic_shows_the_line_the_caret_and_the_cure() {
        insta::assert_snapshot!(shown("version: 1\nnmae: ü\n", "nmae", "the key is not known"));
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("{{a: {}, nmae: 1, b: {}}}\n", "x".repeat(5_000), "y".repeat(5_000));
        let shown = shown(&text, "nmae", "the key is not known");
        assert!(shown.len() < 1_000, "{shown}");
        assert!(shown.contains("a.yaml:1:5007"), "{shown}");
        assert!(shown.contains("^^^^ did you mean `name`?"), "{shown}");
    }

    #[test]
    fn a_place_beyond_the_text_is_shown_at_its_end() {
        let source = Source { file: "a.yaml".to_owned(), ..Source::default() };
        let problems = Diagnostics::new();
        problems.root().error("wrong", |mut d| {
            d.place = Some(Place { line: 9, column: 9, length: 9 });
            d
        });
        assert!(render(&source, &problems.into_vec()).contains("wrong"));
    }
}
