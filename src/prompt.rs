//! The text and the numbers that the classifier sees of a request.

use crate::request::Request;

/// One user turn, as the classifier sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn<'a> {
    /// What the user says in this turn, its text parts joined by a line feed.
    pub text: std::borrow::Cow<'a, str>,
}

/// What the classifier sees of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt<'a> {
    /// The user turns worth classifying, oldest first; the last one is what is asked now. Empty where nobody asks anything.
    pub turns: Vec<Turn<'a>>,
    /// Estimated tokens of the whole input: every message, tools and schema included, images by their usual cost.
    pub input_tokens: u32,
}

impl<'a> Prompt<'a> {
    /// The prompt of `request`.
    pub fn of(request: &'a Request<'a>) -> Prompt<'a> {
        let _ = request;
        Prompt {
            turns: Vec::new(),
            input_tokens: 0,
        }
    }
}
