//! Texts in a value of any shape: results of tools, documents and search results nest text in objects that differ by API,
//! tool and version, and a model reads all of it.
//!
//! No shape is required here, so that a new kind of result is read as well. Identifiers, encrypted and binary content are
//! left out by the names of their keys. Nesting is bounded by the cursor and kept on the heap.

use std::borrow::Cow;

use super::json::{Cursor, Kind, Stop};

/// A leaf of the value.
pub(super) enum Leaf<'a> {
    /// A string that a model reads.
    Text(Cow<'a, str>),
    /// A number as it is written.
    Number(&'a str),
    /// An object that is an image.
    Image,
    /// An object that is a file, or a document whose bytes are not text.
    File,
}

/// Keys under which bytes stand that no model reads as text.
const BINARY: &[&str] = &[
    "encrypted_content",
    "encrypted_index",
    "file_data",
    "image_url",
    "input_audio",
    "signature",
];

/// Further keys of the APIs under which nothing is text for a model.
const OPAQUE: &[&str] = &[
    "annotations",
    "cache_control",
    "call_id",
    "citations",
    "container_id",
    "detail",
    "file_id",
    "id",
    "logprobs",
    "media_type",
    "role",
    "status",
    "tool_call_id",
    "tool_use_id",
];

/// An object or array that is open.
#[derive(Default)]
struct Open<'a> {
    is_object: bool,
    /// Whether its first entry is still to come.
    is_new: bool,
    /// The key whose value is read, in an object.
    key: Cow<'a, str>,
    /// The object's `type`.
    kind: Option<Cow<'a, str>>,
    /// Whether an object in it stands for bytes: in base64, behind a link, in a file.
    holds_bytes: bool,
    /// The object's `data`: text, or bytes in base64, which its `type` tells.
    data: Option<Cow<'a, str>>,
    /// The object's link: text, unless it stands for bytes.
    url: Option<Cow<'a, str>>,
}

/// Reads a value of an API that starts here and gives its leaves in order, by what its keys mean. A value that is cut off
/// gives those before the cut.
pub(super) fn read<'a>(
    cursor: &mut Cursor<'a>,
    found: &mut dyn FnMut(Leaf<'a>),
) -> Result<(), Stop> {
    let mut open: Vec<Open<'a>> = Vec::new();
    let end = walk(cursor, &mut open, true, found);
    while close_last(&mut open, found) {}
    end
}

/// The same for a value whose keys can mean anything: every string and number but bytes.
pub(super) fn read_all<'a>(value: &'a str, found: &mut dyn FnMut(Cow<'a, str>)) {
    // The value has been read before; one that the body's end cuts off gives the texts before the cut.
    let _cut = walk(
        &mut Cursor::new(value, 0),
        &mut Vec::new(),
        false,
        &mut |leaf| match leaf {
            Leaf::Text(text) => found(text),
            Leaf::Number(number) => found(Cow::Borrowed(number)),
            Leaf::Image | Leaf::File => {}
        },
    );
}

fn walk<'a>(
    cursor: &mut Cursor<'a>,
    open: &mut Vec<Open<'a>>,
    known: bool,
    found: &mut dyn FnMut(Leaf<'a>),
) -> Result<(), Stop> {
    loop {
        let kind = cursor.kind()?;
        let inside = open.last_mut();
        match kind {
            _ if inside.as_ref().is_some_and(|one| one.is_opaque(known)) => cursor.skip_value()?,
            Kind::Object | Kind::Array => {
                cursor.enter()?;
                open.push(Open {
                    is_object: kind == Kind::Object,
                    is_new: true,
                    ..Open::default()
                });
            }
            Kind::String => match inside {
                Some(inside) if known => inside.string(cursor, found)?,
                _ => text(cursor, found)?,
            },
            Kind::Number => {
                let number = cursor.number()?;
                found(Leaf::Number(number));
            }
            Kind::Bool | Kind::Null => cursor.skip_value()?,
        }
        loop {
            let Some(inside) = open.last_mut() else {
                return Ok(());
            };
            if inside.next(cursor)? {
                break;
            }
            close_last(open, found);
        }
    }
}

/// Closes the innermost object or array; false where none is open.
fn close_last<'a>(open: &mut Vec<Open<'a>>, found: &mut dyn FnMut(Leaf<'a>)) -> bool {
    let Some(done) = open.pop() else {
        return false;
    };
    let kind = done.kind.as_deref().unwrap_or_default();
    let mut source_of = open.last_mut().filter(|outer| outer.key == "source");
    match (kind, &mut source_of) {
        ("base64" | "url" | "file", Some(outer)) => outer.holds_bytes = true,
        ("image" | "image_url" | "input_image", _) => found(Leaf::Image),
        ("file" | "input_file", _) => found(Leaf::File),
        ("document", _) if done.holds_bytes => found(Leaf::File),
        _ => {}
    }
    let is_source = source_of.is_some();
    let is_link = |url: &Cow<'_, str>| !"data:".starts_with(url.get(..5).unwrap_or(url));
    if let Some(url) = done.url.filter(|url| !is_source && is_link(url)) {
        found(Leaf::Text(url));
    }
    let is_text = kind == "text";
    if let Some(data) = done.data.filter(|_| is_text) {
        found(Leaf::Text(data));
    }
    true
}

/// Gives the string that starts here, up to the cut if it is cut off.
fn text<'a>(cursor: &mut Cursor<'a>, found: &mut dyn FnMut(Leaf<'a>)) -> Result<(), Stop> {
    let (text, end) = cursor.string_so_far();
    found(Leaf::Text(text));
    end
}

/// Whether text for a model may stand under a key of a message or of a part of one.
pub(super) fn may_hold_text(key: &str) -> bool {
    !BINARY.contains(&key) && !OPAQUE.contains(&key) && !matches!(key, "type" | "data")
}

impl<'a> Open<'a> {
    fn is_opaque(&self, known: bool) -> bool {
        let key = self.key.as_ref();
        self.is_object && (BINARY.contains(&key) || (known && OPAQUE.contains(&key)))
    }

    /// Moves on to the next entry; false at the end.
    fn next(&mut self, cursor: &mut Cursor<'a>) -> Result<bool, Stop> {
        if !self.is_object {
            return cursor.next_item(&mut self.is_new);
        }
        match cursor.next_key(&mut self.is_new)? {
            Some(key) => self.key = key,
            None => return Ok(false),
        }
        Ok(true)
    }

    fn string(
        &mut self,
        cursor: &mut Cursor<'a>,
        found: &mut dyn FnMut(Leaf<'a>),
    ) -> Result<(), Stop> {
        match self.key.as_ref() {
            "type" => self.kind = Some(cursor.string()?),
            "data" => {
                let (data, end) = cursor.string_so_far();
                self.data = Some(data);
                return end;
            }
            "url" | "file_url" => {
                let (url, end) = cursor.string_so_far();
                self.url = Some(url);
                return end;
            }
            _ => return text(cursor, found),
        }
        Ok(())
    }
}
