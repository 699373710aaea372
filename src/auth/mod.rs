//! Who is asking, by a check of the app's own (`[auth]`): what is sent to it, what it says, and for how long that holds.
//!
//! The answer to a check is kept under a digest of all that was sent, so that it speaks of nothing else. The proxy
//! asks (`proxy::wants`), the store keeps ([`crate::store`]).

mod digest;
mod document;
mod verdict;

pub use digest::{Credentials, Digest, Digester};
pub use verdict::{Decision, Verdict};
