//! Rules of the document → [`Rule`]s: names resolved, contradictions found. As `compile`, it passes over what `shape` has
//! already reported.

use super::compile::{items_of, number_of, text_of, unknown};
use super::compile_traffic::check_header_name;
use super::conditions::{By, Pattern, Share, hash};
use super::profile::Profile;
use super::rules::{Preference, Rule, Then, When};
use super::words::WordMatcher;
use crate::analysis::classifier::{Domain, Task};
use crate::analysis::language::Language;
use crate::analysis::sensitivity::Sensitivity;
use crate::fleet::{Backend, Model, ModelId};
use crate::schema::document::Node;
use crate::schema::shape::{Problems, join};
use crate::schema::suggest::{hint, quote};

/// What rules can refer to.
pub(super) struct Known<'a> {
    pub models: &'a [Model],
    pub backends: &'a [Backend],
    pub profiles: &'a [Profile],
}

/// The rules, and the words of all of them in one automaton.
pub(super) fn compile_rules(
    root: &Node,
    known: &Known<'_>,
    problems: &mut Problems<'_>,
) -> (Vec<Rule>, WordMatcher) {
    let mut rules: Vec<Rule> = items_of(root, "rules")
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let name =
                text_of(node, "name").map_or_else(|| format!("rules[{index}]"), str::to_owned);
            Rule {
                when: node.get("when").map_or_else(When::default, |when| {
                    let path = format!("rules[{index}].when");
                    let mut compiled = compile_when(when, &path, known, problems);
                    compiled.share = compile_share(&name, when, &path, problems);
                    compiled
                }),
                then: node.get("then").map_or_else(Then::default, |then| {
                    compile_then(then, &format!("rules[{index}].then"), known, problems)
                }),
                name,
            }
        })
        .collect();
    let (words, ids) = WordMatcher::compile(rules.iter().map(|rule| rule.when.words.as_slice()));
    for (rule, ids) in rules.iter_mut().zip(ids) {
        rule.when.word_ids = ids;
    }
    (rules, words)
}

fn compile_when(node: &Node, path: &str, known: &Known<'_>, problems: &mut Problems<'_>) -> When {
    let min_difficulty = number_of(node, "min_difficulty");
    let max_difficulty = number_of(node, "max_difficulty");
    if let (Some(least), Some(most)) = (min_difficulty, max_difficulty)
        && least > most
    {
        let message =
            format!("never holds: `min_difficulty` {least} is more than `max_difficulty` {most}");
        problems.add(node.at, path, message);
    }
    let names = known
        .models
        .iter()
        .map(|model| model.name.as_str())
        .chain(known.profiles.iter().map(|profile| profile.name.as_str()));
    let names: Vec<&str> = names.collect();
    check_names(
        node,
        "requested_model",
        "model or profile",
        path,
        &names,
        problems,
    );
    When {
        tasks: texts(node, "task").filter_map(Task::find).collect(),
        domains: texts(node, "domain").filter_map(Domain::find).collect(),
        min_confidence: number_of(node, "min_confidence").map(|number| number as f32),
        min_difficulty: min_difficulty.map(|number| number as f32),
        max_difficulty: max_difficulty.map(|number| number as f32),
        users: compile_patterns(items_of(node, "user"), &join(path, "user"), problems),
        asked: texts(node, "requested_model").map(str::to_owned).collect(),
        sensitive: texts(node, "sensitive")
            .filter_map(Sensitivity::find)
            .fold(Sensitivity::NONE, Sensitivity::union),
        tenants: compile_patterns(items_of(node, "tenant"), &join(path, "tenant"), problems),
        headers: compile_headers(node, path, problems),
        paths: compile_paths(node, path, problems),
        words: compile_words(node, path, problems),
        word_ids: Vec::new(),
        languages: texts(node, "language")
            .filter_map(|code| Language::ALL.iter().find(|one| one.code() == code).copied())
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
    let patterns = compile_patterns(items_of(node, "path"), &join(path, "path"), problems);
    patterns.iter().map(Pattern::as_path).collect()
}

pub(super) fn compile_patterns(
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

fn compile_words(node: &Node, path: &str, problems: &mut Problems<'_>) -> Vec<Pattern> {
    let items = items_of(node, "words");
    for (index, item) in items.iter().enumerate() {
        let Some(word) = item.text() else { continue };
        let is_word = |letter: char| letter.is_alphanumeric() && !letter.is_uppercase();
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

fn compile_share(
    rule: &str,
    node: &Node,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<Share> {
    let by = node.get("share_by");
    let Some(share) = number_of(node, "share") else {
        if let Some(by) = by.filter(|_| node.get("share").is_none()) {
            problems.add(
                by.at,
                join(path, "share_by"),
                "says nothing without `share`",
            );
        }
        return None;
    };
    let named = by.map(|_| texts(node, "share_by"));
    Some(Share {
        share,
        by: named.map_or(By::ALL.to_vec(), |names| {
            names
                .filter_map(|name| By::ALL.into_iter().find(|by| by.name() == name))
                .collect()
        }),
        salt: hash([rule]),
    })
}

fn compile_then(node: &Node, path: &str, known: &Known<'_>, problems: &mut Problems<'_>) -> Then {
    if node.members().is_empty() {
        problems.add(
            node.at,
            path,
            "says nothing: state at least one consequence",
        );
    }
    let models: Vec<&str> = known.models.iter().map(|one| one.name.as_str()).collect();
    let profiles: Vec<&str> = known.profiles.iter().map(|one| one.name.as_str()).collect();
    let mut tags: Vec<&str> = known
        .backends
        .iter()
        .flat_map(|backend| backend.tags.iter().map(String::as_str))
        .collect();
    tags.sort_unstable();
    tags.dedup();
    check_names(node, "models", "model", path, &models, problems);
    check_names(node, "tags", "tag", path, &tags, problems);
    let profile = text_of(node, "profile");
    if let Some(name) = profile.filter(|name| !name.is_empty() && !profiles.contains(name)) {
        let at = node.get("profile").map_or(node.at, |value| value.at);
        let message = unknown("profile", name, &profiles);
        problems.add(at, format!("{path}.profile"), message);
    }
    let named = |node| {
        texts(node, "models")
            .filter_map(|name| known.models.iter().position(|model| model.name == name))
            .map(|index| ModelId(index as u32))
            .collect()
    };
    let prefer = node.get("prefer");
    if let Some(prefer) = prefer {
        let path = join(path, "prefer");
        if prefer.members().is_empty() {
            problems.add(
                prefer.at,
                path.as_str(),
                "says nothing: state `models`, `tags` or both",
            );
        }
        check_names(prefer, "models", "model", &path, &models, problems);
        check_names(prefer, "tags", "tag", &path, &tags, problems);
    }
    Then {
        models: named(node),
        tags: texts(node, "tags").map(str::to_owned).collect(),
        prefer: prefer.map(|prefer| Preference {
            models: named(prefer),
            tags: texts(prefer, "tags").map(str::to_owned).collect(),
        }),
        min_quality: number_of(node, "min_quality").map(|number| number as f32),
        profile: profile.map(str::to_owned),
        reject: text_of(node, "reject").map(str::to_owned),
    }
}

/// Adds a problem for each text of the list `field` that is not among `known`.
fn check_names(
    node: &Node,
    field: &str,
    what: &str,
    path: &str,
    known: &[&str],
    problems: &mut Problems<'_>,
) {
    for (index, item) in items_of(node, field).iter().enumerate() {
        let Some(name) = item.text() else { continue };
        if name.is_empty() || known.contains(&name) {
            continue;
        }
        let message = format!("unknown {what} {}{}", quote(name), hint(name, known));
        problems.add(item.at, format!("{path}.{field}[{index}]"), message);
    }
}

fn texts<'a>(node: &'a Node, field: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    items_of(node, field).iter().filter_map(Node::text)
}
