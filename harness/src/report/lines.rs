//! The rows of the human report: a name in the left column, and what there is to say of it.
//!
//! **Invariant:** every row ends with a line break and without blanks before it.

use std::fmt::Write as _;

use super::style::Style;

/// How wide sentences beside the left column are, in characters.
const PROSE_WIDTH: usize = 85;

/// A name in the left column and what there is to say of it.
pub(super) fn fact(out: &mut String, name: &str, text: &str) {
    line(out, &format!("    {} {text}", Style::Faint.paint(format_args!("{name:<10}"))));
}

/// A name in the left column and sentences beside it, broken between words.
pub(super) fn prose(out: &mut String, name: &str, text: &str, style: Option<Style>) {
    let mut name = name;
    let mut row = String::new();
    let mut put = |row: &str| {
        match style {
            Some(style) => fact(out, name, &style.paint(row).to_string()),
            None => fact(out, name, row),
        }
        name = "";
    };
    for word in text.split_whitespace() {
        if !row.is_empty() && row.chars().count() + 1 + word.chars().count() > PROSE_WIDTH {
            put(&row);
            row.clear();
        }
        if !row.is_empty() {
            row.push(' ');
        }
        row.push_str(word);
    }
    put(&row);
}

/// One line as it stands.
pub(super) fn line(out: &mut String, text: &str) {
    writeln!(out, "{}", text.trim_end()).expect("a string takes every line");
}
