//! One problem of a document, and the error with all of them: the same for every kind of document.

/// One problem of a document, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path to the value, such as `backends[3].price.input`.
    pub at: String,
    /// The problem and, if it can be guessed, the value that was meant.
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
