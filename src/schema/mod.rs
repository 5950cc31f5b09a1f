//! Documents that people write, policies and plugin configurations alike: read with the place of each value (`document`),
//! checked against tables of fields ([`shape`]), with a suggestion for each name that is not known (`suggest`).
//!
//! Every problem is reported, not only the first. This room knows no field of any document.

pub(crate) mod document;
pub mod shape;
pub(crate) mod suggest;
#[cfg(all(test, not(target_family = "wasm")))]
pub(crate) mod testing;

/// One problem of a policy document, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path to the value, such as `backends[3].price.input`.
    pub at: String,
    /// What is wrong there and, where it can be told, what was probably meant.
    pub message: String,
    /// The line of the text, from 1.
    pub line: u32,
    /// The column in that line, in characters, from 1.
    pub column: u32,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.at.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// A policy or plugin configuration that does not compile: every problem at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidDocument {
    /// All problems, in the order of the document; never empty.
    pub problems: Vec<Problem>,
}

impl std::fmt::Display for InvalidDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidDocument {}

impl From<Problem> for InvalidDocument {
    fn from(problem: Problem) -> InvalidDocument {
        InvalidDocument {
            problems: vec![problem],
        }
    }
}
