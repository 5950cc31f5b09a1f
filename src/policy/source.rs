//! The policy as it is written: serde types that mirror the document. They never leave `policy`.
