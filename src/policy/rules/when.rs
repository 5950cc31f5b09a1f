//! `when` of a rule: fields and compilation.

use crate::analysis::classifier::{Domain, Task};
use crate::analysis::language::Language;
use crate::analysis::sensitivity::Sensitivity;
use crate::decimal::shortest;
use crate::policy::labels::{DIFFICULTY, DOMAINS, SENSITIVE, TASKS};
use crate::policy::pattern::{Pattern, compile_patterns};
use crate::policy::request_attributes::tenant::check_header_name;
use crate::policy::rules::conditions::When;
use crate::policy::rules::marks::is_mark;
use crate::policy::rules::share::SHARE_BY;
use crate::policy::rules::then::Known;
use crate::schema::document::Node;
use crate::schema::problems::{Problems, check_names, join};
use crate::schema::shape::{FRACTION, Kind, Shape, optional};
use crate::schema::suggest::quote;

/// `when` of a rule.
pub const WHEN: Shape = Shape {
    name: "when",
    doc: "Conditions. All of them must hold; one item of a list is enough.",
    fields: &[
        optional(
            "task",
            Kind::List {
                of: &Kind::Choice(TASKS),
                min: 1,
            },
            "any",
            "The kind of work that the prompt asks for.",
        ),
        optional(
            "domain",
            Kind::List {
                of: &Kind::Choice(DOMAINS),
                min: 1,
            },
            "any",
            "The subject of the prompt. The probabilities of the listed domains together must reach `min_confidence`, even if another domain is more probable. In a conversation each domain counts with its highest probability in any turn.",
        ),
        optional(
            "min_confidence",
            FRACTION,
            "`0` for the task, which must be the most probable one; `0.2` for the domains together",
            "The minimum probability of the task and of the domains. `pointsman check` warns where a rule on one or two domains finds less than 0.9 of their prompts, as measured on the classifier's validation prompts, and names the value that does.",
        ),
        optional(
            "min_difficulty",
            DIFFICULTY,
            "any",
            "The minimum difficulty, in logits: 0 is a prompt that an average model answers right half the time, 2 one that it answers right one time in eight.",
        ),
        optional(
            "max_difficulty",
            DIFFICULTY,
            "any",
            "The maximum difficulty, in logits.",
        ),
        optional(
            "user",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "any",
            "The end user that the client names in `user` or `safety_identifier`. A final `*` matches anything.",
        ),
        optional(
            "requested_model",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "any",
            "The model or profile that the client asked for, or the default profile if it named none.",
        ).formerly(&["asked"]),
        optional(
            "sensitive",
            Kind::List {
                of: &Kind::Choice(SENSITIVE),
                min: 1,
            },
            "any",
            "Kinds of sensitive text in the request's messages.",
        ),
        optional(
            "tenant",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "any",
            "The tenant of the request, see `tenant` of the policy. A final `*` matches anything.",
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
            "Values of request headers, by lower-case name. Every header listed must match. A final `*` of a value matches anything.",
        ),
        optional(
            "path",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "any",
            "The path of the request without its query. A final `*` matches anything.",
        ),
        optional(
            "words",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "any",
            "Words in lower case. One of them must be in the user's turns as a whole word, in any case. A final `*` matches the rest of a word. Use it for names that must not depend on the classifier.",
        ),
        optional(
            "language",
            Kind::List {
                of: &Kind::Choice(Language::CODES),
                min: 1,
            },
            "any",
            "The language of the last user turn whose language is recognised, as an ISO 639-1 code.",
        ),
        optional(
            "share",
            FRACTION,
            "all of them",
            "The share of the traffic. A hash of the rule's name and of the `share_by` value picks a stable part, which only grows with this number.",
        ),
        optional(
            "share_by",
            Kind::List {
                of: &Kind::Choice(SHARE_BY),
                min: 1,
            },
            "`[\"user\", \"tenant\", \"conversation\"]`",
            "The unit of the share: the first of these that the request has. A conversation is identified by its text up to the first user message.",
        ),
    ],
};

#[inline(never)]
pub(crate) fn compile_when(
    node: &Node,
    path: &str,
    known: &Known<'_>,
    problems: &mut Problems<'_>,
) -> When {
    let min_difficulty = node.number_of("min_difficulty");
    let max_difficulty = node.number_of("max_difficulty");
    if let (Some(least), Some(most)) = (min_difficulty, max_difficulty)
        && least > most
    {
        let (least, most) = (shortest(least), shortest(most));
        let message =
            format!("never holds: `min_difficulty` {least} is more than `max_difficulty` {most}");
        problems.add(node.at, path, message);
    }
    let names = [known.model_names(), known.profile_names()].concat();
    let what = "model or profile";
    check_names(node, "requested_model", what, path, &names, problems);
    When {
        tasks: node.texts_of("task").filter_map(Task::find).collect(),
        domains: node.texts_of("domain").filter_map(Domain::find).collect(),
        min_confidence: node.number_of("min_confidence").map(|number| number as f32),
        min_difficulty: min_difficulty.map(|number| number as f32),
        max_difficulty: max_difficulty.map(|number| number as f32),
        users: compile_patterns(node.items_of("user"), &join(path, "user"), problems),
        asked: node
            .texts_of("requested_model")
            .map(str::to_owned)
            .collect(),
        sensitive: node
            .texts_of("sensitive")
            .filter_map(Sensitivity::find)
            .fold(Sensitivity::NONE, Sensitivity::union),
        tenants: compile_patterns(node.items_of("tenant"), &join(path, "tenant"), problems),
        headers: compile_headers(node, path, problems),
        paths: compile_paths(node, path, problems),
        words: compile_words(node, path, problems),
        word_ids: Vec::new(),
        languages: node
            .texts_of("language")
            .filter_map(|code| {
                Language::ALL
                    .iter()
                    .find(|language| language.code() == code)
                    .copied()
            })
            .collect(),
        share: None,
    }
}

fn compile_headers(
    node: &Node,
    path: &str,
    problems: &mut Problems<'_>,
) -> Vec<(String, Vec<Pattern>)> {
    let members = node.get("header").map_or(&[][..], Node::members);
    members
        .iter()
        .map(|member| {
            let at = join(&join(path, "header"), &member.name);
            check_header_name(&member.name, member.at, &at, problems);
            let patterns = compile_patterns(member.value.items(), &at, problems);
            (member.name.clone(), patterns)
        })
        .collect()
}

/// Patterns of paths, written as paths are read.
fn compile_paths(node: &Node, path: &str, problems: &mut Problems<'_>) -> Vec<Pattern> {
    let patterns = compile_patterns(node.items_of("path"), &join(path, "path"), problems);
    patterns.iter().map(Pattern::as_path).collect()
}

#[inline(never)]
fn compile_words(node: &Node, path: &str, problems: &mut Problems<'_>) -> Vec<Pattern> {
    let items = node.items_of("words");
    for (index, item) in items.iter().enumerate() {
        let Some(word) = item.text() else { continue };
        let is_word =
            |letter: char| (letter.is_alphanumeric() && !letter.is_uppercase()) || is_mark(letter);
        if !word.strip_suffix('*').unwrap_or(word).chars().all(is_word) {
            let message = format!("{} is not one word in lower case", quote(word));
            problems.add(item.at, format!("{path}.words[{index}]"), message);
        }
    }
    items
        .iter()
        .filter_map(|item| Pattern::parse(item.text()?))
        .collect()
}
