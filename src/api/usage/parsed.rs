//! Values parsed from a response so far.

use super::content_check::ContentCheck;
use super::counts::{CountingRules, Counts};
use super::keys::{Key, Place};
use super::state_collector::StateCollector;
use super::status::{AnswerStatus, FinishReasons};

/// Whether a document holds anything besides usage; reset with each event.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventFlags {
    pub(super) has_choices: bool,
    pub(super) says_more: bool,
    pub(super) lists_choices: bool,
    pub(super) has_usage: bool,
}

/// Values parsed from a response.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct ParsedAnswer {
    /// Token counts, over all documents.
    pub(super) counts: Counts,
    /// Token counts in llama.cpp's timings, for streams without usage.
    pub(super) timings: Counts,
    /// Rules by which the provider's counts are read.
    pub(super) rules: CountingRules,
    /// Sum of the steps in this document (Anthropic's compaction).
    pub(super) steps: Counts,
    /// Whether a document reported output tokens at its top.
    pub(super) at_top: bool,
    /// Whether an answer has begun: a choice, or an event of an answer.
    pub(super) has_begun: bool,
    /// Whether the answer has ended, with success or not.
    pub(super) is_over: bool,
    /// Its status apart from token counts.
    pub(super) status: AnswerStatus,
    /// Its content.
    pub(super) content: ContentCheck,
    /// Its provider state.
    pub(super) collector: StateCollector,
    /// Its finish reasons so far.
    pub(super) finish: FinishReasons,
    /// Whether this document has a non-empty choice.
    pub(super) has_choices: bool,
    /// Whether this document has content besides usage and metadata.
    pub(super) says_more: bool,
    /// Whether this document has a list of choices.
    pub(super) lists_choices: bool,
    /// Whether this document has usage at its top level.
    pub(super) has_usage: bool,
}

impl ParsedAnswer {
    /// Ends an event; returns whether it held the usage and nothing else.
    pub(super) fn end_event(&mut self) -> bool {
        let only = self.has_usage && self.lists_choices && !self.has_choices && !self.says_more;
        self.end_document();
        self.status.end_event();
        self.set_flags(EventFlags::default());
        only
    }

    /// Whether this document holds anything besides usage, so far.
    pub(super) const fn flags(&self) -> EventFlags {
        EventFlags {
            has_choices: self.has_choices,
            says_more: self.says_more,
            lists_choices: self.lists_choices,
            has_usage: self.has_usage,
        }
    }

    /// Sets what [`ParsedAnswer::flags`] gives.
    pub(super) const fn set_flags(&mut self, flags: EventFlags) {
        self.has_choices = flags.has_choices;
        self.says_more = flags.says_more;
        self.lists_choices = flags.lists_choices;
        self.has_usage = flags.has_usage;
    }

    /// Ends a document. A sum of steps that exceeds the total replaces it.
    fn end_document(&mut self) {
        let steps = std::mem::take(&mut self.steps);
        self.counts.raise(&steps);
    }

    /// Takes `number`, the value of `key` at `place`.
    pub(super) fn take(&mut self, place: Place, key: Key, number: u64) {
        let counts = match place {
            Place::Choice if key == Key::Index => return self.status.choice_index(number),
            Place::Call if key == Key::Index => return self.content.call(number),
            Place::Top | Place::Error if matches!(key, Key::Code | Key::Status) => {
                return self.status.error_code(number);
            }
            Place::Usage | Place::TopUsage | Place::Metrics | Place::Metadata => &mut self.counts,
            Place::InputDetails | Place::OutputDetails | Place::CacheCreation => &mut self.counts,
            Place::Timings => &mut self.timings,
            Place::Step => {
                let mut step = Counts::default();
                if let Some(slot) = slot(&mut step, place, key) {
                    Counts::state(slot, number);
                }
                return self.steps.add(&step);
            }
            _ => return,
        };
        let Some(slot) = slot(counts, place, key) else {
            return;
        };
        Counts::state(slot, number);
        self.at_top |= place == Place::TopUsage && key == Key::Output;
        self.rules.cache_excluded |= key == Key::BedrockCache;
        self.rules.reasoning_excluded |= key == Key::Thoughts;
    }
}

/// The count that `key` stands for at `place`.
fn slot(counts: &mut Counts, place: Place, key: Key) -> Option<&mut Option<u64>> {
    let is_usage = !matches!(
        place,
        Place::InputDetails | Place::OutputDetails | Place::CacheCreation | Place::Timings
    );
    Some(match key {
        Key::Input if is_usage => &mut counts.input,
        Key::Output if is_usage => &mut counts.output,
        Key::Total if is_usage => &mut counts.total,
        Key::ToolInput if is_usage => &mut counts.tool_input,
        Key::TimedInput if place == Place::Timings => &mut counts.input,
        Key::TimedOutput if place == Place::Timings => &mut counts.output,
        Key::TimedCache if place == Place::Timings => &mut counts.cache_read,
        Key::Cached if is_usage || place == Place::InputDetails => &mut counts.cached,
        // In the input's details it is part of the input.
        Key::CacheRead if place == Place::InputDetails => &mut counts.cached,
        Key::CacheRead | Key::BedrockCache if is_usage => &mut counts.cache_read,
        Key::CacheWrite if is_usage || place == Place::InputDetails => &mut counts.cache_write,
        Key::Write5m if place == Place::CacheCreation => &mut counts.cache_write_5m,
        Key::Write1h if place == Place::CacheCreation => &mut counts.cache_write_1h,
        Key::Reasoning if is_usage || place == Place::OutputDetails => &mut counts.reasoning,
        Key::Thoughts if is_usage => &mut counts.reasoning,
        _ => return None,
    })
}
