//! The tables of rules: when a request is such, then it goes so. Beside `source`, which has those of the fleet and profiles.

use super::source::{DIFFICULTY, DOMAINS, FRACTION, SENSITIVE, TASKS};
use crate::analysis::language::Language;
use crate::schema::shape::{Kind, Shape, optional, required};

/// The names of [`super::conditions::By`].
const SHARE_BY: &[&str] = &["user", "tenant", "conversation"];

/// One of `rules`.
pub const RULE: Shape = Shape {
    name: "rule",
    doc: "Every rule that matches applies. Where two say different things the earlier one counts; tags add up, and of several floors the highest counts. For a request that names a model only `tags` and `reject` hold.",
    fields: &[
        optional(
            "name",
            Kind::Text,
            "its place, such as `rules[0]`",
            "Its name in headers, logs and metrics.",
        ),
        optional(
            "when",
            Kind::Object(&WHEN),
            "it matches every request",
            "Which requests it matches.",
        ),
        required("then", Kind::Object(&THEN), "What holds for them."),
    ],
};

/// `when` of a rule.
pub const WHEN: Shape = Shape {
    name: "when",
    doc: "Conditions. All that are stated must hold; of a list one item is enough.",
    fields: &[
        optional(
            "task",
            Kind::List {
                of: &Kind::Choice(TASKS),
                min: 1,
            },
            "any",
            "What kind of work the prompt asks for.",
        ),
        optional(
            "domain",
            Kind::List {
                of: &Kind::Choice(DOMAINS),
                min: 1,
            },
            "any",
            "What the prompt is about, even if something else is more probable: their probabilities together must reach `min_confidence`. Of a conversation each domain counts with the highest probability that any turn had.",
        ),
        optional(
            "min_confidence",
            FRACTION,
            "`0` for the task, which must be the most probable one; `0.2` for the domains together",
            "How probable the task and the domains must be for their conditions to hold.",
        ),
        optional(
            "min_difficulty",
            DIFFICULTY,
            "any",
            "The least difficulty, in logits: 0 is a prompt that an average model answers right half the time, 2 one that it answers right one time in eight.",
        ),
        optional(
            "max_difficulty",
            DIFFICULTY,
            "any",
            "The most difficulty, in logits.",
        ),
        optional(
            "user",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "anybody",
            "The end user that the client names in `user` or `safety_identifier`. A `*` at the end stands for anything.",
        ),
        optional(
            "requested_model",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "anything",
            "The model or profile that the client asked for; the default profile where it asked for none.",
        ).formerly(&["asked"]),
        optional(
            "sensitive",
            Kind::List {
                of: &Kind::Choice(SENSITIVE),
                min: 1,
            },
            "any",
            "The request's messages hold text of one of these kinds.",
        ),
        optional(
            "tenant",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "any",
            "Who the request is for, as `tenant` of the policy finds it. A `*` at the end stands for anything.",
        ),
        optional(
            "header",
            Kind::Map {
                of: &Kind::List {
                    of: &Kind::Text,
                    min: 1,
                },
                keys: &[],
            },
            "any",
            "What request headers must be, by lower-case name; all that are named must be there. A `*` at the end of a value stands for anything.",
        ),
        optional(
            "path",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "any",
            "The request's path without its query. A `*` at the end stands for anything.",
        ),
        optional(
            "words",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "any",
            "Words in lower case, one of which the user's turns hold as a whole word in any case. A `*` at the end stands for the rest of a word. For names on which nothing may hang on the classifier.",
        ),
        optional(
            "language",
            Kind::List {
                of: &Kind::Choice(Language::CODES),
                min: 1,
            },
            "any",
            "The language of the last user turn whose language can be told, by ISO 639-1 code.",
        ),
        optional(
            "share",
            FRACTION,
            "all of them",
            "How much of the traffic: a stable part, drawn by a hash of the rule's name and of what `share_by` says, which only grows with this number.",
        ),
        optional(
            "share_by",
            Kind::List {
                of: &Kind::Choice(SHARE_BY),
                min: 1,
            },
            "`[\"user\", \"tenant\", \"conversation\"]`",
            "Who draws together: the first of these that is known of a request. A conversation is known by all its text up to the first user message.",
        ),
    ],
};

/// `then` of a rule.
pub const THEN: Shape = Shape {
    name: "then",
    doc: "Consequences. At least one must be stated.",
    fields: &[
        optional(
            "models",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "any",
            "Only these models may answer.",
        ),
        optional(
            "tags",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "none",
            "Tags that a backend must have. They hold for fallbacks too and never give way.",
        ),
        optional(
            "prefer",
            Kind::Object(&PREFER),
            "nothing",
            "What is chosen as long as it meets everything else, and gives way where nothing does: the rules' `models` and `tags`, what the request needs, and the limits of the profile. Of several rules the first counts that can be followed.",
        ),
        optional(
            "min_quality",
            FRACTION,
            "that of the profile",
            "The least probability of a correct answer; gives way as the profile's own limit does.",
        ),
        optional(
            "profile",
            Kind::Text,
            "the one asked for",
            "The profile that is used instead of the one asked for.",
        ),
        optional(
            "reject",
            Kind::Text,
            "it is not refused",
            "The request is refused with 403 and this message.",
        ),
    ],
};

/// `prefer` of a rule's `then`.
pub const PREFER: Shape = Shape {
    name: "prefer",
    doc: "Models, tags or both: of what is stated all must hold. Where no backend that may take the request is such, the rule says nothing; it never refuses a request.",
    fields: &[
        optional(
            "models",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "any",
            "One of these models.",
        ),
        optional(
            "tags",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "none",
            "Tags of the backend, all of them.",
        ),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::conditions::By;

    #[test]
    fn the_names_are_those_of_the_types() {
        assert_eq!(SHARE_BY, By::ALL.map(By::name));
    }
}
