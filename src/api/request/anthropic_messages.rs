//! Reads a body of Anthropic's `POST /v1/messages`.
//!
//! As lenient as `openai_chat`. A user's message with results of tools becomes two: the results, which are material to work on, and
//! the user's text.

use super::content::{Content, Conversation};
use super::fields::{BodyFields, List, count, document, list, object_or_nothing, text};
use super::openai_chat::ResponseFormat;
use super::{Api, Message, Request, Role, messages};
use crate::api::Capabilities;
use crate::api::json::{Cursor, ParseError};

/// Fields read so far.
#[derive(Default)]
struct Messages<'a> {
    fields: BodyFields<'a>,
    conversation: Conversation<'a>,
    system: Content<'a>,
    tools: List,
    format: ResponseFormat,
    max_tokens: Option<u32>,
    reasons: bool,
}

/// Reads the document at offset `start` of `text`; with `complete` false its end may be missing.
pub(super) fn read(text: &str, start: usize, complete: bool) -> Result<Request<'_>, ParseError> {
    let mut messages = Messages::default();
    let mut cursor = Cursor::new(text, start);
    let whole = document(&mut cursor, complete, &mut |key, cursor| {
        messages.field(key, cursor)
    })?;
    Ok(messages.finish(whole))
}

impl<'a> Messages<'a> {
    fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        match key {
            "messages" => messages::read(cursor, &mut self.conversation),
            "container" => {
                self.conversation.may_carry_state = true;
                self.fields.field(key, cursor)
            }
            "system" => self.system.read(cursor),
            "tools" => list(cursor, &mut self.tools),
            "max_tokens" => count(cursor, &mut self.max_tokens),
            "thinking" => {
                let reasons = &mut self.reasons;
                object_or_nothing(cursor, &mut |key, cursor| {
                    if key != "type" {
                        return cursor.skip_value();
                    }
                    *reasons |= text(cursor)?.is_some_and(|kind| kind != "disabled");
                    Ok(())
                })
            }
            "output_format" => self.format.read(cursor, "schema"),
            "output_config" => {
                let format = &mut self.format;
                object_or_nothing(cursor, &mut |key, cursor| match key {
                    "format" => format.read(cursor, "schema"),
                    _ => cursor.skip_value(),
                })
            }
            _ => self.fields.field(key, cursor),
        }
    }

    fn finish(mut self, complete: bool) -> Request<'a> {
        let mut request = Request::empty(Api::AnthropicMessages);
        let mut conversation = self.conversation;
        if !self.system.texts.is_empty() {
            let system = Message {
                role: Role::System,
                texts: std::mem::take(&mut self.system.texts),
            };
            conversation.messages.insert(0, system);
        }
        conversation.take_from(Role::System, false, self.system);
        request.tools = self.tools.items;
        request.may_carry_state = conversation.may_carry_state;
        request.take(conversation, self.tools.bytes + self.format.schema_bytes);
        request.need(true, self.format.needs);
        request.required_members = self.format.required;
        request.need(self.reasons, Capabilities::REASONING);
        request.max_tokens = self.max_tokens;
        self.fields.name_user("user_id");
        self.fields.finish(&mut request, complete);
        request
    }
}
