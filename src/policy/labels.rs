//! The names that policies use for what the analysis finds in prompts: tasks, domains and kinds of sensitive data.

use crate::schema::shape::Kind;

/// The names of [`crate::analysis::classifier::Task`].
pub(crate) const TASKS: &[&str] = &[
    "chat",
    "knowledge_qa",
    "math",
    "reasoning",
    "code",
    "creative_writing",
    "summarization",
    "translation",
    "rewriting",
    "extraction",
    "classification",
];

/// The names of [`crate::analysis::classifier::Domain`].
pub(crate) const DOMAINS: &[&str] = &[
    "general",
    "medical",
    "legal",
    "finance",
    "science",
    "technology",
    "mathematics",
    "humanities",
];

/// The names of [`crate::analysis::sensitivity::Sensitivity`].
pub(crate) const SENSITIVE: &[&str] = &["email", "phone", "card", "iban", "national_id", "secret"];

/// Logits beyond these are surely in another unit.
pub(crate) const DIFFICULTY: Kind = Kind::Number {
    min: -20.0,
    max: 20.0,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::classifier::{Domain, Task};
    use crate::analysis::sensitivity::Sensitivity;

    #[test]
    fn the_names_are_those_of_the_types() {
        let tasks: Vec<&str> = Task::ALL.iter().map(|task| task.name()).collect();
        assert_eq!(TASKS, tasks);
        let domains: Vec<&str> = Domain::ALL.iter().map(|domain| domain.name()).collect();
        assert_eq!(DOMAINS, domains);
        let kinds: Vec<&str> = Sensitivity::NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(SENSITIVE, kinds);
    }
}
