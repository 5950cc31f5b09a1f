//! Content of messages: texts, and parts (OpenAI) or blocks (Anthropic), in any form.
//!
//! One reader serves all APIs. It knows the parts without text and the calls of tools; of any other part it reads every text under
//! any key, so that rules find it. A part of an unknown type is the backend's to reject.

use std::borrow::Cow;

use super::fields::{count_bytes, entries, object, text};
use super::names::is_label;
use super::{Message, Role};
use crate::api::Capabilities;
use crate::api::json::{Cursor, Kind, ParseError};

/// Maximum nesting of contents that are distinguished. Of deeper ones only the texts are read.
const MAX_NESTING: u8 = 8;

/// Minimum length in bytes of a base64 text that counts as data.
const LONG_DATA: usize = 1024;

/// Messages read so far.
#[derive(Default)]
pub(super) struct Conversation<'a> {
    pub(super) messages: Vec<Message<'a>>,
    pub(super) asides: Vec<Message<'a>>,
    pub(super) needs: Capabilities,
    pub(super) images: u32,
    /// Bytes of tool calls, which count as input but not as prompt.
    pub(super) call_bytes: usize,
    /// See [`super::Request::raw_values`].
    pub(super) raw_values: Vec<&'a str>,
    /// See [`super::Request::may_carry_state`].
    pub(super) may_carry_state: bool,
}

impl<'a> Conversation<'a> {
    /// Adds a message. One without a role is the user's if it has content: the last message mostly is, and a prompt must not be
    /// lost.
    pub(super) fn take(&mut self, role: Option<Role>, content: Content<'a>) {
        self.take_from(role.unwrap_or(Role::User), role.is_some(), content);
    }

    /// Reads a value that is not an object where a message stands, and adds it as text of the user.
    pub(super) fn take_bare(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        let mut content = Content::default();
        let end = content.read(cursor);
        self.take(None, content);
        end
    }

    /// Adds a message of `role`; with `keeps_empty` even one without content. Results of tools and attached documents come before
    /// the author's own text.
    pub(super) fn take_from(&mut self, role: Role, keeps_empty: bool, content: Content<'a>) {
        self.needs = self.needs.union(content.needs);
        self.images = self.images.saturating_add(content.images);
        self.call_bytes += content.call_bytes;
        self.may_carry_state |= content.may_carry_state;
        self.raw_values.extend(content.raw_values);
        let mut add = |role, texts: Vec<Cow<'a, str>>| self.messages.push(Message { role, texts });
        let is_material = !content.material.is_empty();
        if is_material {
            add(Role::Tool, content.material);
        }
        if !content.texts.is_empty() || (keeps_empty && !is_material) {
            add(role, content.texts);
        }
        if !content.asides.is_empty() {
            self.asides.push(Message {
                role,
                texts: content.asides,
            });
        }
    }
}

/// Content of one message.
#[derive(Default)]
pub(super) struct Content<'a> {
    /// Texts of its author.
    pub(super) texts: Vec<Cow<'a, str>>,
    /// Texts by others than its author: results of tools, attached documents.
    pub(super) material: Vec<Cow<'a, str>>,
    /// Texts of unknown meaning.
    pub(super) asides: Vec<Cow<'a, str>>,
    pub(super) needs: Capabilities,
    pub(super) images: u32,
    pub(super) call_bytes: usize,
    pub(super) raw_values: Vec<&'a str>,
    /// Whether it has more than texts and images; see [`super::Request::may_carry_state`].
    pub(super) may_carry_state: bool,
    /// Number of contents around it.
    depth: u8,
}

/// A part while its fields are read.
#[derive(Default)]
pub(super) struct Part<'a> {
    pub(super) kind: Option<Cow<'a, str>>,
    /// Its earlier types, if its type comes more than once.
    earlier_kinds: Vec<Cow<'a, str>>,
    own: Content<'a>,
    /// Content of a tool's result or a search result.
    inner: Content<'a>,
    source: Source<'a>,
    asides: Vec<Cow<'a, str>>,
    /// Fields whose meaning depends on its type, which may come later.
    deferred: Vec<(Deferred, &'a str)>,
    raw_values: Vec<&'a str>,
    pub(super) call_bytes: usize,
    /// Whether it has other fields than a text or an image has.
    may_carry_state: bool,
}

/// Reason why a field is deferred.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deferred {
    /// Possibly the arguments of a tool.
    Call,
    /// Possibly the name of a tool.
    Name,
    /// Possibly an image, a sound or a file.
    Data,
}

/// Source of an image or document.
#[derive(Default)]
struct Source<'a> {
    is_text: bool,
    is_file: bool,
    is_known: bool,
    data: Vec<Cow<'a, str>>,
    inner: Content<'a>,
}

impl<'a> Content<'a> {
    /// Reads and adds the next value: a text, a part, a number, or lists of these.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        match cursor.kind()? {
            Kind::Null | Kind::Bool => cursor.skip_value(),
            Kind::Number => {
                self.texts.push(Cow::Borrowed(cursor.number()?));
                Ok(())
            }
            Kind::String => {
                let (text, end) = cursor.string_so_far();
                self.texts.push(text);
                end
            }
            _ if self.depth >= MAX_NESTING => cursor.texts(&mut self.texts),
            Kind::Array => {
                self.depth += 1;
                let end = entries(cursor, &mut |cursor| self.read(cursor));
                self.depth -= 1;
                end
            }
            Kind::Object => {
                let mut part = Part::at(self.depth + 1);
                let end = object(cursor, &mut |key, cursor| part.field(key, cursor));
                let is_material = part.kind.as_deref().is_some_and(is_result);
                self.take(part, cursor, is_material);
                end
            }
        }
    }

    /// Adds a part that `cursor` has passed; `is_material` if its texts are not its author's.
    pub(super) fn take(&mut self, mut part: Part<'a>, cursor: &Cursor<'a>, is_material: bool) {
        part.read_deferred(cursor);
        let kind = part.kind.unwrap_or_default();
        self.may_carry_state |= part.may_carry_state;
        for kind in part.earlier_kinds.iter().chain([&kind]) {
            self.need_kind(kind, &part.source);
            self.may_carry_state |= !matches!(&**kind, "" | "text" | "image_url");
        }
        let source = part.source;
        self.call_bytes += part.call_bytes;
        self.raw_values.extend(part.raw_values);
        for content in [&part.own, &part.inner, &source.inner] {
            self.needs = self.needs.union(content.needs);
            self.images = self.images.saturating_add(content.images);
            self.call_bytes += content.call_bytes;
            self.raw_values.extend(&content.raw_values);
        }
        self.texts.extend(part.own.texts);
        let is_said = !is_material && !is_document(&kind);
        for content in [part.inner, source.inner] {
            let texts = if is_said {
                &mut self.texts
            } else {
                &mut self.material
            };
            texts.extend(content.texts);
            self.material.extend(content.material);
            part.asides.extend(content.asides);
        }
        self.material.extend(part.own.material);
        part.asides.extend(part.own.asides);
        let is_read = |text: &Cow<'a, str>| source.is_text || (!source.is_known && !is_data(text));
        self.material
            .extend(source.data.into_iter().filter(is_read));
        if is_material {
            self.material.extend(part.asides);
        } else {
            self.asides.extend(part.asides);
        }
    }

    /// Adds the capabilities that a part of this kind needs.
    fn need_kind(&mut self, kind: &str, source: &Source<'a>) {
        let needs = match kind {
            "image_url" | "input_image" | "image" | "image_file" | "computer_screenshot" => {
                self.images = self.images.saturating_add(1);
                Capabilities::VISION
            }
            "input_audio" | "audio_url" => Capabilities::AUDIO,
            "document" if source.is_file => Capabilities::FILES,
            "file" | "input_file" | "container_upload" => Capabilities::FILES,
            _ if kind.ends_with("tool_use") || kind.ends_with("tool_result") => Capabilities::TOOLS,
            _ => Capabilities::NONE,
        };
        self.needs = self.needs.union(needs);
    }
}

impl<'a> Part<'a> {
    /// An empty part of a content at this depth.
    pub(super) fn at(depth: u8) -> Part<'a> {
        let content = || Content {
            depth,
            ..Content::default()
        };
        Part {
            own: content(),
            inner: content(),
            source: Source {
                inner: content(),
                ..Source::default()
            },
            ..Part::default()
        }
    }

    /// Reads the value of a field.
    pub(super) fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        self.may_carry_state |= !matches!(key, "type" | "text" | "image_url" | "cache_control");
        match key {
            "type" => {
                let before = text(cursor)?.and_then(|kind| self.kind.replace(kind));
                self.earlier_kinds.extend(before);
            }
            "text" | "refusal" => return self.own.read(cursor),
            "content" => return self.inner.read(cursor),
            "source" => return self.source.read(cursor, &mut self.asides),
            "input" | "arguments" | "action" | "operation" | "code" => {
                let (kind, mut bytes) = (Deferred::Call, 0);
                let end = self.defer(kind, cursor, |cursor| count_bytes(cursor, &mut bytes));
                self.call_bytes += bytes;
                return end;
            }
            "name" | "server_label" | "server_name" | "namespace" | "toolset_name" => {
                return self.defer(Deferred::Name, cursor, Cursor::skip_value);
            }
            "image_url" | "image" | "image_file" | "input_audio" | "audio" | "audio_url"
            | "video" | "video_url" | "file" | "file_data" | "file_url" | "url" | "data"
            | "result" => return self.defer(Deferred::Data, cursor, Cursor::skip_value),
            // Definitions of tools, which the application writes.
            "tools" => return count_bytes(cursor, &mut self.call_bytes),
            _ if is_label(key) => return cursor.skip_value(),
            _ => return cursor.texts(&mut self.asides),
        }
        Ok(())
    }

    /// Reads the deferred fields by its type. Data that is truncated before its type stays unread: it may be an image.
    fn read_deferred(&mut self, cursor: &Cursor<'a>) {
        let kind = self.kind.as_deref();
        let (calls, holds_data) = (kind.is_some_and(is_call), kind.is_some_and(is_data_kind));
        let names_tool = calls || kind.is_some_and(is_result);
        let is_cut = kind.is_none() && cursor.is_at_end();
        for (what, value) in std::mem::take(&mut self.deferred) {
            match what {
                Deferred::Call if calls => self.raw_values.push(value),
                Deferred::Name if names_tool => {}
                Deferred::Data if holds_data || is_cut => {}
                // Its grammar was checked before: at most it is truncated.
                _ => drop(Cursor::new(value, 0).texts(&mut self.asides)),
            }
        }
        self.asides.retain(|text| !is_data(text));
    }

    fn defer(
        &mut self,
        what: Deferred,
        cursor: &mut Cursor<'a>,
        read: impl FnOnce(&mut Cursor<'a>) -> Result<(), ParseError>,
    ) -> Result<(), ParseError> {
        cursor.peek()?;
        let start = cursor.offset();
        let end = read(cursor);
        self.deferred.push((what, cursor.since(start)));
        end
    }
}

impl<'a> Source<'a> {
    /// Reads the source; that of a search result is a plain string.
    fn read(
        &mut self,
        cursor: &mut Cursor<'a>,
        asides: &mut Vec<Cow<'a, str>>,
    ) -> Result<(), ParseError> {
        if cursor.kind()? != Kind::Object {
            return cursor.texts(asides);
        }
        object(cursor, &mut |key, cursor| match key {
            "type" => {
                let kind = text(cursor)?.unwrap_or_default();
                self.is_text |= kind == "text";
                self.is_file |= !matches!(&*kind, "text" | "content");
                self.is_known |= matches!(&*kind, "text" | "content" | "base64" | "url" | "file");
                Ok(())
            }
            // Borrowed here, and dropped later if it is base64.
            "data" => cursor.texts(&mut self.data),
            "content" => self.inner.read(cursor),
            "url" => cursor.skip_value(),
            _ if is_label(key) => cursor.skip_value(),
            _ => cursor.texts(asides),
        })
    }
}

/// Whether a part or item of this type calls a tool.
pub(super) fn is_call(kind: &str) -> bool {
    kind.ends_with("tool_use")
        || kind.ends_with("_call")
        || matches!(kind, "program" | "mcp_approval_request")
}

/// Whether a part of this type holds the result of a tool.
fn is_result(kind: &str) -> bool {
    kind.ends_with("_result") || kind.ends_with("_output")
}

/// Whether a part of this type is an attached document.
fn is_document(kind: &str) -> bool {
    matches!(kind, "document" | "compaction")
}

/// Whether a part of this type is an image, a sound or a file: its bytes, or a reference to them.
fn is_data_kind(kind: &str) -> bool {
    matches!(
        kind,
        "image_url"
            | "input_image"
            | "image"
            | "image_file"
            | "computer_screenshot"
            | "image_generation_call"
            | "input_audio"
            | "audio"
            | "audio_url"
            | "video"
            | "video_url"
            | "input_video"
            | "file"
            | "input_file"
            | "redacted_thinking"
    )
}

/// Whether a text is encoded data rather than readable.
pub(super) fn is_data(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.starts_with(b"data:") {
        let head = bytes.get(..bytes.len().min(128)).unwrap_or_default();
        return head.windows(8).any(|window| window == b";base64,");
    }
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte);
    bytes.len() >= LONG_DATA && bytes.iter().all(is_base64)
}
