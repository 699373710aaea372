//! What a request is, found out before anything is looked up or sent.
//!
//! [`admit`] refuses what a proxy must not pass on, [`plan()`](plan::plan) decides what is to be done.

pub mod admit;
pub mod client;
pub mod context;
pub(in crate::proxy) mod forwarded;
pub mod methods;
mod override_names;
pub mod overrides;
pub mod plan;
pub mod present;
pub(in crate::proxy) mod purge_rules;
pub mod reads;
pub mod sent_body;
mod switches;
pub mod variables;
pub mod whole_body;
