//! Reads a body of Anthropic's `POST /v1/messages`.
//!
//! As lenient as `openai_chat`. A user's message that holds results of tools is two of ours: the results, which are
//! material to work on, and what the user says.

use super::content::{Content, Conversation};
use super::fields::{
    Envelope, List, document, kept, list, object, optional_count, optional_object, optional_string,
    required_string,
};
use super::json::{Cursor, Kind, Stop};
use super::nested;
use super::openai_chat::{ResponseFormat, at_least_one, missing, role_of};
use super::{Format, Message, Request, Role};
use crate::registry::Capabilities;

/// What the fields said so far, each apart, so that a later one of the same name can replace it.
#[derive(Default)]
struct Messages<'a> {
    envelope: Envelope<'a>,
    conversation: Option<Conversation<'a>>,
    system: Content<'a>,
    tools: List,
    format: ResponseFormat,
    max_tokens: Option<u32>,
    reasons: bool,
}

/// A message while its fields are read.
#[derive(Default)]
struct Draft<'a> {
    role: Option<Role>,
    content: Content<'a>,
    raw_values: Vec<&'a str>,
}

/// Reads the document that starts at `start` of `text`; with `complete` false its end may be missing.
pub(super) fn read(text: &str, start: usize, complete: bool) -> Result<Request<'_>, Stop> {
    let mut messages = Messages::default();
    let mut cursor = Cursor::new(text, start);
    let whole = document(&mut cursor, complete, &mut |key, cursor| {
        messages.field(key, cursor)
    })?;
    if whole && messages.conversation.is_none() {
        return missing(&cursor, "messages");
    }
    Ok(messages.finish(whole))
}

impl<'a> Messages<'a> {
    fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        match key {
            "messages" => return self.messages(cursor),
            "system" => return self.system.read(cursor, true),
            "tools" => return list(cursor, &mut self.tools),
            "max_tokens" => self.max_tokens = optional_count(cursor)?,
            "thinking" => {
                self.reasons = false;
                let reasons = &mut self.reasons;
                return optional_object(cursor, &mut |key, cursor| {
                    if key != "type" {
                        return cursor.skip_value();
                    }
                    *reasons = required_string(cursor)? != "disabled";
                    Ok(())
                });
            }
            "output_format" => return self.format.read(cursor, "schema"),
            "output_config" => {
                let format = &mut self.format;
                return optional_object(cursor, &mut |key, cursor| match key.as_ref() {
                    "format" => format.read(cursor, "schema"),
                    _ => cursor.skip_value(),
                });
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
                draft.content.raw_values.append(&mut draft.raw_values);
                conversation.take(draft.role, draft.content);
            }
            end
        })
    }

    fn finish(mut self, complete: bool) -> Request<'a> {
        let mut request = Request::empty(Format::AnthropicMessages);
        let mut conversation = self.conversation.unwrap_or_default();
        if !self.system.texts.is_empty() {
            let system = Message {
                role: Role::System,
                texts: self.system.texts,
            };
            conversation.messages.insert(0, system);
        }
        request.tools = self.tools.items;
        request.take(conversation, self.tools.bytes + self.format.schema_bytes);
        request.need(true, self.format.needs);
        request.need(self.reasons, Capabilities::REASONING);
        request.max_tokens = self.max_tokens;
        self.envelope.name_user("user_id");
        self.envelope.finish(&mut request, complete);
        request
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
            "role" => self.role = optional_string(cursor)?.map(|role| role_of(&role)),
            "content" => return self.content.read(cursor, true),
            key if nested::may_hold_text(key) => {
                return kept(cursor, &mut self.raw_values, Cursor::skip_value);
            }
            _ => cursor.skip_value()?,
        }
        Ok(())
    }
}
