//! Reads a body of OpenAI's `POST /v1/chat/completions`.
//!
//! Refuses only what makes the meaning unreadable: JSON that is none, and a field that routing reads with a value of
//! another type. Everything else (unknown fields, roles and part types, numbers out of range) is the backend's to judge
//! and passes.

use std::borrow::Cow;

use super::content::{Content, Conversation};
use super::fields::{
    Envelope, List, count_bytes, document, entries, kept, list, object, optional_count,
    optional_object, optional_string, optional_text, required_string,
};
use super::json::{Cursor, Kind, Stop};
use super::nested;
use super::{Format, Request, Role};
use crate::registry::Capabilities;

/// What the fields said so far, each apart, so that a later one of the same name can replace it.
#[derive(Default)]
struct Chat<'a> {
    envelope: Envelope<'a>,
    conversation: Option<Conversation<'a>>,
    tools: List,
    functions: List,
    response_format: ResponseFormat,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    choices: Option<u32>,
    reasons: bool,
    speaks: bool,
    raw_values: Vec<&'a str>,
}

/// What the answer must look like.
#[derive(Default)]
pub(super) struct ResponseFormat {
    pub(super) needs: Capabilities,
    pub(super) schema_bytes: usize,
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
    raw_values: Vec<&'a str>,
    audio: bool,
}

/// Reads the document that starts at `start` of `text`; with `complete` false its end may be missing.
pub(super) fn read(text: &str, start: usize, complete: bool) -> Result<Request<'_>, Stop> {
    let mut chat = Chat::default();
    let mut cursor = Cursor::new(text, start);
    let whole = document(&mut cursor, complete, &mut |key, cursor| {
        chat.field(key, cursor)
    })?;
    if whole && chat.conversation.is_none() {
        return missing(&cursor, "messages");
    }
    Ok(chat.finish(whole))
}

/// The error that a body lacks the field `name`.
pub(super) fn missing<T>(cursor: &Cursor<'_>, name: &str) -> Result<T, Stop> {
    cursor
        .wrong_shape("missing")
        .map_err(|stop: Stop| stop.under(name))
}

impl<'a> Chat<'a> {
    fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        match key {
            "messages" => return self.messages(cursor),
            "tools" => return list(cursor, &mut self.tools),
            "functions" => return list(cursor, &mut self.functions),
            "response_format" => return self.response_format.read(cursor, "json_schema"),
            "max_tokens" => self.max_tokens = optional_count(cursor)?,
            "max_completion_tokens" => self.max_completion_tokens = optional_count(cursor)?,
            "n" => self.choices = optional_count(cursor)?,
            "reasoning_effort" => self.reasons = asks_to_reason(cursor)?,
            "modalities" => return self.modalities(cursor),
            "documents" | "prediction" => {
                return kept(cursor, &mut self.raw_values, Cursor::skip_value);
            }
            _ => return self.envelope.field(key, cursor),
        }
        Ok(())
    }

    fn messages(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        let conversation = self.conversation.insert(Conversation::default());
        at_least_one(cursor, "expected at least one message", &mut |cursor| {
            let mut draft = Draft::default();
            let end = draft.read(cursor);
            if matches!(end, Ok(()) | Err(Stop::Cut)) {
                draft.join(conversation);
            }
            end
        })
    }

    fn modalities(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.speaks = false;
        if cursor.null()? {
            return Ok(());
        }
        let speaks = &mut self.speaks;
        entries(cursor, &mut |cursor| {
            *speaks |= required_string(cursor)? == "audio";
            Ok(())
        })
        .map(|_| ())
    }

    fn finish(self, complete: bool) -> Request<'a> {
        let conversation = self.conversation.unwrap_or_default();
        let mut request = Request::empty(Format::OpenAiChat);
        let schema_bytes =
            self.tools.bytes + self.functions.bytes + self.response_format.schema_bytes;
        request.tools = self.tools.items.saturating_add(self.functions.items);
        request.take(conversation, schema_bytes);
        request.raw_values.extend(self.raw_values);
        request.need(true, self.response_format.needs);
        request.need(self.reasons, Capabilities::REASONING);
        request.need(self.speaks, Capabilities::AUDIO);
        request.max_tokens = self.max_completion_tokens.or(self.max_tokens);
        request.choices = self.choices.unwrap_or(1).max(1);
        self.envelope.finish(&mut request, complete);
        request
    }
}

/// Reads a list that must not be empty, entry by entry.
pub(super) fn at_least_one<'a>(
    cursor: &mut Cursor<'a>,
    expected: &'static str,
    entry: &mut dyn FnMut(&mut Cursor<'a>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    cursor.expect(Kind::Array, "an array")?;
    let start = cursor.offset();
    match entries(cursor, entry)? {
        0 => Err(Stop::wrong_shape(start, expected)),
        _ => Ok(()),
    }
}

/// Whether the effort that is asked for is any.
pub(super) fn asks_to_reason(cursor: &mut Cursor<'_>) -> Result<bool, Stop> {
    Ok(optional_string(cursor)?.is_some_and(|effort| effort != "none"))
}

impl ResponseFormat {
    /// Reads the object with a `type` and, under the key `schema`, the schema if there is one.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>, schema: &str) -> Result<(), Stop> {
        *self = ResponseFormat::default();
        optional_object(cursor, &mut |key, cursor| match key.as_ref() {
            "type" => {
                self.needs = match &*required_string(cursor)? {
                    "json_object" => Capabilities::JSON_MODE,
                    "json_schema" => Capabilities::JSON_SCHEMA,
                    _ => Capabilities::NONE,
                };
                Ok(())
            }
            key if key == schema => count_bytes(cursor, &mut self.schema_bytes),
            _ => cursor.skip_value(),
        })
    }
}

impl<'a> Draft<'a> {
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        cursor.expect(Kind::Object, "an object")?;
        let start = cursor.offset();
        object(cursor, &mut |key, cursor| self.field(key, cursor))?;
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
                self.role = Some(role_of(&role));
            }
            "content" => return self.content.read(cursor, false),
            "refusal" => return optional_text(cursor, &mut self.refusal),
            "tool_calls" => {
                let calls = &mut self.tool_calls;
                return kept(cursor, &mut self.raw_values, |cursor| list(cursor, calls));
            }
            "function_call" => {
                let bytes = &mut self.function_call_bytes;
                return kept(cursor, &mut self.raw_values, |cursor| {
                    count_bytes(cursor, bytes)
                });
            }
            "audio" => {
                self.audio = !cursor.null()?;
                if self.audio {
                    cursor.skip_value()?;
                }
            }
            key if nested::may_hold_text(key) => {
                return kept(cursor, &mut self.raw_values, Cursor::skip_value);
            }
            _ => cursor.skip_value()?,
        }
        Ok(())
    }

    fn join(self, conversation: &mut Conversation<'a>) {
        let mut content = self.content;
        content.texts.extend(self.refusal);
        content.raw_values.extend(self.raw_values);
        content.call_bytes += self.tool_calls.bytes + self.function_call_bytes;
        if self.is_tool_result || self.tool_calls.items > 0 || self.function_call_bytes > 0 {
            content.needs = content.needs.union(Capabilities::TOOLS);
        }
        if self.audio {
            content.needs = content.needs.union(Capabilities::AUDIO);
        }
        conversation.take(self.role, content);
    }
}

/// Who speaks, by the API's name of the role.
pub(super) fn role_of(name: &str) -> Role {
    match name {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => Role::Tool,
    }
}
