//! The content of messages: a string, or parts (OpenAI's word) or blocks (Anthropic's), which say the same in other words.
//!
//! One reader for all: a part of a type that an API does not have is the backend's to refuse.

use std::borrow::Cow;

use super::fields::{count_bytes, entries, kept, object, optional_text, required_string};
use super::json::{Cursor, Kind, Stop};
use super::nested::{self, Leaf};
use super::{Message, Role};
use crate::registry::Capabilities;

/// What messages have said so far.
#[derive(Default)]
pub(super) struct Conversation<'a> {
    pub(super) messages: Vec<Message<'a>>,
    pub(super) needs: Capabilities,
    pub(super) images: u32,
    /// Bytes of tool calls, which count as input but are no prompt.
    pub(super) call_bytes: usize,
    /// See [`super::Request::raw_values`].
    pub(super) raw_values: Vec<&'a str>,
}

impl<'a> Conversation<'a> {
    /// Takes a message in. One that was cut off before its role came is the user's if it says anything: the last message
    /// mostly is, and a prompt must not be lost. What tools or attached documents say stands before what the role says.
    pub(super) fn take(&mut self, role: Option<Role>, content: Content<'a>) {
        self.needs = self.needs.union(content.needs);
        self.images = self.images.saturating_add(content.images);
        self.call_bytes += content.call_bytes;
        self.raw_values.extend(content.raw_values);
        let is_material = !content.material.is_empty();
        if is_material {
            self.messages.push(Message {
                role: Role::Tool,
                texts: content.material,
            });
        }
        let role = match role {
            Some(_) if content.texts.is_empty() && is_material => return,
            Some(role) => role,
            None if content.texts.is_empty() => return,
            None => Role::User,
        };
        self.messages.push(Message {
            role,
            texts: content.texts,
        });
    }
}

/// What one message holds.
#[derive(Default)]
pub(super) struct Content<'a> {
    /// What its author says.
    pub(super) texts: Vec<Cow<'a, str>>,
    /// What stands in it that its author did not say: results of tools, attached text.
    pub(super) material: Vec<Cow<'a, str>>,
    pub(super) needs: Capabilities,
    pub(super) images: u32,
    pub(super) call_bytes: usize,
    pub(super) raw_values: Vec<&'a str>,
}

/// A part while its fields are read.
#[derive(Default)]
struct Part<'a> {
    kind: Option<Cow<'a, str>>,
    text: Option<Cow<'a, str>>,
    refusal: Option<Cow<'a, str>>,
    /// What a tool's result or a search result holds.
    inner: Option<Content<'a>>,
    /// What a document or a search result is called, and what is said about it.
    about: Vec<Cow<'a, str>>,
    source: Source<'a>,
    input_bytes: usize,
    raw_values: Vec<&'a str>,
}

/// Where the bytes of an image or document come from.
#[derive(Default)]
struct Source<'a> {
    is_text: bool,
    is_file: bool,
    data: Option<Cow<'a, str>>,
    inner: Option<Content<'a>>,
}

impl<'a> Content<'a> {
    /// Reads a string, parts or `null`. With `blocks` the parts are Anthropic's, some of which hold content of their own.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'a>, blocks: bool) -> Result<(), Stop> {
        *self = Content::default();
        match cursor.kind()? {
            Kind::Null => cursor.null().map(|_| ()),
            Kind::String => {
                let (text, end) = cursor.string_so_far();
                self.texts.push(text);
                end
            }
            Kind::Array => entries(cursor, &mut |cursor| {
                let mut part = Part::default();
                let end = part.read(cursor, blocks);
                self.take(part);
                end
            })
            .map(|_| ()),
            found => cursor.wrong("a string or an array of parts", found),
        }
    }

    /// Adds every text and image of a value of any shape.
    pub(super) fn read_any(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        nested::read(cursor, &mut |leaf| match leaf {
            Leaf::Text(text) => self.texts.push(text),
            Leaf::Image => {
                self.images = self.images.saturating_add(1);
                self.needs = self.needs.union(Capabilities::VISION);
            }
            Leaf::File => self.needs = self.needs.union(Capabilities::FILES),
            Leaf::Number(_) => {}
        })
    }

    fn take(&mut self, part: Part<'a>) {
        let kind = part.kind.as_deref().unwrap_or_default();
        let inner = part.inner.or(part.source.inner);
        let needs = match kind {
            "image_url" | "input_image" | "image" => {
                self.images = self.images.saturating_add(1);
                Capabilities::VISION
            }
            "input_audio" => Capabilities::AUDIO,
            "document" if part.source.is_file => Capabilities::FILES,
            "file" | "input_file" | "container_upload" => Capabilities::FILES,
            _ if kind.ends_with("tool_use") || kind.ends_with("tool_result") => Capabilities::TOOLS,
            _ => Capabilities::NONE,
        };
        self.needs = self.needs.union(needs);
        self.call_bytes += part.input_bytes;
        self.raw_values.extend(part.raw_values);
        self.texts.extend(part.text);
        self.texts.extend(part.refusal);
        self.material.extend(part.about);
        if part.source.is_text {
            self.material.extend(part.source.data);
        }
        if let Some(inner) = inner {
            self.material.extend(inner.texts);
            self.needs = self.needs.union(inner.needs);
            self.images = self.images.saturating_add(inner.images);
        }
    }
}

impl<'a> Part<'a> {
    fn read(&mut self, cursor: &mut Cursor<'a>, blocks: bool) -> Result<(), Stop> {
        cursor.expect(Kind::Object, "an object")?;
        let start = cursor.offset();
        object(cursor, &mut |key, cursor| self.field(key, cursor, blocks))?;
        let missing = match self.kind.as_deref() {
            None => "type",
            Some("text" | "input_text" | "output_text") if self.text.is_none() => "text",
            Some("refusal") if self.refusal.is_none() => "refusal",
            Some(_) => return Ok(()),
        };
        Err(Stop::wrong_shape(start, "missing").under(missing))
    }

    fn field(&mut self, key: &str, cursor: &mut Cursor<'a>, blocks: bool) -> Result<(), Stop> {
        match key {
            "type" => self.kind = Some(required_string(cursor)?),
            "text" => return optional_text(cursor, &mut self.text),
            "refusal" => return optional_text(cursor, &mut self.refusal),
            "input" if blocks => {
                let bytes = &mut self.input_bytes;
                return kept(cursor, &mut self.raw_values, |cursor| {
                    count_bytes(cursor, bytes)
                });
            }
            "title" | "context" if blocks => return about(cursor, &mut self.about),
            "source" if blocks && cursor.kind()? == Kind::String => {
                return about(cursor, &mut self.about);
            }
            "content" if blocks => return inner(cursor, &mut self.inner),
            "source" if blocks => {
                self.source = Source::default();
                return self.source.read(cursor);
            }
            key if nested::may_hold_text(key) => {
                return kept(cursor, &mut self.raw_values, Cursor::skip_value);
            }
            _ => cursor.skip_value()?,
        }
        Ok(())
    }
}

impl<'a> Source<'a> {
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        if cursor.kind()? != Kind::Object {
            return cursor.skip_value();
        }
        object(cursor, &mut |key, cursor| match key.as_ref() {
            "type" => {
                let kind = required_string(cursor)?;
                self.is_text = kind == "text";
                self.is_file = !matches!(&*kind, "text" | "content");
                Ok(())
            }
            // Borrowed, and dropped where it is base64.
            "data" => optional_text(cursor, &mut self.data),
            "content" => inner(cursor, &mut self.inner),
            _ => cursor.skip_value(),
        })
    }
}

/// Content inside a part, whatever its shape: a string, blocks with blocks in them, the object that a server's tool gives.
fn inner<'a>(cursor: &mut Cursor<'a>, inner: &mut Option<Content<'a>>) -> Result<(), Stop> {
    let inner = inner.insert(Content::default());
    inner.read_any(cursor)
}

/// A string that says what a part is about, if one stands here.
fn about<'a>(cursor: &mut Cursor<'a>, about: &mut Vec<Cow<'a, str>>) -> Result<(), Stop> {
    nested::read(cursor, &mut |leaf| {
        if let Leaf::Text(text) = leaf {
            about.push(text);
        }
    })
}
