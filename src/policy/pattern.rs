//! Patterns of texts: exact, or a beginning followed by `*`.

use crate::api::path;
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::suggest::quote;

/// A pattern of texts: one exact text, or every text with one beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    is_prefix: bool,
}

impl Pattern {
    /// Parses a pattern; a final `*` matches anything. `None` if there is a `*` elsewhere.
    pub fn parse(written: &str) -> Option<Pattern> {
        let (text, is_prefix) = match written.strip_suffix('*') {
            Some(start) => (start, true),
            None => (written, false),
        };
        (!text.contains('*')).then(|| Pattern {
            text: text.to_owned(),
            is_prefix,
        })
    }

    /// This pattern for paths that are normalised and in lower case.
    pub fn as_path(&self) -> Pattern {
        if !self.text.starts_with('/') {
            return self.clone();
        }
        let mut text = path::normalise(&self.text).to_ascii_lowercase();
        if self.is_prefix && self.text.ends_with('/') && !text.ends_with('/') {
            text.push('/');
        }
        Pattern {
            text,
            is_prefix: self.is_prefix,
        }
    }

    /// The pattern as written.
    pub fn written(&self) -> String {
        let star = if self.is_prefix { "*" } else { "" };
        [self.text.as_str(), star].concat()
    }

    /// Whether `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        if self.is_prefix {
            text.starts_with(&self.text)
        } else {
            text == self.text
        }
    }

    /// The text, or the beginning, without the `*`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches every text with its beginning.
    pub fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// Whether it matches everything that `other` matches.
    pub fn covers(&self, other: &Pattern) -> bool {
        self == other || (self.is_prefix && other.text.starts_with(&self.text))
    }
}

pub(crate) fn compile_patterns(
    items: &[Node],
    path: &str,
    problems: &mut Problems<'_>,
) -> Vec<Pattern> {
    let mut patterns = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(text) = item.text() else { continue };
        match Pattern::parse(text) {
            Some(pattern) => patterns.push(pattern),
            None => {
                let message = format!("{}: a `*` may stand only at the end", quote(text));
                problems.add(item.at, format!("{path}[{index}]"), message);
            }
        }
    }
    patterns
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_text_or_a_beginning() {
        let exact = Pattern::parse("/v1/chat").unwrap();
        assert!(exact.matches("/v1/chat") && !exact.matches("/v1/chat/x"));
        let prefix = Pattern::parse("/v1/*").unwrap();
        assert!(prefix.matches("/v1/chat") && !prefix.matches("/v2"));
        assert!(prefix.covers(&exact) && !exact.covers(&prefix));
        assert!(Pattern::parse("*").unwrap().matches(""));
        assert_eq!(Pattern::parse("/*/chat"), None);
    }
}
