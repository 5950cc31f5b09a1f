//! YAML as JSON, each value with its place.
//!
//! YAML 1.2 with its core schema: only `true` and `false` are booleans, only what looks like a JSON number is a number.
//! Anchors, aliases and merge keys (`<<`) are resolved, up to a bound. Tags and further documents are refused: a policy is one
//! tree, and the proxy reads JSON.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::Unreadable;

/// Column in the JSON text → line and column in the YAML text, all from 1.
pub type Places = Vec<(u32, (u32, u32))>;

/// A line and a column, from 1.
type Place = (u32, u32);

/// The longest JSON text that aliases may expand to, in bytes. The largest policies are below 1 MB.
const LONGEST: usize = 16 * 1024 * 1024;
/// Deeper documents are refused: a policy needs six levels.
const DEEPEST: usize = 64;

/// One value and where it is written.
#[derive(Debug)]
struct Node {
    at: Place,
    value: Tree,
}

#[derive(Debug)]
enum Tree {
    /// A value as JSON writes it.
    Scalar(String),
    List(Vec<Rc<Node>>),
    /// Names with their places, and values.
    Mapping(Vec<(String, Place, Rc<Node>)>),
}

/// Reads a YAML text: its JSON text, and the places of its values.
///
/// # Errors
/// The place (from 1) and the problem.
pub fn read(text: &str) -> Result<(String, Places), Unreadable> {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let (line, column) = place(*error.marker());
            (line, column, format!("not YAML: {}", error.info()))
        })?;
        let (line, column) = place(span.start);
        reader.take(event, (line, column))?;
    }
    let root = reader.root.ok_or_else(|| (1, 1, "is empty".to_owned()))?;
    let mut writer = Writer::default();
    writer.node(&root)?;
    Ok((writer.json, writer.places))
}

fn problem(at: Place, text: &str) -> Unreadable {
    (at.0, at.1, text.to_owned())
}

fn place(marker: Marker) -> Place {
    (marker.line() as u32, marker.col() as u32 + 1)
}

/// Builds the tree as events come.
#[derive(Default)]
struct Reader {
    root: Option<Rc<Node>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    documents: u32,
}

/// A list or a mapping that has not ended.
struct Open {
    at: Place,
    anchor: usize,
    /// Items, or names and values in turn.
    parts: Vec<Rc<Node>>,
    is_mapping: bool,
    /// Which of `parts` were written without quotes, so that `<<` among them is a merge key.
    plain: Vec<bool>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, at: Place) -> Result<(), Unreadable> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(problem(at, "a second document begins here"));
                }
            }
            Event::Alias(anchor) => {
                // The parser knows only anchors that came before; one that has not ended would hold itself.
                let node = self.anchors.get(&anchor).cloned();
                let node =
                    node.ok_or_else(|| problem(at, "the alias stands inside of what it names"))?;
                self.add(node, 0, false);
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse(tag.is_some(), at)?;
                let is_name = self.expects_name();
                let is_plain = style == ScalarStyle::Plain;
                let value = Tree::Scalar(scalar(&text, is_plain && !is_name));
                self.add(Rc::new(Node { at, value }), anchor, is_plain);
            }
            Event::SequenceStart(anchor, tag) => {
                refuse(tag.is_some(), at)?;
                self.begin(false, anchor, at)?;
            }
            Event::MappingStart(anchor, tag) => {
                refuse(tag.is_some(), at)?;
                self.begin(true, anchor, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// Whether the next value is the name of a member.
    fn expects_name(&self) -> bool {
        let open = self.open.last();
        open.is_some_and(|open| open.is_mapping && open.parts.len() % 2 == 0)
    }

    fn begin(&mut self, is_mapping: bool, anchor: usize, at: Place) -> Result<(), Unreadable> {
        if self.expects_name() {
            return Err(problem(at, "a key must be a text"));
        }
        if self.open.len() >= DEEPEST {
            return Err(problem(at, "nested too deeply for a policy"));
        }
        self.open.push(Open {
            at,
            anchor,
            parts: Vec::new(),
            is_mapping,
            plain: Vec::new(),
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Unreadable> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.is_mapping {
            true => mapping(&open)?,
            false => Tree::List(open.parts),
        };
        let node = Node { at: open.at, value };
        self.add(Rc::new(node), open.anchor, false);
        Ok(())
    }

    /// Adds a value that is complete.
    fn add(&mut self, node: Rc<Node>, anchor: usize, is_plain: bool) {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        match self.open.last_mut() {
            Some(open) => {
                open.parts.push(node);
                open.plain.push(is_plain);
            }
            None => self.root = Some(node),
        }
    }
}

/// The error of a merge key with another value.
const MERGES: &str = "`<<` takes an object or a list of objects";

/// The members of a mapping that has ended. Those that it merges come last, and only if it has none of that name.
fn mapping(open: &Open) -> Result<Tree, Unreadable> {
    let mut members: Vec<(String, Place, Rc<Node>)> = Vec::new();
    let mut merged: Vec<Rc<Node>> = Vec::new();
    for (pair, plain) in open.parts.chunks(2).zip(open.plain.chunks(2)) {
        let [name, value] = pair else {
            return Err(problem(open.at, "a key without a value"));
        };
        let Tree::Scalar(text) = &name.value else {
            return Err(problem(name.at, "a key must be a text"));
        };
        if plain.first() == Some(&true) && text == "\"<<\"" {
            match &value.value {
                Tree::Mapping(_) => merged.push(Rc::clone(value)),
                Tree::List(items) => merged.extend(items.iter().cloned()),
                Tree::Scalar(_) => return Err(problem(value.at, MERGES)),
            }
        } else {
            members.push((text.clone(), name.at, Rc::clone(value)));
        }
    }
    for source in merged {
        let Tree::Mapping(others) = &source.value else {
            return Err(problem(source.at, MERGES));
        };
        for (name, at, value) in others {
            if !members.iter().any(|(known, ..)| known == name) {
                members.push((name.clone(), *at, Rc::clone(value)));
            }
        }
    }
    Ok(Tree::Mapping(members))
}

/// A scalar as JSON writes it; `is_free` where it need not be a text.
fn scalar(text: &str, is_free: bool) -> String {
    match text {
        "" | "~" if is_free => "null".to_owned(),
        _ if is_free && is_json_word(text) => text.to_owned(),
        _ => serde_json::Value::from(text).to_string(),
    }
}

fn refuse(has_tag: bool, at: Place) -> Result<(), Unreadable> {
    match has_tag {
        true => Err(problem(at, "tags are not supported")),
        false => Ok(()),
    }
}

/// Whether `text` means the same in JSON without quotes.
fn is_json_word(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text)
        .is_ok_and(|value| value.is_null() || value.is_boolean() || value.is_number())
}

/// Writes a tree as JSON on one line.
#[derive(Default)]
struct Writer {
    json: String,
    /// Characters written so far.
    column: u32,
    places: Places,
}

impl Writer {
    /// Writes a value. The place of an alias is that of the value that it stands for.
    fn node(&mut self, node: &Node) -> Result<(), Unreadable> {
        if self.json.len() > LONGEST {
            let problem = format!("aliases expand to more than {LONGEST} bytes");
            return Err((node.at.0, node.at.1, problem));
        }
        self.places.push((self.column + 1, node.at));
        match &node.value {
            Tree::Scalar(text) => self.push(text),
            Tree::List(items) => {
                self.push("[");
                for (index, item) in items.iter().enumerate() {
                    self.push(if index == 0 { "" } else { "," });
                    self.node(item)?;
                }
                self.push("]");
            }
            Tree::Mapping(members) => {
                self.push("{");
                for (index, (name, at, value)) in members.iter().enumerate() {
                    self.push(if index == 0 { "" } else { "," });
                    self.places.push((self.column + 1, *at));
                    self.push(name);
                    self.push(":");
                    self.node(value)?;
                }
                self.push("}");
            }
        }
        Ok(())
    }

    fn push(&mut self, text: &str) {
        self.json.push_str(text);
        self.column += text.chars().count() as u32;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Document, Form};
    use super::*;

    #[test]
    fn yaml_becomes_json_and_keeps_its_places() {
        let text = "# a fleet\nversion: \"1\"\nmodels:\n  - name: a-1\n    context_window: 8192\n  - {name: 'on', tags: [x, 1.5, true, ~]}\n";
        let document = Document::parse(Form::Yaml, text.into()).unwrap();
        assert_eq!(
            document.json,
            r#"{"version":"1","models":[{"name":"a-1","context_window":8192},{"name":"on","tags":["x",1.5,true,null]}]}"#
        );
        let column = |part: &str| document.json.find(part).unwrap() as u32 + 1;
        assert_eq!(document.place(1, column("\"version\"")), (2, 1));
        assert_eq!(document.place(1, column("8192")), (5, 21));
        assert_eq!(document.place(1, column("\"name\":\"on\"")), (6, 6));
        assert_eq!(document.place(1, column("1.5")), (6, 28));
    }

    #[test]
    fn anchors_aliases_and_merge_keys_are_resolved() {
        let text =
            "x: &x {a: 1, b: [2]}\ny: *x\nz: {<<: *x, a: 3}\nw:\n  <<: [*x, {c: 4}]\n'<<': 5\n";
        assert_eq!(
            read(text).unwrap().0,
            r#"{"x":{"a":1,"b":[2]},"y":{"a":1,"b":[2]},"z":{"a":3,"b":[2]},"w":{"a":1,"b":[2],"c":4},"<<":5}"#
        );
    }

    #[test]
    fn what_is_not_a_tree_of_json_is_refused_with_its_place() {
        for (text, line, wanted) in [
            ("a: &x [*x]", 1, "inside of what it names"),
            ("a: !!str 1", 1, "tags are not supported"),
            ("? [1]\n: 2", 1, "a key must be a text"),
            ("a: 1\n---\nb: 2", 2, "a second document begins here"),
            ("", 1, "is empty"),
            ("a: 1\n<<: 2", 2, "takes an object"),
            ("a: *x", 1, "not YAML: "),
            ("a: [1\nb: 2", 2, "not YAML: "),
        ] {
            let (found, _, problem) = read(text).unwrap_err();
            assert!(problem.contains(wanted), "{text}: {problem}");
            assert_eq!(found, line, "{text}: {problem}");
        }
        let deep = "- ".repeat(1000);
        assert!(read(&deep).unwrap_err().2.contains("nested too deeply"));
    }

    #[test]
    fn aliases_of_aliases_do_not_fill_the_memory() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let line = format!(
                "a{level}: &a{level} [{}]\n",
                vec![format!("*a{}", level - 1); 10].join(", ")
            );
            text.push_str(&line);
        }
        assert!(read(&text).unwrap_err().2.contains("aliases expand"));
    }
}
