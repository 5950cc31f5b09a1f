//! Faults that a test or a demo commands: what goes wrong, for which requests, how often.

use hyper::HeaderMap;
use serde::{Deserialize, Serialize};

/// The fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Answers with this status and an OpenAI-style error at once.
    Status {
        /// The HTTP status.
        status: u16,
        /// Seconds for a `retry-after` header, if there is to be one.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// Closes the connection without an answer.
    ResetBeforeHeaders,
    /// Never answers.
    Hang,
    /// Sends the head of a streamed answer at once, and then nothing.
    HangAfterHeaders,
    /// Closes the connection after this many tokens of the answer.
    ResetMidStream {
        /// Tokens that are sent before.
        #[serde(default)]
        after_tokens: usize,
    },
    /// Ends the stream after this many tokens as if that were all of the answer.
    EndMidStream {
        /// Tokens that are sent before.
        #[serde(default)]
        after_tokens: usize,
    },
    /// Stays silent for this long after so many tokens of the answer, and then goes on.
    PauseMidStream {
        /// Tokens that are sent before.
        #[serde(default)]
        after_tokens: usize,
        /// Milliseconds of this world, whatever the time scale.
        ms: u64,
    },
    /// Stays silent for this long before it answers.
    Delay {
        /// Milliseconds of this world, whatever the time scale.
        ms: u64,
    },
    /// Answers with status 200 and an error, as the whole document or as the first event of the stream.
    ErrorInAnswer,
    /// Answers with status 200 and nothing in it.
    EmptyAnswer,
    /// Everything takes this many times as long.
    Slow {
        /// The factor; under 1 it is faster.
        factor: f64,
    },
}

/// A commanded fault and the requests that it hits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// The fault.
    #[serde(flatten)]
    pub fault: Fault,
    /// How many requests it hits before it is over; without end if absent.
    #[serde(default)]
    pub times: Option<u32>,
    /// Only requests that carry this value in `x-test-id`, so that tests can share a backend; all if absent.
    #[serde(default)]
    pub test: Option<String>,
    /// Only requests that are to be streamed, or only the others; all if absent.
    #[serde(default)]
    pub stream: Option<bool>,
}

/// The faults in force, oldest first.
#[derive(Debug, Default)]
pub struct Faults(Vec<Command>);

impl Faults {
    /// Puts a fault in force.
    pub fn add(&mut self, command: Command) {
        self.0.push(command);
    }

    /// Ends the faults of one test, or every fault.
    pub fn clear(&mut self, test: Option<&str>) {
        self.0
            .retain(|command| test.is_some() && command.test.as_deref() != test);
    }

    /// The fault that hits a request with these headers, to be streamed or not, if any; it counts as used.
    pub fn strike(&mut self, headers: &HeaderMap, streams: bool) -> Option<Fault> {
        let test = headers.get("x-test-id").and_then(|id| id.to_str().ok());
        let hit = self.0.iter_mut().find(|command| {
            command.times != Some(0)
                && command.stream.is_none_or(|stream| stream == streams)
                && (command.test.is_none() || command.test.as_deref() == test)
        })?;
        if let Some(times) = &mut hit.times {
            *times -= 1;
        }
        Some(hit.fault.clone())
    }

    /// Whether a fault without limits is in force: then the backend does not call itself healthy.
    pub fn is_unhealthy(&self) -> bool {
        self.0
            .iter()
            .any(|command| command.times.is_none() && command.test.is_none())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_its_own_test_and_only_so_often() {
        let mut faults = Faults::default();
        faults.add(
            serde_json::from_str(r#"{"kind":"status","status":429,"times":1,"test":"a"}"#).unwrap(),
        );
        let mut headers = HeaderMap::new();
        assert_eq!(faults.strike(&headers, false), None);
        headers.insert("x-test-id", "a".parse().unwrap());
        assert!(matches!(
            faults.strike(&headers, false),
            Some(Fault::Status { status: 429, .. })
        ));
        assert_eq!(faults.strike(&headers, false), None);
        assert!(!faults.is_unhealthy());
        faults.add(serde_json::from_str(r#"{"kind":"hang","stream":true}"#).unwrap());
        assert_eq!(faults.strike(&headers, false), None);
        assert_eq!(faults.strike(&headers, true), Some(Fault::Hang));
    }
}
