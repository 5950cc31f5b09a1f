//! The decision: which model and backend a request goes to, and the backends to try after it.
//!
//! [`router`] orders the steps, [`select`] scores the candidates, [`decision`] is the result and [`explain`] its text. Pure:
//! the policy, the request, the state and the time are arguments.

pub mod decision;
pub mod explain;
pub mod fallback_chain;
pub mod router;
pub mod select;
