//! Takes the event that says nothing but the usage out of a stream whose client did not ask for it.
//!
//! Events arrive whole as a rule and pass untouched. Of one that is cut, the part that is there is held back until it is
//! clear what it is: with its first choice that it passes, with its end that it does not. At most [`MAX_HELD`] bytes.

use super::{EventEnd, UsageParser};

/// The most bytes of an unfinished event that are held back; such an event is many times larger than any that states usage.
pub const MAX_HELD: usize = 16 * 1024;

/// What is held back of a stream.
#[derive(Debug, Default)]
pub struct UsageEventFilter {
    held: Vec<u8>,
    /// The event that has begun is passed on as it comes.
    passes: bool,
}

impl UsageEventFilter {
    /// Feeds `chunk` to `meter` and gives what the client gets in its place; `None` where that is the chunk as it is.
    ///
    /// After an event that is taken out and ends with CRLF a single LF may stay: an empty line, which means nothing.
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

    /// What is still held back when the stream ends, and has to be passed on.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}
