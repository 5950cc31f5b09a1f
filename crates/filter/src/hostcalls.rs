//! Every call to the host, by declarations of its imports that return the status as a [`HostError`].
//!
//! The SDK's helpers panic on a status that they do not expect, and a panic is a 503 for every stream of the worker; these never
//! panic. Decides nothing. The only file with `unsafe` code.

#![allow(unsafe_code)]

use std::ptr::{null, null_mut};
use std::time::Duration;

/// The status code of a host call that failed, such as 1 (not found) or 2 (bad argument).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostError(pub u32);

impl HostError {
    /// The host does not have it.
    pub const NOT_FOUND: HostError = HostError(1);
    /// Another VM has changed the value since it was read.
    pub const CAS_MISMATCH: HostError = HostError(8);
}

/// A header map of the host.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub enum Map {
    /// The headers of the request.
    RequestHeaders = 0,
    /// The headers of the response.
    ResponseHeaders = 2,
    /// The headers of the response to an HTTP call of this module.
    CallResponse = 6,
}

/// A buffer of the host.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub enum Buffer {
    /// The held part of the request's body.
    RequestBody = 0,
    /// The current chunk of the response's body.
    ResponseBody = 1,
    /// The body of the response to an HTTP call of this module.
    CallResponseBody = 4,
    /// The plugin's configuration.
    PluginConfiguration = 7,
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, text_size: usize) -> u32;
    fn proxy_get_log_level(level: *mut u32) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        size: usize,
        out: *mut *mut u8,
        out_size: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(
        buffer: u32,
        start: usize,
        size: usize,
        bytes: *const u8,
        bytes_size: usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, out: *mut *mut u8, out_size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        out: *mut *mut u8,
        out_size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        out: *mut *mut u8,
        out_size: *mut usize,
    ) -> u32;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        out: *mut *mut u8,
        out_size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        out: *mut *mut u8,
        out_size: *mut usize,
    ) -> u32;
}

/// Writes a log line. A failure is ignored: nothing could report it.
pub fn log(level: log::Level, text: &str) {
    let level = match level {
        log::Level::Trace => 0,
        log::Level::Debug => 1,
        log::Level::Info => 2,
        log::Level::Warn => 3,
        log::Level::Error => 4,
    };
    // SAFETY: the host copies the text before it returns.
    let _ = unsafe { proxy_log(level, text.as_ptr(), text.len()) };
}

/// The lowest level that the host writes: 0 (trace) to 5 (critical).
pub fn log_level() -> Result<u32, HostError> {
    let mut level = 0;
    // SAFETY: the host writes one u32.
    check(unsafe { proxy_get_log_level(&mut level) })?;
    Ok(level)
}

/// Nanoseconds since 1970.
pub fn now_ns() -> Result<u64, HostError> {
    let mut time = 0;
    // SAFETY: the host writes one u64.
    check(unsafe { proxy_get_current_time_nanoseconds(&mut time) })?;
    Ok(time)
}

/// Has `on_tick` of this root context called periodically.
pub fn set_tick_period(milliseconds: u32) -> Result<(), HostError> {
    // SAFETY: numbers only.
    check(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
}

/// Sends a request to a cluster. The response, even if it is that of a time-out, comes with this number to the context that is
/// active now.
///
/// The only call that goes through the SDK: the SDK has to know the context of the response, and traps on a response to a call
/// that it did not send. It knows the statuses that Envoy returns here (done, bad argument, internal failure).
pub fn call(
    cluster: &str,
    headers: Vec<(&str, &str)>,
    body: Option<&[u8]>,
    timeout: Duration,
) -> Result<u32, HostError> {
    proxy_wasm::hostcalls::dispatch_http_call(cluster, headers, body, Vec::new(), timeout)
        .map_err(|status| HostError(status as u32))
}

/// Up to `size` bytes of a buffer; empty if it holds nothing.
pub fn buffer(buffer: Buffer, size: usize) -> Result<Vec<u8>, HostError> {
    buffer_part(buffer, 0, size)
}

/// Up to `size` bytes of a buffer, from the byte `start` on.
pub fn buffer_part(buffer: Buffer, start: usize, size: usize) -> Result<Vec<u8>, HostError> {
    let (mut out, mut out_size) = (null_mut(), 0);
    // SAFETY: the host writes pointer and size of what it allocated with our allocator.
    let status =
        unsafe { proxy_get_buffer_bytes(buffer as u32, start, size, &mut out, &mut out_size) };
    match check(status) {
        Ok(()) => Ok(take(out, out_size)),
        Err(HostError::NOT_FOUND) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Replaces the first `size` bytes of a buffer.
pub fn replace_prefix(buffer: Buffer, size: usize, bytes: &[u8]) -> Result<(), HostError> {
    // SAFETY: the host copies the bytes before it returns.
    check(unsafe { proxy_set_buffer_bytes(buffer as u32, 0, size, bytes.as_ptr(), bytes.len()) })
}

/// Replaces the content of a buffer.
pub fn replace(buffer: Buffer, bytes: &[u8]) -> Result<(), HostError> {
    replace_prefix(buffer, usize::MAX, bytes)
}

/// Appends bytes to a buffer.
pub fn append(buffer: Buffer, bytes: &[u8]) -> Result<(), HostError> {
    // A start past the end stands for the end.
    let end = usize::MAX;
    // SAFETY: the host copies the bytes before it returns.
    check(unsafe { proxy_set_buffer_bytes(buffer as u32, end, 0, bytes.as_ptr(), bytes.len()) })
}

/// All headers, as the host serialises them; `header_map::decode` reads them.
pub fn headers(map: Map) -> Result<Vec<u8>, HostError> {
    let (mut out, mut out_size) = (null_mut(), 0);
    // SAFETY: the host writes pointer and size of what it allocated with our allocator.
    check(unsafe { proxy_get_header_map_pairs(map as u32, &mut out, &mut out_size) })?;
    Ok(take(out, out_size))
}

/// The value of a header; several are joined by commas.
pub fn header(map: Map, name: &[u8]) -> Result<Vec<u8>, HostError> {
    let (mut out, mut out_size) = (null_mut(), 0);
    // SAFETY: the host writes pointer and size of what it allocated with our allocator.
    check(unsafe {
        proxy_get_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            &mut out,
            &mut out_size,
        )
    })?;
    Ok(take(out, out_size))
}

/// Sets a header to one value.
pub fn set_header(map: Map, name: &[u8], value: &[u8]) -> Result<(), HostError> {
    // SAFETY: the host copies name and value before it returns.
    check(unsafe {
        proxy_replace_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

/// Removes a header with all its values, if it is there.
pub fn remove_header(map: Map, name: &[u8]) -> Result<(), HostError> {
    // SAFETY: the host copies the name before it returns.
    check(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// A property; the elements of its path are joined by NUL.
pub fn property(path: &[u8]) -> Result<Vec<u8>, HostError> {
    let (mut out, mut out_size) = (null_mut(), 0);
    // SAFETY: the host writes pointer and size of what it allocated with our allocator.
    check(unsafe { proxy_get_property(path.as_ptr(), path.len(), &mut out, &mut out_size) })?;
    Ok(take(out, out_size))
}

/// Sets a filter state value.
pub fn set_state(key: &str, value: &str) -> Result<(), HostError> {
    // SAFETY: the host copies key and value before it returns.
    check(unsafe { proxy_set_property(key.as_ptr(), key.len(), value.as_ptr(), value.len()) })
}

/// A shared value and the number to compare when it is replaced; `None` if there is none.
pub fn shared(key: &str) -> Result<Option<(Vec<u8>, u32)>, HostError> {
    let (mut out, mut out_size, mut cas) = (null_mut(), 0, 0);
    // SAFETY: the host writes a u32, and pointer and size of what it allocated with our allocator.
    let status = unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), &mut out, &mut out_size, &mut cas)
    };
    match check(status) {
        Ok(()) => Ok(Some((take(out, out_size), cas))),
        Err(HostError::NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sets a shared value. If `cas` is not 0, sets it only if the value is still the one that was read with this number.
pub fn set_shared(key: &str, value: &[u8], cas: u32) -> Result<(), HostError> {
    // SAFETY: the host copies key and value before it returns.
    check(unsafe {
        proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas)
    })
}

/// Answers the client; `header_map::encode` writes `headers`.
pub fn reply(status: u16, details: &str, headers: &[u8], body: &[u8]) -> Result<(), HostError> {
    // SAFETY: the host copies everything before it returns.
    check(unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        )
    })
}

/// Lets the held request of the active context go on, once the present callback is over.
pub fn continue_request() -> Result<(), HostError> {
    // SAFETY: numbers only. 0 stands for the request.
    check(unsafe { proxy_continue_stream(0) })
}

/// Makes another context the active one for the rest of the present callback: host calls are on its behalf.
pub fn act_for(context: u32) -> Result<(), HostError> {
    // SAFETY: numbers only.
    check(unsafe { proxy_set_effective_context(context) })
}

/// Defines a metric, or finds it if it is defined; kinds are 0 (counter), 1 (gauge) and 2 (histogram).
pub fn define_metric(kind: u32, name: &str) -> Result<u32, HostError> {
    let mut id = 0;
    // SAFETY: the host copies the name and writes one u32.
    check(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) })?;
    Ok(id)
}

/// Adds to a counter.
pub fn increment_metric(id: u32, offset: i64) -> Result<(), HostError> {
    // SAFETY: numbers only.
    check(unsafe { proxy_increment_metric(id, offset) })
}

/// Sets a gauge, or records a value in a histogram.
pub fn record_metric(id: u32, value: u64) -> Result<(), HostError> {
    // SAFETY: numbers only.
    check(unsafe { proxy_record_metric(id, value) })
}

/// Calls a function of the host without arguments; its result is dropped.
pub fn call_foreign(name: &str) -> Result<(), HostError> {
    let (mut out, mut out_size) = (null_mut(), 0);
    // SAFETY: the host copies the name, and writes pointer and size of what it allocated with our allocator.
    let status = unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            null(),
            0,
            &mut out,
            &mut out_size,
        )
    };
    drop(take(out, out_size));
    check(status)
}

fn check(status: u32) -> Result<(), HostError> {
    match status {
        0 => Ok(()),
        status => Err(HostError(status)),
    }
}

/// Takes ownership of bytes that the host allocated in this module.
fn take(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: the host got `data` from `proxy_on_memory_allocate(size)`, which leaks a boxed slice of exactly `size` bytes,
    // filled it, and gives it to nobody else.
    unsafe { Vec::from_raw_parts(data, size, size) }
}
