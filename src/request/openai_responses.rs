//! Reads a body of OpenAI's `POST /v1/responses`.
//!
//! As lenient as `openai_chat`. What stands on the server (`previous_response_id`, `conversation`, a stored `prompt`) is
//! not seen here: the decision is made on what the body holds.

use std::borrow::Cow;

use super::content::{Content, Conversation};
use super::fields::{
    Envelope, List, count_bytes, document, entries, kept, list, object, optional_count,
    optional_object, optional_string, optional_text, required_string,
};
use super::json::{Cursor, Kind, Stop};
use super::nested;
use super::openai_chat::{ResponseFormat, asks_to_reason, role_of};
use super::{Format, Message, Request, Role};
use crate::registry::Capabilities;

/// What the fields said so far, each apart, so that a later one of the same name can replace it.
#[derive(Default)]
struct Responses<'a> {
    envelope: Envelope<'a>,
    input: Conversation<'a>,
    instructions: Option<Cow<'a, str>>,
    tools: List,
    format: ResponseFormat,
    max_output_tokens: Option<u32>,
    reasons: bool,
    raw_values: Vec<&'a str>,
}

/// An item of `input` while its fields are read.
#[derive(Default)]
struct Item<'a> {
    kind: Option<Cow<'a, str>>,
    role: Option<Role>,
    content: Content<'a>,
    output: Content<'a>,
    call_bytes: usize,
    raw_values: Vec<&'a str>,
}

/// Reads the document that starts at `start` of `text`; with `complete` false its end may be missing.
pub(super) fn read(text: &str, start: usize, complete: bool) -> Result<Request<'_>, Stop> {
    let mut responses = Responses::default();
    let mut cursor = Cursor::new(text, start);
    let whole = document(&mut cursor, complete, &mut |key, cursor| {
        responses.field(key, cursor)
    })?;
    Ok(responses.finish(whole))
}

impl<'a> Responses<'a> {
    fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        match key {
            "input" => return self.input(cursor),
            "instructions" => return self.instructions(cursor),
            "tools" => return list(cursor, &mut self.tools),
            "text" => {
                let format = &mut self.format;
                return optional_object(cursor, &mut |key, cursor| match key.as_ref() {
                    "format" => format.read(cursor, "schema"),
                    _ => cursor.skip_value(),
                });
            }
            // Its variables are put into a prompt that is stored at the server.
            "prompt" => return kept(cursor, &mut self.raw_values, Cursor::skip_value),
            "max_output_tokens" => self.max_output_tokens = optional_count(cursor)?,
            "reasoning" => {
                self.reasons = false;
                let reasons = &mut self.reasons;
                return optional_object(cursor, &mut |key, cursor| {
                    if key != "effort" {
                        return cursor.skip_value();
                    }
                    *reasons = asks_to_reason(cursor)?;
                    Ok(())
                });
            }
            _ => return self.envelope.field(key, cursor),
        }
        Ok(())
    }

    fn input(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.input = Conversation::default();
        match cursor.kind()? {
            Kind::Null => cursor.null().map(|_| ()),
            Kind::String => {
                let mut content = Content::default();
                let end = content.read(cursor, false);
                self.input.take(Some(Role::User), content);
                end
            }
            Kind::Array => {
                let conversation = &mut self.input;
                entries(cursor, &mut |cursor| {
                    let mut item = Item::default();
                    let end = object(cursor, &mut |key, cursor| item.field(key, cursor));
                    if matches!(end, Ok(()) | Err(Stop::Cut)) {
                        item.join(conversation);
                    }
                    end
                })
                .map(|_| ())
            }
            found => cursor.wrong("a string or an array of items", found),
        }
    }

    /// A response that is sent back as a request has a list here; nothing in it is for the router.
    fn instructions(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        self.instructions = None;
        if cursor.kind()? == Kind::Array {
            return kept(cursor, &mut self.raw_values, Cursor::skip_value);
        }
        optional_text(cursor, &mut self.instructions)
    }

    fn finish(mut self, complete: bool) -> Request<'a> {
        let mut request = Request::empty(Format::OpenAiResponses);
        if let Some(instructions) = self.instructions {
            let system = Message {
                role: Role::System,
                texts: vec![instructions],
            };
            self.input.messages.insert(0, system);
        }
        request.tools = self.tools.items;
        request.take(self.input, self.tools.bytes + self.format.schema_bytes);
        request.raw_values.extend(self.raw_values);
        request.need(true, self.format.needs);
        request.need(self.reasons, Capabilities::REASONING);
        request.max_tokens = self.max_output_tokens;
        self.envelope.finish(&mut request, complete);
        request
    }
}

impl<'a> Item<'a> {
    fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), Stop> {
        match key {
            "type" => self.kind = optional_string(cursor)?,
            "role" => self.role = Some(role_of(&required_string(cursor)?)),
            // A model's reasoning has content too, which is no text of the conversation.
            "content" => return self.content.read(cursor, false),
            // Of the same kind, by other names: what a call gave. Its shape differs by tool.
            "output" | "outputs" | "results" | "error" => {
                return self.output.read_any(cursor);
            }
            "arguments" | "input" | "action" | "code" | "operation" | "queries" => {
                let mut bytes = 0;
                let end = kept(cursor, &mut self.raw_values, |cursor| {
                    count_bytes(cursor, &mut bytes)
                });
                self.call_bytes += bytes;
                return end;
            }
            // Of tools that a server offers, and a picture that it drew.
            "tools" | "result" => cursor.skip_value()?,
            key if nested::may_hold_text(key) => {
                return kept(cursor, &mut self.raw_values, Cursor::skip_value);
            }
            _ => cursor.skip_value()?,
        }
        Ok(())
    }

    /// All that are no messages are calls of tools and what they gave, or a model's reasoning: material. A screenshot is an
    /// image.
    fn join(self, conversation: &mut Conversation<'a>) {
        let mut content = self.content;
        content.material.extend(self.output.texts);
        content.needs = content.needs.union(self.output.needs);
        content.images = content.images.saturating_add(self.output.images);
        content.call_bytes += self.call_bytes;
        content.raw_values.extend(self.raw_values);
        match self.kind.as_deref().unwrap_or("message") {
            "message" => return conversation.take(self.role, content),
            "reasoning" | "item_reference" => {}
            kind => {
                content.needs = content.needs.union(Capabilities::TOOLS);
                if kind == "computer_call_output" {
                    content.needs = content.needs.union(Capabilities::VISION);
                    content.images = content.images.saturating_add(1);
                }
            }
        }
        let says = !content.texts.is_empty();
        conversation.take(says.then_some(Role::Tool), content);
    }
}
