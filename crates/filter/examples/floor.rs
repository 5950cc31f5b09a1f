//! The least that a router in Envoy has to do, and nothing of what makes it one: what is below the cost of any of them.
//!
//! This filter reads the request's headers, holds and reads the body, edits its beginning, sets a header and `content-length`, reads the
//! answer's headers and body. It parses nothing, decides nothing, counts nothing, tells nothing. `make bench-floor` measures it as
//! `make bench` measures the filter; docs/limits.md holds the two against each other. Never shipped.

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MapType};

/// A room of its own because the macro writes a public function without a word on it.
mod entry {
    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(super::Floor));
    }}
}

struct Floor;

impl Context for Floor {}

impl RootContext for Floor {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Floor))
    }
}

impl HttpContext for Floor {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        std::hint::black_box(hostcalls::get_map_bytes(MapType::HttpRequestHeaders).ok());
        match end_of_stream {
            true => Action::Continue,
            false => Action::Pause,
        }
    }

    fn on_http_request_body(&mut self, held: usize, end_of_stream: bool) -> Action {
        if !end_of_stream {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, held).unwrap_or_default();
        if let Some(first) = body.first() {
            self.set_http_request_header("content-length", None);
            self.set_http_request_body(0, 1, &[*first]);
            self.set_http_request_header("content-length", Some(&body.len().to_string()));
        }
        self.set_http_request_header("x-pointsman-floor", Some("1"));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        std::hint::black_box(hostcalls::get_map_bytes(MapType::HttpResponseHeaders).ok());
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _: bool) -> Action {
        std::hint::black_box(self.get_http_response_body(0, size));
        Action::Continue
    }
}
