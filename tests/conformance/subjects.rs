//! The cases, by subject.

pub(crate) mod age;
pub(crate) mod cache_groups;
pub(crate) mod cache_status;
pub(crate) mod conditional;
pub(crate) mod fields;
pub(crate) mod freshness;
pub(crate) mod head;
pub(crate) mod incomplete;
pub(crate) mod interim;
pub(crate) mod invalidation;
pub(crate) mod methods;
pub(crate) mod ranges;
pub(crate) mod request_directives;
pub(crate) mod response_directives;
pub(crate) mod sharing;
pub(crate) mod stale;
pub(crate) mod statuses;
pub(crate) mod targeted;
pub(crate) mod validation;
pub(crate) mod vary;
