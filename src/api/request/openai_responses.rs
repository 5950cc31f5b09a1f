//! Reads a body of OpenAI's `POST /v1/responses`.
//!
//! As lenient as `openai_chat`. What the server stores (`previous_response_id`, `conversation`, a stored `prompt`) is unknown here:
//! the decision is made on the body.

use super::content::{Content, Conversation, Part, is_call};
use super::fields::{BodyFields, List, count, document, entries, list, object, object_or_nothing};
use super::messages::take_role;
use super::openai_chat::{ResponseFormat, asks_to_reason};
use super::{Api, Message, Request, Role, fields};
use crate::api::Capabilities;
use crate::api::json::{Cursor, Kind, ParseError};

/// Fields read so far.
#[derive(Default)]
struct Responses<'a> {
    fields: BodyFields<'a>,
    input: Conversation<'a>,
    instructions: Content<'a>,
    tools: List,
    format: ResponseFormat,
    max_output_tokens: Option<u32>,
    reasons: bool,
}

/// An item of `input` while its fields are read.
struct Item<'a> {
    role: Option<Role>,
    part: Part<'a>,
    output: Content<'a>,
}

/// Reads the document at offset `start` of `text`; with `complete` false its end may be missing.
pub(super) fn read(text: &str, start: usize, complete: bool) -> Result<Request<'_>, ParseError> {
    let mut responses = Responses::default();
    let mut cursor = Cursor::new(text, start);
    let whole = document(&mut cursor, complete, &mut |key, cursor| {
        responses.field(key, cursor)
    })?;
    Ok(responses.finish(whole))
}

impl<'a> Responses<'a> {
    fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        match key {
            "input" => match cursor.kind()? {
                Kind::Array => entries(cursor, &mut |cursor| item(cursor, &mut self.input)),
                _ => item(cursor, &mut self.input),
            },
            // In a response that is sent back as a request, this is a list of items.
            "instructions" => self.instructions.read(cursor),
            "tools" => list(cursor, &mut self.tools),
            "text" => {
                let format = &mut self.format;
                object_or_nothing(cursor, &mut |key, cursor| match key {
                    "format" => format.read(cursor, "schema"),
                    _ => cursor.skip_value(),
                })
            }
            "max_output_tokens" => count(cursor, &mut self.max_output_tokens),
            "reasoning" => {
                let reasons = &mut self.reasons;
                object_or_nothing(cursor, &mut |key, cursor| {
                    if key != "effort" {
                        return cursor.skip_value();
                    }
                    *reasons |= asks_to_reason(cursor)?;
                    Ok(())
                })
            }
            _ => self.fields.field(key, cursor),
        }
    }

    fn finish(mut self, complete: bool) -> Request<'a> {
        let mut request = Request::empty(Api::OpenAiResponses);
        let texts = std::mem::take(&mut self.instructions.texts);
        if !texts.is_empty() {
            let role = Role::System;
            self.input.messages.insert(0, Message { role, texts });
        }
        self.input.take_from(Role::System, false, self.instructions);
        request.tools = self.tools.items;
        request.take(self.input, self.tools.bytes + self.format.schema_bytes);
        request.need(true, self.format.needs);
        request.required_members = self.format.required;
        request.need(self.reasons, Capabilities::REASONING);
        request.max_tokens = self.max_output_tokens;
        self.fields.finish(&mut request, complete);
        request
    }
}

/// Reads an item; a value that is not an object is text of the user.
fn item<'a>(
    cursor: &mut Cursor<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), ParseError> {
    if cursor.kind()? != Kind::Object {
        return conversation.take_bare(cursor);
    }
    let mut item = Item {
        role: None,
        part: Part::at(1),
        output: Content::default(),
    };
    let end = object(cursor, &mut |key, cursor| item.field(key, cursor));
    item.join(conversation, cursor);
    end
}

impl<'a> Item<'a> {
    fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        match key {
            "role" => {
                if let Some(role) = fields::text(cursor)? {
                    take_role(&mut self.role, &role);
                }
                Ok(())
            }
            "output" | "outputs" | "results" => self.output.read(cursor),
            _ => self.part.field(key, cursor),
        }
    }

    /// Tool calls, their results and a model's reasoning are material. An item of an unknown type is a message.
    fn join(self, conversation: &mut Conversation<'a>, cursor: &Cursor<'a>) {
        let kind = self.part.kind.clone().unwrap_or_default();
        let is_tool = is_call(&kind)
            || kind.ends_with("_output")
            || kind.starts_with("mcp_")
            || kind == "additional_tools";
        let is_material =
            is_tool || matches!(&*kind, "reasoning" | "item_reference" | "compaction");
        let mut content = Content::default();
        content.take(self.part, cursor, is_tool);
        let output = self.output;
        content.material.extend(output.texts);
        content.material.extend(output.material);
        content.material.extend(output.asides);
        content.needs = content.needs.union(output.needs);
        content.images = content.images.saturating_add(output.images);
        content.call_bytes += output.call_bytes;
        content.raw_values.extend(output.raw_values);
        if is_tool {
            content.needs = content.needs.union(Capabilities::TOOLS);
        }
        if is_material {
            conversation.take_from(Role::Tool, false, content);
        } else {
            conversation.take(self.role, content);
        }
    }
}
