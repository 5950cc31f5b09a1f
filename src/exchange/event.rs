//! What the host tells the state machine.

#[cfg(doc)]
use super::Effect;

/// A request header: its name, lower case as Envoy has it, and its value, which need not be UTF-8.
pub type Header<'a> = (&'a [u8], &'a [u8]);

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The request's headers are there.
    RequestHeaders {
        /// All of them, pseudo-headers included.
        headers: &'a [Header<'a>],
        /// Nothing follows them.
        end_of_stream: bool,
    },
    /// More of the request's body is there.
    RequestBody {
        /// Bytes that are held by now, in all.
        held: usize,
        /// Nothing follows them.
        end_of_stream: bool,
    },
    /// The request's trailers are there, so its body is complete.
    RequestTrailers,
    /// The answer to [`Effect::ReadBody`].
    Body {
        /// What was asked for; `None` where the host could not read it.
        bytes: Option<&'a [u8]>,
        /// The time before it was read, in nanoseconds; any epoch.
        now_ns: u64,
    },
    /// The answer to [`Effect::ReadClock`]: nanoseconds, of the same epoch as before.
    Clock(u64),
    /// The response's headers are there.
    ResponseHeaders,
    /// The answer to [`Effect::ReadResponseHead`]: all of the response's headers, `:status` included.
    ResponseHead(&'a [Header<'a>]),
    /// More of the response's body is there.
    ResponseBody {
        /// Bytes that came.
        size: usize,
        /// Nothing follows them.
        end_of_stream: bool,
    },
    /// The answer to [`Effect::ReadChunk`].
    Chunk {
        /// What came; `None` where the host could not read it.
        bytes: Option<&'a [u8]>,
        /// The time, of the same epoch as before.
        now_ns: u64,
    },
    /// The exchange is over, by its end or because somebody left; the time, of the same epoch as before.
    Done(u64),
    /// The answer to [`Effect::ReadDetails`].
    Details {
        /// What Envoy calls response code details; `None` where it does not say.
        text: Option<&'a [u8]>,
        /// The time, of the same epoch as before.
        now_ns: u64,
    },
    /// The answer to [`Effect::ReadAttempts`]; `None` where the host does not know.
    Attempts(Option<u64>),
    /// The answer to [`Effect::ReadHost`]: the backend that the answering host belongs to, where its metadata say so.
    Host(Option<&'a str>),
}
