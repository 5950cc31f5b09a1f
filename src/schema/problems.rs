//! Collects the problems of a document with their places, to report all of them together.

use crate::schema::document::{Node, place};
use crate::schema::problem::{InvalidDocument, Problem};
use crate::schema::suggest::{hint, quote};
use crate::sort;

/// Collects problems and knows the text that they are in.
pub(crate) struct Problems<'t> {
    text: &'t str,
    list: Vec<Problem>,
}

impl<'t> Problems<'t> {
    pub fn new(text: &'t str) -> Problems<'t> {
        Problems {
            text,
            list: Vec::new(),
        }
    }

    /// Adds what is wrong with the value at byte `offset`, whose path is `at`.
    pub fn add(&mut self, offset: usize, at: impl Into<String>, message: impl Into<String>) {
        let (line, column) = place(self.text, offset);
        self.list.push(Problem {
            at: at.into(),
            message: message.into(),
            line,
            column,
        });
    }

    /// Adds the problems of an inner document, which stands at byte `offset` under the field `name`.
    pub fn add_inner(&mut self, offset: usize, name: &str, inner: InvalidDocument) {
        let (line, column) = place(self.text, offset);
        let moved = inner.problems.into_iter().map(|problem| Problem {
            at: match problem.at.as_str() {
                "" => name.to_owned(),
                at if at.starts_with('[') => [name, at].concat(),
                at => [name, ".", at].concat(),
            },
            message: problem.message,
            line: problem.line + line - 1,
            column: match problem.line {
                1 => problem.column + column - 1,
                _ => problem.column,
            },
        });
        self.list.extend(moved);
    }

    /// Everything that was added, in the order of the document.
    pub fn into_list(mut self) -> Vec<Problem> {
        sort::sort_by_key(&mut self.list, |problem| (problem.line, problem.column));
        self.list
    }

    /// `Ok` if nothing was added.
    pub fn into_result(self) -> Result<(), InvalidDocument> {
        match self.into_list() {
            list if list.is_empty() => Ok(()),
            problems => Err(InvalidDocument { problems }),
        }
    }
}

/// The path of the member `name` of the object at `path`.
pub(crate) fn join(path: &str, name: &str) -> String {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte));
    let name = if plain && !name.is_empty() {
        name.to_owned()
    } else {
        quote(name)
    };
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

/// Adds a problem for each of `nodes`, the list at `path`, whose `name` an earlier one has too.
pub(crate) fn check_unique(nodes: &[Node], path: &str, problems: &mut Problems<'_>) {
    for (index, node) in nodes.iter().enumerate() {
        let Some(name) = node.text_of("name").filter(|name| !name.is_empty()) else {
            continue;
        };
        let first = nodes
            .iter()
            .take(index)
            .position(|earlier| earlier.text_of("name") == Some(name));
        if let Some(first) = first {
            problems.add(
                node.offset_of("name"),
                format!("{path}[{index}].name"),
                format!("{} is already the name of {path}[{first}]", quote(name)),
            );
        }
    }
}

/// Adds a problem for each text of the list `field` that is not among `known`.
pub(crate) fn check_names(
    node: &Node,
    field: &str,
    what: &str,
    path: &str,
    known: &[&str],
    problems: &mut Problems<'_>,
) {
    for (index, item) in node.items_of(field).iter().enumerate() {
        let Some(name) = item.text() else { continue };
        if name.is_empty() || known.contains(&name) {
            continue;
        }
        let message = format!("unknown {what} {}{}", quote(name), hint(name, known));
        problems.add(item.at, format!("{path}.{field}[{index}]"), message);
    }
}
