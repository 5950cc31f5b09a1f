//! What a response has said so far.

use super::counts::{CountingRules, Counts};
use super::keys::{Key, Place};
use super::state_collector::StateCollector;
use super::status::{AnswerStatus, FinishReasons};

/// What a response says, as far as it matters.
#[derive(Debug, Default)]
pub(super) struct ParsedAnswer {
    /// The counts of tokens, over all documents.
    pub(super) counts: Counts,
    /// Those of llama.cpp's timings, which stand in streams that state no usage.
    pub(super) timings: Counts,
    /// What the names of the counts mean by definition.
    pub(super) rules: CountingRules,
    /// The sum of the steps that this document lists (Anthropic's compaction).
    pub(super) steps: Counts,
    /// Whether output was stated at the top of a document.
    pub(super) at_top: bool,
    /// Whether an answer has begun: a choice, or an event that is named as one of an answer.
    pub(super) has_begun: bool,
    /// Whether it was said that the answer is over, well or not.
    pub(super) is_over: bool,
    /// What it says beside its tokens.
    pub(super) status: AnswerStatus,
    /// State that its maker wants back.
    pub(super) collector: StateCollector,
    /// Why the answer ended, as far as it was said.
    pub(super) finish: FinishReasons,
    /// Whether this document has a choice that is one.
    pub(super) has_choices: bool,
    /// Whether this document says something beside usage and what it is of.
    pub(super) says_more: bool,
    /// Whether this document has a list of choices.
    pub(super) lists_choices: bool,
    /// Whether this document has usage at its top.
    pub(super) has_usage: bool,
}

impl ParsedAnswer {
    /// Ends an event and says whether it said nothing but the usage.
    pub(super) fn end_event(&mut self) -> bool {
        let only = self.has_usage && self.lists_choices && !self.has_choices && !self.says_more;
        self.end_document();
        self.status.end_event();
        self.has_usage = false;
        self.lists_choices = false;
        self.has_choices = false;
        self.says_more = false;
        only
    }

    /// Ends a document: a sum of steps that is more than the whole counts in its place.
    fn end_document(&mut self) {
        let steps = std::mem::take(&mut self.steps);
        self.counts.raise(&steps);
    }

    /// Takes `number`, which stands under `key` of what is at `place`.
    pub(super) fn take(&mut self, place: Place, key: Key, number: u64) {
        let counts = match place {
            Place::Choice if key == Key::Index => return self.status.choice_index(number),
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

/// What `key` counts where it stands at `place`.
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
        // In the details of the input it is a part of that.
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
