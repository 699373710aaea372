//! The body of a request, as far as a rule needs to know it.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use serde_json::Value;

use crate::routes::json;

/// What is known of a request's body.
#[derive(Clone, Debug, Default)]
pub enum SentBody {
    /// Nothing: no rule needs it, or it has yet to be read.
    #[default]
    Unread,
    /// All of it.
    Whole(Arc<WholeBody>),
    /// That it is of no use: too long, broken, or with trailers.
    Unreadable,
}

/// A body that was read.
#[derive(Debug)]
pub struct WholeBody {
    /// As the client sent it.
    pub bytes: Bytes,
    /// What stands for it in a key.
    pub digest: String,
    /// The JSON in it.
    pub document: Option<Value>,
}

/// What may be anything.
static UNKNOWN: LazyLock<Value> = LazyLock::new(json::unknown);

impl SentBody {
    /// All of it, if it was read.
    pub fn as_whole(&self) -> Option<&WholeBody> {
        match self {
            SentBody::Whole(body) => Some(body),
            SentBody::Unread | SentBody::Unreadable => None,
        }
    }

    /// The JSON in it; of what was not read any.
    pub fn document(&self) -> Option<&Value> {
        match self {
            SentBody::Whole(body) => body.document.as_ref(),
            SentBody::Unread | SentBody::Unreadable => Some(&UNKNOWN),
        }
    }
}
