//! Reads the messages of a chat, as OpenAI and Anthropic have them, in any form.

use std::borrow::Cow;

use super::Role;
use super::content::{Content, Conversation};
use super::fields::{List, count_bytes, entries, kept, list, object, text};
use super::names::is_label;
use crate::api::Capabilities;
use crate::api::json::{Cursor, Kind, ParseError};

/// A message while its fields are read.
#[derive(Default)]
struct Draft<'a> {
    role: Option<Role>,
    is_tool_result: bool,
    content: Content<'a>,
    /// Refusal in place of an answer.
    refusal: Content<'a>,
    tool_calls: List,
    function_call_bytes: usize,
    asides: Vec<Cow<'a, str>>,
    audio: bool,
}

/// Reads the next value into `conversation`: a list of messages, or a single one; a text is a user's message.
pub(super) fn read<'a>(
    cursor: &mut Cursor<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), ParseError> {
    match cursor.kind()? {
        Kind::Array => entries(cursor, &mut |cursor| message(cursor, conversation)),
        _ => message(cursor, conversation),
    }
}

fn message<'a>(
    cursor: &mut Cursor<'a>,
    conversation: &mut Conversation<'a>,
) -> Result<(), ParseError> {
    if cursor.kind()? != Kind::Object {
        return conversation.take_bare(cursor);
    }
    let mut draft = Draft::default();
    let end = object(cursor, &mut |key, cursor| draft.field(key, cursor));
    draft.join(conversation);
    end
}

impl<'a> Draft<'a> {
    fn field(&mut self, key: &str, cursor: &mut Cursor<'a>) -> Result<(), ParseError> {
        self.content.may_carry_state |= !matches!(
            key,
            "role" | "content" | "name" | "tool_call_id" | "refusal"
        );
        match key {
            "role" => {
                if let Some(role) = text(cursor)? {
                    self.is_tool_result |= matches!(&*role, "tool" | "function");
                    take_role(&mut self.role, &role);
                }
            }
            "content" => return self.content.read(cursor),
            "refusal" => return self.refusal.read(cursor),
            "tool_calls" => {
                let (calls, values) = (&mut self.tool_calls, &mut self.content.raw_values);
                return kept(cursor, values, |cursor| list(cursor, calls));
            }
            "function_call" => {
                let (bytes, values) = (&mut self.function_call_bytes, &mut self.content.raw_values);
                return kept(cursor, values, |cursor| count_bytes(cursor, bytes));
            }
            "audio" => {
                self.audio |= cursor.kind()? != Kind::Null;
                cursor.skip_value()?;
            }
            _ if is_label(key) => cursor.skip_value()?,
            _ => return cursor.texts(&mut self.asides),
        }
        Ok(())
    }

    fn join(self, conversation: &mut Conversation<'a>) {
        let mut content = self.content;
        content.texts.extend(self.refusal.texts);
        content.call_bytes += self.tool_calls.bytes + self.function_call_bytes;
        content.asides.extend(self.asides);
        content.asides.extend(self.refusal.asides);
        if self.is_tool_result || self.tool_calls.items > 0 || self.function_call_bytes > 0 {
            content.needs = content.needs.union(Capabilities::TOOLS);
        }
        if self.audio {
            content.needs = content.needs.union(Capabilities::AUDIO);
        }
        conversation.take(self.role, content);
    }
}

/// Sets the author. Of several roles the user's counts, because rules look at users' texts; else the last.
pub(super) fn take_role(role: &mut Option<Role>, name: &str) {
    if *role != Some(Role::User) {
        *role = Some(role_of(name));
    }
}

/// The author by the role's name. An unknown role is the user's, because rules look at users' texts.
fn role_of(name: &str) -> Role {
    let is_one_of = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    if is_one_of(&["user"]) {
        Role::User
    } else if is_one_of(&["assistant", "model"]) {
        Role::Assistant
    } else if is_one_of(&["system", "developer"]) {
        Role::System
    } else if is_one_of(&[
        "tool",
        "function",
        "ipython",
        "document",
        "documents",
        "environment",
    ]) {
        Role::Tool
    } else {
        Role::User
    }
}
