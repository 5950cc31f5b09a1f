//! Removes the event that holds only the usage from a stream whose client did not ask for it.
//!
//! Events mostly arrive whole and pass untouched. An event that arrives in part is held back until it is known: its first choice
//! lets it pass, its end without one removes it. At most [`MAX_HELD`] bytes are held.

use super::{EventEnd, UsageParser};

/// Maximum number of bytes held back; a longer event is far larger than any that reports usage.
pub const MAX_HELD: usize = 16 * 1024;

/// Filter of one stream, with the bytes that it holds back.
#[derive(Debug, Default)]
pub struct UsageEventFilter {
    held: Vec<u8>,
    /// Whether the unfinished event passes as it arrives.
    passes: bool,
}

impl UsageEventFilter {
    /// Feeds `chunk` to `meter`; returns the bytes for the client in its place, `None` for the chunk itself.
    ///
    /// After a removed event that ends with CRLF a single LF may stay: an empty line, which has no meaning.
    pub fn feed(&mut self, meter: &mut UsageParser, chunk: &[u8]) -> Option<Vec<u8>> {
        let mut ends: Vec<EventEnd> = Vec::new();
        meter.feed_events(chunk, &mut |end| ends.push(end));
        let mut out = std::mem::take(&mut self.held);
        let mut changed = !out.is_empty();
        let mut event = 0;
        let mut from = 0;
        for end in ends {
            if end.is_usage && !self.passes {
                out.truncate(event);
                changed = true;
            } else {
                out.extend_from_slice(chunk.get(from..end.at).unwrap_or_default());
            }
            self.passes = false;
            event = out.len();
            from = end.at;
        }
        out.extend_from_slice(chunk.get(from..).unwrap_or_default());
        let open = out.len() - event;
        self.passes |= open > MAX_HELD || !meter.may_be_usage();
        if open > 0 && !self.passes {
            self.held = out.split_off(event);
            changed = true;
        }
        changed.then_some(out)
    }

    /// The bytes still held back when the stream ends, to be passed on.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}
