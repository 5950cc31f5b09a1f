//! Questions to the host, and its answers.
//!
//! The machine asks only for what it needs at that moment, so that the host reads nothing in vain: a property of Envoy costs as
//! much as ten headers. One question is open at a time.

use super::Header;

/// A question to the host. The host carries out the effects before it first, then answers with the [`Answer`] of the same
/// name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Which bytes does the held request body have in this range?
    RequestBody {
        /// Offset of the first byte.
        start: usize,
        /// Number of bytes.
        size: usize,
    },
    /// The current time.
    Clock,
    /// Which headers does the response have?
    ResponseHeaders,
    /// Which bytes does the current chunk of the response have?
    ResponseBody {
        /// Number of bytes.
        size: usize,
    },
    /// How did the response end? Envoy calls this the response code details.
    ResponseDetails,
    /// How many upstream attempts did the request take?
    AttemptCount,
    /// Which backend does the answering host belong to?
    UpstreamHost,
}

/// The host's answer to a [`Question`].
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// Bytes of the held request body.
    RequestBody {
        /// The bytes; `None` if the host failed to read them.
        bytes: Option<&'a [u8]>,
        /// The time before they were read, in nanoseconds since 1970.
        now_ns: u64,
    },
    /// The time, in nanoseconds since 1970.
    Clock(u64),
    /// All headers of the response, `:status` included.
    ResponseHeaders(&'a [Header<'a>]),
    /// Bytes of the current chunk of the response.
    ResponseBody {
        /// The bytes; `None` if the host failed to read them.
        bytes: Option<&'a [u8]>,
        /// The time, in nanoseconds since 1970.
        now_ns: u64,
    },
    /// How the response ended.
    ResponseDetails {
        /// Envoy's response code details; `None` if the host does not know them.
        text: Option<&'a [u8]>,
        /// The time, in nanoseconds since 1970.
        now_ns: u64,
    },
    /// The number of upstream attempts; `None` if the host does not know it.
    AttemptCount(Option<u64>),
    /// The name of the backend in the metadata of the answering host; `None` if there is none.
    UpstreamHost(Option<&'a str>),
}
