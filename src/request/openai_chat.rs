//! Reads a body of OpenAI's `POST /v1/chat/completions`.
//!
//! Refuses only what makes the meaning unreadable: JSON that is none, and a field that routing reads with a value of
//! another type. Everything else (unknown fields, roles and part types, numbers out of range) is the backend's to judge
//! and passes. `null` counts as absent wherever the field may be absent. Of a key that comes twice the last counts, as
//! for most servers.

use std::borrow::Cow;
use std::ops::Range;

use super::json::{Cursor, Kind, Stop};
use super::{Format, Message, Request, Role};
use crate::registry::Capabilities;

/// What the fields said so far, each apart, so that a later one of the same name can replace it.
#[derive(Default)]
struct Chat<'a> {
    model: Option<Cow<'a, str>>,
    model_spans: Vec<Range<usize>>,
    conversation: Option<Conversation<'a>>,
    tools: List,
    functions: List,
    response_format: ResponseFormat,
    stream: Option<bool>,
    include_usage: Option<bool>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    choices: Option<u32>,
    user: Option<Cow<'a, str>>,
    safety_identifier: Option<Cow<'a, str>>,
    metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    reasons: bool,
    speaks: bool,
}

#[derive(Default)]
struct Conversation<'a> {
    messages: Vec<Message<'a>>,
    needs: Capabilities,
    images: u32,
    call_bytes: usize,
}

/// A list of which only the size counts.
#[derive(Default)]
struct List {
    items: u32,
    bytes: usize,
}

#[derive(Default)]
struct ResponseFormat {
    needs: Capabilities,
    schema_bytes: usize,
}

/// A message while its fields are read.
#[derive(Default)]
struct Draft<'a> {
    role: Option<Role>,
    is_tool_result: bool,
    content: Content<'a>,
    refusal: Option<Cow<'a, str>>,
    tool_calls: List,
    function_call_bytes: usize,
    audio: bool,
}

#[derive(Default)]
struct Content<'a> {
    texts: Vec<Cow<'a, str>>,
    needs: Capabilities,
    images: u32,
}

/// A content part while its fields are read.
#[derive(Default)]
struct Part<'a> {
    kind: Option<Cow<'a, str>>,
    text: Option<Cow<'a, str>>,
    refusal: Option<Cow<'a, str>>,
}

/// Reads the document that starts at `start` of `text`; with `complete` false its end may be missing.
pub(super) fn read(text: &str, start: usize, complete: bool) -> Result<Request<'_>, Stop> {
    let mut chat = Chat::default();
    let mut cursor = Cursor::new(text, start);
    let whole = match chat.document(&mut cursor) {
        Ok(()) => true,
        Err(Stop::Cut) if !complete => false,
        Err(stop) => return Err(stop),
    };
    if whole && chat.conversation.is_none() {
        return cursor
            .wrong_shape("missing")
            .map_err(|stop: Stop| stop.under("messages"));
    }
    Ok(chat.finish(whole))
}

impl<'a> Chat<'a> {
    fn document(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        cursor
            .expect(Kind::Object, "an object")
            .map_err(|stop| stop.under("body"))?;
        cursor.enter()?;
        let mut first = true;
        while let Some(key) = cursor.next_key(&mut first)? {
            // Only fields that are known can be of the wrong shape, so the path never quotes the body.
            self.field(&key, cursor).map_err(|stop| stop.under(&key))?;
        }
        cursor.end()
    }

    fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        match key {
            "model" => self.model(cursor)?,
            "messages" => return self.messages(cursor),
            "tools" => return list(cursor, &mut self.tools),
            "functions" => return list(cursor, &mut self.functions),
            "response_format" => return self.response_format(cursor),
            "stream" => self.stream = optional_bool(cursor)?,
            "stream_options" => return self.stream_options(cursor),
            "max_tokens" => self.max_tokens = optional_count(cursor)?,
            "max_completion_tokens" => self.max_completion_tokens = optional_count(cursor)?,
            "n" => self.choices = optional_count(cursor)?,
            "user" => self.user = optional_string(cursor)?,
            "safety_identifier" => self.safety_identifier = optional_string(cursor)?,
            "metadata" => return self.metadata(cursor),
            "reasoning_effort" => {
                self.reasons = optional_string(cursor)?.is_some_and(|effort| effort != "none");
            }
            "modalities" => return self.modalities(cursor),
            _ if key.eq_ignore_ascii_case("model") => self.model_in_another_case(cursor)?,
            _ => cursor.skip_value()?,
        }
        Ok(())
    }

    /// A name that is cut off is none: it would ask for another model.
    fn model(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        cursor.expect(Kind::String, "a string")?;
        let start = cursor.offset();
        self.model = Some(cursor.string()?);
        self.model_spans.push(start..cursor.offset());
        Ok(())
    }

    /// `Model` is no field of the API, but servers written in Go take it for `model` (`encoding/json` ignores case): it
    /// says nothing to us, yet must not say something else to them.
    fn model_in_another_case(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        let is_string = cursor.kind()? == Kind::String;
        let start = cursor.offset();
        cursor.skip_value()?;
        if is_string {
            self.model_spans.push(start..cursor.offset());
        }
        Ok(())
    }

    fn messages(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        cursor.expect(Kind::Array, "an array")?;
        let conversation = self.conversation.insert(Conversation::default());
        let start = cursor.offset();
        cursor.enter()?;
        let mut index = 0;
        let mut first = true;
        while cursor.next_item(&mut first)? {
            let mut draft = Draft::default();
            let end = draft.read(cursor);
            if matches!(end, Ok(()) | Err(Stop::Cut)) {
                conversation.take(draft);
            }
            end.map_err(|stop| stop.under_index(index))?;
            index += 1;
        }
        if index == 0 {
            return Err(Stop::wrong_shape(start, "expected at least one message"));
        }
        Ok(())
    }

    fn response_format(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.response_format = ResponseFormat::default();
        if cursor.null()? {
            return Ok(());
        }
        cursor.expect(Kind::Object, "an object")?;
        cursor.enter()?;
        let mut first = true;
        while let Some(key) = cursor.next_key(&mut first)? {
            match &*key {
                "type" => {
                    let kind = required_string(cursor).map_err(|stop| stop.under("type"))?;
                    self.response_format.needs = match &*kind {
                        "json_object" => Capabilities::JSON_MODE,
                        "json_schema" => Capabilities::JSON_SCHEMA,
                        _ => Capabilities::NONE,
                    };
                }
                "json_schema" => {
                    let schema_bytes = &mut self.response_format.schema_bytes;
                    measured(cursor, schema_bytes, Cursor::skip_value)?;
                }
                _ => cursor.skip_value()?,
            }
        }
        Ok(())
    }

    fn stream_options(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.include_usage = None;
        if cursor.null()? {
            return Ok(());
        }
        cursor.expect(Kind::Object, "an object")?;
        cursor.enter()?;
        let mut first = true;
        while let Some(key) = cursor.next_key(&mut first)? {
            if key == "include_usage" {
                self.include_usage =
                    optional_bool(cursor).map_err(|stop| stop.under("include_usage"))?;
            } else {
                cursor.skip_value()?;
            }
        }
        Ok(())
    }

    fn metadata(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.metadata.clear();
        if cursor.null()? {
            return Ok(());
        }
        cursor.expect(Kind::Object, "an object")?;
        cursor.enter()?;
        let mut first = true;
        while let Some(key) = cursor.next_key(&mut first)? {
            if cursor.kind()? == Kind::String {
                self.metadata.push((key, cursor.string()?));
            } else {
                cursor.skip_value()?;
            }
        }
        Ok(())
    }

    fn modalities(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.speaks = false;
        if cursor.null()? {
            return Ok(());
        }
        cursor.expect(Kind::Array, "an array")?;
        cursor.enter()?;
        let mut index = 0;
        let mut first = true;
        while cursor.next_item(&mut first)? {
            let modality = required_string(cursor).map_err(|stop| stop.under_index(index))?;
            self.speaks |= modality == "audio";
            index += 1;
        }
        Ok(())
    }

    fn finish(self, complete: bool) -> Request<'a> {
        let conversation = self.conversation.unwrap_or_default();
        let tools = self.tools.items.saturating_add(self.functions.items);
        let needs = [
            (tools > 0, Capabilities::TOOLS),
            (self.reasons, Capabilities::REASONING),
            (self.speaks, Capabilities::AUDIO),
        ]
        .into_iter()
        .filter(|(needed, _)| *needed)
        .fold(
            conversation.needs.union(self.response_format.needs),
            |needs, (_, one)| needs.union(one),
        );
        let schema_bytes = self.tools.bytes
            + self.functions.bytes
            + self.response_format.schema_bytes
            + conversation.call_bytes;
        Request {
            format: Format::OpenAiChat,
            model: self.model,
            model_spans: self.model_spans,
            messages: conversation.messages,
            needs,
            tools,
            images: conversation.images,
            schema_bytes: u32::try_from(schema_bytes).unwrap_or(u32::MAX),
            stream: self.stream.unwrap_or(false),
            include_usage: self.include_usage.unwrap_or(false),
            max_tokens: self.max_completion_tokens.or(self.max_tokens),
            choices: self.choices.unwrap_or(1).max(1),
            user: self.user.or(self.safety_identifier),
            metadata: self.metadata,
            complete,
        }
    }
}

impl<'a> Conversation<'a> {
    /// Takes a message in. One that was cut off before its role came is the user's if it says anything: the last message
    /// mostly is, and a prompt must not be lost.
    fn take(&mut self, draft: Draft<'a>) {
        let mut texts = draft.content.texts;
        texts.extend(draft.refusal);
        let role = match draft.role {
            Some(role) => role,
            None if texts.is_empty() => return,
            None => Role::User,
        };
        self.needs = self.needs.union(draft.content.needs);
        if draft.is_tool_result || draft.tool_calls.items > 0 || draft.function_call_bytes > 0 {
            self.needs = self.needs.union(Capabilities::TOOLS);
        }
        if draft.audio {
            self.needs = self.needs.union(Capabilities::AUDIO);
        }
        self.images = self.images.saturating_add(draft.content.images);
        self.call_bytes += draft.tool_calls.bytes + draft.function_call_bytes;
        self.messages.push(Message { role, texts });
    }
}

impl<'a> Draft<'a> {
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        cursor.expect(Kind::Object, "an object")?;
        let start = cursor.offset();
        cursor.enter()?;
        let mut first = true;
        while let Some(key) = cursor.next_key(&mut first)? {
            self.field(&key, cursor).map_err(|stop| stop.under(&key))?;
        }
        if self.role.is_none() {
            return Err(Stop::wrong_shape(start, "missing").under("role"));
        }
        Ok(())
    }

    fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        match key {
            "role" => {
                let role = required_string(cursor)?;
                self.is_tool_result = matches!(&*role, "tool" | "function");
                self.role = Some(match &*role {
                    "system" | "developer" => Role::System,
                    "user" => Role::User,
                    "assistant" => Role::Assistant,
                    _ => Role::Tool,
                });
            }
            "content" => return self.content.read(cursor),
            "refusal" => self.refusal = optional_string(cursor)?,
            "tool_calls" => return list(cursor, &mut self.tool_calls),
            "function_call" => {
                self.function_call_bytes = 0;
                if !cursor.null()? {
                    let bytes = &mut self.function_call_bytes;
                    measured(cursor, bytes, Cursor::skip_value)?;
                }
            }
            "audio" => {
                self.audio = !cursor.null()?;
                if self.audio {
                    cursor.skip_value()?;
                }
            }
            _ => cursor.skip_value()?,
        }
        Ok(())
    }
}

impl<'a> Content<'a> {
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        *self = Content::default();
        match cursor.kind()? {
            Kind::Null => cursor.null().map(|_| ()),
            Kind::String => {
                let (text, end) = cursor.string_so_far();
                self.texts.push(text);
                end
            }
            Kind::Array => self.parts(cursor),
            found => cursor.wrong("a string or an array of parts", found),
        }
    }

    fn parts(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        cursor.enter()?;
        let mut index = 0;
        let mut first = true;
        while cursor.next_item(&mut first)? {
            let mut part = Part::default();
            let end = part.read(cursor);
            self.take(part);
            end.map_err(|stop| stop.under_index(index))?;
            index += 1;
        }
        Ok(())
    }

    fn take(&mut self, part: Part<'a>) {
        let needs = match part.kind.as_deref() {
            Some("image_url") => {
                self.images = self.images.saturating_add(1);
                Capabilities::VISION
            }
            Some("input_audio") => Capabilities::AUDIO,
            Some("file") => Capabilities::FILES,
            _ => Capabilities::NONE,
        };
        self.needs = self.needs.union(needs);
        self.texts.extend(part.text);
        self.texts.extend(part.refusal);
    }
}

impl<'a> Part<'a> {
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        cursor.expect(Kind::Object, "an object")?;
        let start = cursor.offset();
        cursor.enter()?;
        let mut first = true;
        while let Some(key) = cursor.next_key(&mut first)? {
            self.field(&key, cursor).map_err(|stop| stop.under(&key))?;
        }
        let missing = match self.kind.as_deref() {
            None => "type",
            Some("text") if self.text.is_none() => "text",
            Some("refusal") if self.refusal.is_none() => "refusal",
            Some(_) => return Ok(()),
        };
        Err(Stop::wrong_shape(start, "missing").under(missing))
    }

    fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        match key {
            "type" => self.kind = Some(required_string(cursor)?),
            "text" => return optional_text(cursor, &mut self.text),
            "refusal" => return optional_text(cursor, &mut self.refusal),
            _ => cursor.skip_value()?,
        }
        Ok(())
    }
}

fn required_string<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, str>, Stop> {
    cursor.expect(Kind::String, "a string")?;
    cursor.string()
}

fn optional_string<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Cow<'a, str>>, Stop> {
    if cursor.null()? {
        return Ok(None);
    }
    required_string(cursor).map(Some)
}

/// Reads a string that counts up to the cut, where it is cut off.
fn optional_text<'a>(cursor: &mut Cursor<'a>, text: &mut Option<Cow<'a, str>>) -> Result<(), Stop> {
    *text = None;
    if cursor.null()? {
        return Ok(());
    }
    cursor.expect(Kind::String, "a string")?;
    let (so_far, end) = cursor.string_so_far();
    *text = Some(so_far);
    end
}

fn optional_bool(cursor: &mut Cursor<'_>) -> Result<Option<bool>, Stop> {
    if cursor.null()? {
        return Ok(None);
    }
    cursor.expect(Kind::Bool, "a boolean")?;
    cursor.boolean().map(Some)
}

/// Reads a whole number. A negative one means "no limit", as it does to llama.cpp; one that is too large is `u32::MAX`.
fn optional_count(cursor: &mut Cursor<'_>) -> Result<Option<u32>, Stop> {
    if cursor.null()? {
        return Ok(None);
    }
    cursor.expect(Kind::Number, "a whole number")?;
    let offset = cursor.offset();
    let number = cursor.number()?;
    if number.contains(['.', 'e', 'E']) {
        return Err(Stop::wrong_shape(
            offset,
            "expected a whole number, found one with a fraction or exponent",
        ));
    }
    if number.starts_with('-') {
        return Ok(None);
    }
    // The grammar left nothing but digits: the only error is that they are too many.
    Ok(Some(number.parse().unwrap_or(u32::MAX)))
}

/// Counts the items of an array and its bytes, up to the cut where it is cut off; an empty one and `null` count nothing.
fn list(cursor: &mut Cursor<'_>, list: &mut List) -> Result<(), Stop> {
    *list = List::default();
    if cursor.null()? {
        return Ok(());
    }
    cursor.expect(Kind::Array, "an array")?;
    let List { items, bytes } = list;
    let end = measured(cursor, bytes, |cursor| {
        cursor.enter()?;
        let mut first = true;
        while cursor.next_item(&mut first)? {
            *items = items.saturating_add(1);
            cursor.skip_value()?;
        }
        Ok(())
    });
    if *items == 0 {
        *bytes = 0;
    }
    end
}

/// Reads with `read` and sets `bytes` to how far that came, also where it was cut off.
fn measured<'a>(
    cursor: &mut Cursor<'a>,
    bytes: &mut usize,
    read: impl FnOnce(&mut Cursor<'a>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    cursor.peek()?;
    let start = cursor.offset();
    let end = read(cursor);
    *bytes = cursor.offset() - start;
    end
}
