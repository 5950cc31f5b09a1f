//! Token counts as answers report them, and their combined meaning. The table of [`super`] lists the providers.
//!
//! Providers agree on names more than on meaning: cached tokens are part of the prompt's count or come on top, reasoning is part of
//! the answer's count or comes on top. The definition of a name holds. For the rest the total decides, if one interpretation of
//! the parts gives exactly the total; and a part that exceeds its whole comes on top of it. If no interpretation gives the total,
//! the parts count and the total does not, because it would turn unexplained tokens into the most expensive kind. The exception is
//! Gemini, whose reasoning can be in the total only.

use super::Usage;

/// Maximum plausible count: no request takes a hundred million tokens.
const MAX_COUNT: u64 = 100_000_000;

/// Maximum number of reasoning tokens that are inferred from the total: twice what any Gemini model writes.
const MAX_HIDDEN_REASONING: u64 = 131_072;

/// Token counts of an answer. Each is the largest reported: within an answer no count shrinks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) total: Option<u64>,
    /// Tokens read from a cache, under a name that makes them part of the input.
    pub(super) cached: Option<u64>,
    /// Tokens read from a cache, under a name that some providers use for a part of the input and others for an addition.
    pub(super) cache_read: Option<u64>,
    /// Tokens written to a cache, under a name of the same ambiguity.
    pub(super) cache_write: Option<u64>,
    /// Tokens written to a cache for five minutes.
    pub(super) cache_write_5m: Option<u64>,
    /// Tokens written to a cache for an hour.
    pub(super) cache_write_1h: Option<u64>,
    pub(super) reasoning: Option<u64>,
    /// Tokens of tool results that the provider counts apart from the input.
    pub(super) tool_input: Option<u64>,
}

/// Rules of a provider that hold by definition, whatever the total.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct CountingRules {
    /// The input's count excludes tokens read from and written to a cache (Anthropic, Bedrock).
    pub(super) cache_excluded: bool,
    /// The output's count excludes reasoning (Gemini's own API).
    pub(super) reasoning_excluded: bool,
    /// Reasoning may be in the total only (Gemini's OpenAI API).
    pub(super) hidden_reasoning: bool,
}

/// The parts that come on top of the count that usually includes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interpretation {
    read: bool,
    write: bool,
    reasoning: bool,
}

impl Interpretation {
    /// All interpretations, the likeliest first.
    const ALL: [Interpretation; 8] = {
        const fn reading(read: bool, write: bool, reasoning: bool) -> Interpretation {
            Interpretation {
                read,
                write,
                reasoning,
            }
        }
        [
            reading(false, false, false),
            reading(false, false, true),
            reading(true, true, false),
            reading(true, true, true),
            reading(true, false, false),
            reading(false, true, false),
            reading(true, false, true),
            reading(false, true, true),
        ]
    };
}

/// Counts that are interpreted together.
#[derive(Debug, Clone, Copy)]
struct Parts {
    input: u64,
    output: u64,
    read: u64,
    write: u64,
    reasoning: u64,
    tool_input: u64,
}

impl Parts {
    /// Their sum.
    fn sum(&self, interpretation: Interpretation) -> u64 {
        let outside = |is: bool, tokens: u64| if is { tokens } else { 0 };
        self.input
            + self.output
            + self.tool_input
            + outside(interpretation.read, self.read)
            + outside(interpretation.write, self.write)
            + outside(interpretation.reasoning, self.reasoning)
    }

    /// Whether included parts fit into their whole.
    fn fits(&self, interpretation: Interpretation) -> bool {
        let inside = |is_outside: bool, tokens: u64| if is_outside { 0 } else { tokens };
        inside(interpretation.read, self.read) + inside(interpretation.write, self.write)
            <= self.input
            && inside(interpretation.reasoning, self.reasoning) <= self.output
    }

    /// The reading that gives the total; if none does, the likeliest.
    fn find_interpretation(
        &self,
        rules: CountingRules,
        total: Option<u64>,
    ) -> Option<Interpretation> {
        let holds = |interpretation: &Interpretation| {
            (!rules.cache_excluded || (interpretation.read && interpretation.write))
                && (!rules.reasoning_excluded || interpretation.reasoning)
                && (rules.cache_excluded || self.fits(*interpretation))
        };
        let interpretations = || Interpretation::ALL.into_iter().filter(holds);
        let exact = total.and_then(|total| {
            interpretations().find(|interpretation| self.sum(*interpretation) == total)
        });
        exact.or_else(|| interpretations().next())
    }
}

impl Counts {
    /// Takes the counts of `other` that are larger.
    pub(super) fn raise(&mut self, other: &Counts) {
        for (slot, stated) in self.slots().into_iter().zip(other.stated()) {
            *slot = (*slot).max(stated);
        }
    }

    /// Adds the counts of `other`.
    pub(super) fn add(&mut self, other: &Counts) {
        for (slot, stated) in self.slots().into_iter().zip(other.stated()) {
            if let Some(stated) = stated {
                *slot = Some(slot.unwrap_or(0).saturating_add(stated));
            }
        }
    }

    fn slots(&mut self) -> [&mut Option<u64>; 10] {
        [
            &mut self.input,
            &mut self.output,
            &mut self.total,
            &mut self.cached,
            &mut self.cache_read,
            &mut self.cache_write,
            &mut self.cache_write_5m,
            &mut self.cache_write_1h,
            &mut self.reasoning,
            &mut self.tool_input,
        ]
    }

    fn stated(&self) -> [Option<u64>; 10] {
        let mut copy = *self;
        copy.slots().map(|slot| *slot)
    }

    /// Sets `slot` to `number` if that is larger and plausible.
    pub(super) fn state(slot: &mut Option<u64>, number: u64) {
        if number <= MAX_COUNT {
            *slot = (*slot).max(Some(number));
        }
    }

    /// The usage by all counts; `None` if the input's or the output's count is missing and the others do not give it.
    pub(super) fn read(&self, rules: CountingRules) -> Option<Usage> {
        let parts = self.parts(rules)?;
        let total = self
            .total
            .filter(|total| *total >= parts.input + parts.output);
        let mut reading = parts.find_interpretation(rules, total)?;
        let excess = total.map_or(0, |total| total.saturating_sub(parts.sum(reading)));
        // A remainder of the total that has room for the reasoning contains it: a provider that includes it leaves no such remainder.
        if !reading.reasoning
            && parts.reasoning > 0
            && excess >= parts.reasoning
            && !rules.hidden_reasoning
        {
            reading.reasoning = true;
        }
        let hidden = match rules.hidden_reasoning {
            true => excess.min(MAX_HIDDEN_REASONING),
            false => 0,
        };
        let outside = |is: bool, tokens: u64| if is { tokens } else { 0 };
        Some(Usage {
            input_tokens: parts.input
                + parts.tool_input
                + outside(reading.read, parts.read)
                + outside(reading.write, parts.write),
            cached_input_tokens: parts.read,
            cache_write_tokens: parts.write,
            cache_write_1h_tokens: self.cache_write_1h.unwrap_or(0).min(parts.write),
            output_tokens: parts.output + outside(reading.reasoning, parts.reasoning) + hidden,
            reasoning_tokens: parts.reasoning + hidden,
        })
    }

    fn parts(&self, rules: CountingRules) -> Option<Parts> {
        let part = |slot: Option<u64>| slot.unwrap_or(0);
        let by_age = part(self.cache_write_5m).saturating_add(part(self.cache_write_1h));
        let mut parts = Parts {
            input: 0,
            output: 0,
            read: part(self.cached).max(part(self.cache_read)),
            write: part(self.cache_write).max(by_age),
            reasoning: part(self.reasoning),
            tool_input: part(self.tool_input),
        };
        (parts.input, parts.output) = self.ends(rules, parts.read, parts.write)?;
        // A count inferred from the total includes all its parts.
        if self.output.is_none() {
            parts.reasoning = parts.reasoning.min(parts.output);
        }
        if self.input.is_none() && !rules.cache_excluded {
            parts.read = parts.read.min(parts.input);
            parts.write = parts.write.min(parts.input - parts.read);
        }
        Some(parts)
    }

    /// The counts of input and output; a missing one is the rest of the total.
    fn ends(&self, rules: CountingRules, read: u64, write: u64) -> Option<(u64, u64)> {
        match (self.input, self.output) {
            (Some(input), Some(output)) => Some((input, output)),
            (None, Some(output)) => {
                let rest = self.total?.checked_sub(output)?;
                let outside = if rules.cache_excluded {
                    read + write
                } else {
                    0
                };
                Some((rest.saturating_sub(outside), output))
            }
            (Some(input), None) if read == 0 && write == 0 => {
                let rest = self.total?.checked_sub(input)?;
                Some((input, rest)).filter(|_| rest > 0)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Input, output and total, then cached, cache read, cache write, reasoning; 0 is not stated.
    fn counts([input, output, total, cached, read, write, reasoning]: [u64; 7]) -> Counts {
        let some = |number: u64| (number > 0).then_some(number);
        Counts {
            input: some(input),
            output: some(output),
            total: some(total),
            cached: some(cached),
            cache_read: some(read),
            cache_write: some(write),
            reasoning: some(reasoning),
            ..Counts::default()
        }
    }

    fn tokens(usage: Usage) -> [u64; 5] {
        [
            usage.input_tokens,
            usage.cached_input_tokens,
            usage.cache_write_tokens,
            usage.output_tokens,
            usage.reasoning_tokens,
        ]
    }

    #[test]
    fn the_total_shows_which_parts_it_includes() {
        for (stated, expected) in [
            // A prompt without its cached part: 10,555 tokens of output once.
            (
                [368, 19, 10_923, 0, 10_536, 0, 0],
                [10_904, 10_536, 0, 19, 0],
            ),
            (
                [368, 19, 10_923, 10_536, 10_536, 0, 0],
                [10_904, 10_536, 0, 19, 0],
            ),
            // A provider that leaves the cache out of the total too.
            ([368, 19, 387, 0, 10_536, 0, 0], [10_904, 10_536, 0, 19, 0]),
            ([368, 19, 0, 0, 10_536, 0, 0], [10_904, 10_536, 0, 19, 0]),
            // Inside, as LiteLLM and Snowflake count.
            (
                [10_904, 19, 10_923, 0, 10_536, 0, 0],
                [10_904, 10_536, 0, 19, 0],
            ),
            (
                [10_904, 19, 10_923, 0, 10_000, 536, 0],
                [10_904, 10_000, 536, 19, 0],
            ),
            // Both outside, and one of them.
            ([100, 20, 180, 0, 50, 10, 0], [160, 50, 10, 20, 0]),
            ([100, 20, 170, 0, 50, 10, 0], [150, 50, 10, 20, 0]),
            ([100, 20, 130, 0, 50, 10, 0], [110, 50, 10, 20, 0]),
            // Reasoning inside, outside, and outside without a total that says so.
            ([100, 20, 120, 64, 0, 0, 15], [100, 64, 0, 20, 15]),
            ([32, 9, 135, 6, 0, 0, 94], [32, 6, 0, 103, 94]),
            (
                [33, 7163, 7196, 0, 0, 0, 95_305],
                [33, 0, 0, 102_468, 95_305],
            ),
            ([100, 20, 136, 16, 0, 0, 16], [100, 16, 0, 36, 16]),
            ([32, 9, 140, 6, 0, 0, 94], [32, 6, 0, 103, 94]),
            // A total that no reading gives counts for nothing, neither too large nor too small.
            ([368, 19, 10_923, 0, 0, 0, 0], [368, 0, 0, 19, 0]),
            ([368, 19, 5, 0, 0, 0, 0], [368, 0, 0, 19, 0]),
            ([368, 19, 99_000_000, 100, 0, 0, 0], [368, 100, 0, 19, 0]),
            // One count is told from the others.
            ([0, 19, 119, 0, 0, 0, 0], [100, 0, 0, 19, 0]),
            ([100, 0, 119, 0, 0, 0, 0], [100, 0, 0, 19, 0]),
        ] {
            let usage = counts(stated).read(CountingRules::default()).unwrap();
            assert_eq!(tokens(usage), expected, "{stated:?}");
        }
        for stated in [
            [0, 0, 119, 0, 0, 0, 0],
            [100, 0, 0, 0, 0, 0, 0],
            [0, 19, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(
                counts(stated).read(CountingRules::default()),
                None,
                "{stated:?}"
            );
        }
    }

    #[test]
    fn definitions_win_over_totals() {
        let anthropic = CountingRules {
            cache_excluded: true,
            ..CountingRules::default()
        };
        for total in [0, 603, 2651] {
            let usage = counts([100, 503, total, 0, 1800, 248, 0]).read(anthropic);
            assert_eq!(usage.map(tokens), Some([2148, 1800, 248, 503, 0]));
        }
        let gemini = CountingRules {
            hidden_reasoning: true,
            ..CountingRules::default()
        };
        let hidden = |total| counts([7, 12, total, 0, 0, 0, 0]).read(gemini).map(tokens);
        assert_eq!(hidden(250), Some([7, 0, 0, 243, 231]));
        assert_eq!(hidden(90_000_000), Some([7, 0, 0, 131_084, 131_072]));
    }

    /// Whatever is stated, the answer is never taken for more than what is stated of it.
    #[test]
    fn output_is_bounded_by_what_is_stated_of_it() {
        let numbers = [0, 1, 19, 368, 10_536, 99_000_000];
        let mut count = 0;
        for input in numbers {
            for (output, total) in numbers.iter().flat_map(|a| numbers.map(|b| (*a, b))) {
                for (read, write) in numbers.iter().flat_map(|a| numbers.map(|b| (*a, b))) {
                    for reasoning in numbers {
                        let stated = [input, output, total, 0, read, write, reasoning];
                        let Some(usage) = counts(stated).read(CountingRules::default()) else {
                            continue;
                        };
                        count += 1;
                        let most = if output > 0 {
                            output + reasoning
                        } else {
                            total
                        };
                        assert!(usage.output_tokens <= most.max(reasoning), "{stated:?}");
                        assert!(
                            usage.cached_input_tokens + usage.cache_write_tokens
                                <= usage.input_tokens,
                            "{stated:?}"
                        );
                        assert!(usage.reasoning_tokens <= usage.output_tokens, "{stated:?}");
                    }
                }
            }
        }
        assert!(count > 5000, "{count}");
    }
}
