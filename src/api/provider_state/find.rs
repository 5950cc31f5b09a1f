//! Finds provider state in a body, in a pass of its own, because only policies with several state scopes need it.
//!
//! Lenient: truncated values and values of another shape are skipped. Of a repeated key every value counts, because servers differ
//! in which of them they take.

use std::ops::Range;

use super::{Cut, ProviderState, SealedValue, StateItem, search};
use crate::api::Api;
use crate::api::json::{Cursor, Kind, ParseError};

/// Keys of sealed values in the results of a provider's own tools.
const SEALED: &[&str] = &["encrypted_content", "encrypted_index", "encrypted_stdout"];

/// Keys of sealed values in reasoning that gateways pass on.
const SIGNED: &[&str] = &["signature", "data"];

/// The provider state in the document that starts at `start` of `text`.
pub(super) fn find(api: Api, text: &str, start: usize) -> ProviderState {
    let mut cursor = Cursor::new(text, start);
    let mut state = ProviderState::default();
    // Of a truncated document the state before the cut counts.
    let _ = match api {
        Api::AnthropicMessages => anthropic(&mut cursor, &mut state),
        Api::OpenAiResponses => responses(&mut cursor, &mut state),
        Api::OpenAiChat => chat(&mut cursor, &mut state),
        Api::OpenAiCompletions | Api::OpenAiEmbeddings => Ok(()),
    };
    state
}

/// Reads the next value, an object, key by key; any other value is skipped.
fn members<'a>(
    cursor: &mut Cursor<'a>,
    member: &mut dyn FnMut(&str, &mut Cursor<'a>) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    if cursor.kind()? != Kind::Object {
        return cursor.skip_value();
    }
    cursor.enter()?;
    let mut first = true;
    while let Some(key) = cursor.next_key(&mut first)? {
        member(&key, cursor)?;
    }
    Ok(())
}

/// Reads the next value, a list, item by item; any other value is skipped.
fn items<'a>(
    cursor: &mut Cursor<'a>,
    item: &mut dyn FnMut(&mut Cursor<'a>) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    if cursor.kind()? != Kind::Array {
        return cursor.skip_value();
    }
    cursor.enter()?;
    let mut first = true;
    while cursor.next_item(&mut first)? {
        item(cursor)?;
    }
    Ok(())
}

/// Reads a string; any other value is skipped and gives an empty one.
fn word(cursor: &mut Cursor<'_>) -> Result<String, ParseError> {
    match cursor.kind()? {
        Kind::String => cursor.string().map(String::from),
        _ => cursor.skip_value().map(|()| String::new()),
    }
}

fn anthropic(cursor: &mut Cursor<'_>, state: &mut ProviderState) -> Result<(), ParseError> {
    let (mut settled, mut is_budgeted) = (0, false);
    let mut container = SealedValue::default();
    let end = members(cursor, &mut |key, cursor| match key {
        "messages" => items(cursor, &mut |cursor| {
            let message = Message::read(cursor)?;
            // Thinking belongs to a round of tool calls until the user speaks again.
            if message.role == "user" && !message.has_results {
                settled = state.items.len();
            }
            message.join(state);
            Ok(())
        }),
        "thinking" => members(cursor, &mut |key, cursor| match key {
            "type" => word(cursor).map(|kind| is_budgeted |= kind == "enabled"),
            _ => cursor.skip_value(),
        }),
        "container" => container.read_id(cursor),
        _ => cursor.skip_value(),
    });
    if is_budgeted {
        state.fix_from(settled);
    }
    if container.mark.is_some() {
        state.add("`container`", container.mark, None);
    }
    end
}

fn chat(cursor: &mut Cursor<'_>, state: &mut ProviderState) -> Result<(), ParseError> {
    members(cursor, &mut |key, cursor| match key {
        "messages" => items(cursor, &mut |cursor| {
            Message::read(cursor)?.join(state);
            Ok(())
        }),
        _ => cursor.skip_value(),
    })
}

/// A message of Anthropic's or OpenAI's chat API.
#[derive(Default)]
struct Message {
    role: String,
    items: Vec<StateItem>,
    /// State outside its content.
    others: Vec<StateItem>,
    parts: usize,
    has_results: bool,
}

impl Message {
    fn read(cursor: &mut Cursor<'_>) -> Result<Message, ParseError> {
        let mut message = Message::default();
        members(cursor, &mut |key, cursor| match key {
            "role" => word(cursor).map(|role| message.role = role),
            "content" => items(cursor, &mut |cursor| message.part(cursor)),
            "tool_calls" => items(cursor, &mut |cursor| {
                members(cursor, &mut |key, cursor| match key {
                    "extra_content" => message.signed(cursor),
                    _ => cursor.skip_value(),
                })
            }),
            "extra_content" => message.signed(cursor),
            "reasoning_details" => message.sealed("`reasoning_details`", cursor),
            "thinking_blocks" => message.sealed("`thinking_blocks`", cursor),
            "audio" => {
                let mut id = SealedValue::default();
                id.read_id(cursor)?;
                if id.mark.is_some() {
                    let item = StateItem::new("`audio` of an earlier answer", id.mark, None);
                    message.others.push(item);
                }
                Ok(())
            }
            _ => cursor.skip_value(),
        })?;
        Ok(message)
    }

    fn part(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        let start = cursor.offset();
        let (mut kind, mut inside) = (String::new(), None);
        let [mut signature, mut data, mut content, mut file] =
            [(); 4].map(|()| SealedValue::default());
        members(cursor, &mut |key, cursor| match key {
            "type" => word(cursor).map(|word| kind = word),
            "signature" => signature.read(cursor),
            "data" => data.read(cursor),
            "encrypted_content" => content.read(cursor),
            "citations" => content.search(cursor, &["encrypted_index"]),
            "file_id" => file.read(cursor),
            "file" | "source" => file.search(cursor, &["file_id"]),
            "content" => {
                cursor.peek()?;
                inside = Some(cursor.offset());
                cursor.skip_value()
            }
            _ => cursor.skip_value(),
        })?;
        self.parts += 1;
        self.has_results |= kind == "tool_result";
        // Results of the provider's own tools. Those of the client's tools can be long and hold no state.
        if let Some(at) = inside.filter(|_| kind.ends_with("_tool_result")) {
            content.search(&mut cursor.again_at(at), SEALED)?;
        }
        let cut = Some(Cut::Item(start..cursor.offset()));
        let (what, mark, cut) = match kind.as_str() {
            "thinking" => ("`thinking` blocks", signature.mark, cut),
            "redacted_thinking" => ("`thinking` blocks", data.mark, cut),
            _ if content.mark.is_some() => ("encrypted content", content.mark, None),
            _ if file.mark.is_some() => ("files by `file_id`", file.mark, None),
            _ => return Ok(()),
        };
        self.items.push(StateItem::new(what, mark, cut));
        Ok(())
    }

    /// Reads Gemini's `extra_content` of a message or a call.
    fn signed(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        cursor.peek()?;
        let start = cursor.offset();
        let found = search(cursor, &["thought_signature"])?;
        if let Some((mark, signature)) = found.into_iter().next_back() {
            let member = start..cursor.offset();
            let cut = Cut::Signed { member, signature };
            let item = StateItem::new("thought signatures", Some(mark), Some(cut));
            self.others.push(item);
        }
        Ok(())
    }

    /// Reads a member of the message that may be sealed.
    fn sealed(&mut self, what: &'static str, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        cursor.peek()?;
        let start = cursor.offset();
        let found = search(cursor, SIGNED)?;
        if let Some((mark, _)) = found.into_iter().next_back() {
            let cut = Cut::Member(start..cursor.offset());
            let item = StateItem::new(what, Some(mark), Some(cut));
            self.others.push(item);
        }
        Ok(())
    }

    fn join(self, state: &mut ProviderState) {
        let alone = self.parts == self.items.len();
        state.take(self.items, alone);
        state.take(self.others, false);
    }
}

fn responses(cursor: &mut Cursor<'_>, state: &mut ProviderState) -> Result<(), ParseError> {
    let [mut prompt, mut conversation, mut previous] = [(); 3].map(|()| SealedValue::default());
    let mut count = 0;
    let end = members(cursor, &mut |key, cursor| match key {
        "input" => items(cursor, &mut |cursor| {
            count += 1;
            item(cursor, state)
        }),
        "prompt" => prompt.read_id(cursor),
        "conversation" => conversation.read_id(cursor),
        "previous_response_id" => previous.read(cursor),
        _ => cursor.skip_value(),
    });
    if state.is_all_of(count) {
        state.fix_from(0);
    }
    // The value that leads to all others comes last, as the newest.
    for (what, seal) in [
        ("`prompt`", prompt),
        ("`conversation`", conversation),
        ("`previous_response_id`", previous),
    ] {
        if seal.mark.is_some() {
            state.add(what, seal.mark, None);
        }
    }
    end
}

/// Reads an item of the input of OpenAI's Responses.
fn item(cursor: &mut Cursor<'_>, state: &mut ProviderState) -> Result<(), ParseError> {
    let start = cursor.offset();
    let mut kind = String::new();
    let mut files = Message::default();
    let [mut id, mut sealed] = [(); 2].map(|()| SealedValue::default());
    let mut id_span: Range<usize> = 0..0;
    members(cursor, &mut |key, cursor| match key {
        "type" => word(cursor).map(|word| kind = word),
        "content" => items(cursor, &mut |cursor| files.part(cursor)),
        "encrypted_content" => sealed.read(cursor),
        "id" => {
            cursor.peek()?;
            let start = cursor.offset();
            id.read(cursor)?;
            id_span = start..cursor.offset();
            Ok(())
        }
        _ => cursor.skip_value(),
    })?;
    files.join(state);
    let mark = sealed.mark.or(id.mark);
    match kind.as_str() {
        "reasoning" if mark.is_some() => {
            let cut = Cut::Item(start..cursor.offset());
            state.add("`reasoning` items", mark, Some(cut));
        }
        "item_reference" => state.add("`item_reference`", id.mark, None),
        _ if sealed.mark.is_some() => state.add("encrypted items", sealed.mark, None),
        _ if id.mark.is_some() => state.accompany(Cut::Member(id_span)),
        _ => {}
    }
    Ok(())
}
