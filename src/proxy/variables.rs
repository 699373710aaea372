//! JSON bodies as values for templates.

use serde_json::Value;

/// The JSON document in `body`; `None` if it is over `cap` or no JSON, so that its variables count as
/// absent.
pub(super) fn json(body: &[u8], cap: usize) -> Option<Value> {
    if body.len() > cap {
        return None;
    }
    serde_json::from_slice(body).ok()
}
