//! The decision: the model and the backend that a request goes to, and the backends to try after a failure.
//!
//! [`router`] orders the steps, [`select`] scores the candidates, [`decision`] is the result, [`explain`] its JSON,
//! [`fallback_chain`] its form on the way to each attempt, and [`judge`] what a second opinion is worth. The policy, the request, observed state and the time are arguments;
//! a router only keeps what its own decisions add up to. The room uses `state`, `policy` and what is below them. It reads no
//! clock and sends nothing: `exchange` carries decisions out.

pub mod decision;
pub mod explain;
pub mod fallback_chain;
pub mod judge;
pub mod router;
pub mod select;
