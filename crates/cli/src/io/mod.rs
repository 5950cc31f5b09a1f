//! Files, documents, keys and connections: what the subcommands read and write. It judges nothing.

pub mod document;
pub mod http;
pub mod input;
pub mod key;
pub mod receipts;
pub mod request_args;
