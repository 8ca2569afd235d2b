//! The few styles of the human report, as terminal codes.
//!
//! Whoever prints decides whether a reader wants colour, and strips the codes where not.
//! **Invariant:** stripping every code leaves the whole meaning; nothing is said by colour alone.

use std::fmt::{self, Display};

/// What a stretch of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Good news.
    Good,
    /// Bad news.
    Bad,
    /// Neither.
    Doubt,
    /// A heading, or what must be seen first.
    Strong,
    /// What only some readers need.
    Faint,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[1;31m",
            Self::Doubt => "\x1b[33m",
            Self::Strong => "\x1b[1m",
            Self::Faint => "\x1b[2m",
        }
    }

    /// The value in this style. Width and alignment apply to the value, not to the codes.
    #[must_use]
    pub const fn paint<T>(self, value: T) -> Painted<T> {
        Painted { style: self, value }
    }
}

/// A value with its style, to be written into a string.
#[derive(Clone, Copy, Debug)]
pub struct Painted<T> {
    style: Style,
    value: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.style.code())?;
        self.value.fmt(f)?;
        f.write_str("\x1b[0m")
    }
}

/// The text without any terminal code.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("\x1b[") {
        out.push_str(&rest[..start]);
        let code = &rest[start..];
        rest = code.find('m').map_or("", |end| &code[end + 1..]);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_loses_codes_and_nothing_else() {
        let painted = format!("a {} c{}", Style::Bad.paint("b"), Style::Faint.paint(7));
        assert_ne!(painted, "a b c7");
        assert_eq!(plain(&painted), "a b c7");
    }

    #[test]
    fn width_applies_to_the_value() {
        assert_eq!(plain(&format!("[{:<5}]", Style::Good.paint("ab"))), "[ab   ]");
    }
}
