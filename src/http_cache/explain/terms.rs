//! On what terms it may be used: validation, and whom it may be shown to.

use http::header::{ETAG, LAST_MODIFIED};

use super::Statement;
use super::words::field;
use crate::http_cache::directives::{Reach, ResponseDirectives};
use crate::http_cache::{AppHeaders, Policy, RequestHead, Stored};

pub(super) fn no_cache(stored: &Stored, policy: &Policy) -> Option<Statement> {
    let directive = ResponseDirectives::of(&stored.headers).no_cache;
    let clause = "RFC 9111 §5.2.2.4";
    let (text, clause) = match directive {
        Reach::Whole if stored.no_cache => ("yes: validated before each use", clause),
        _ if stored.no_cache => (
            "validated before each use: the 304 that updated it does not let it be served unasked",
            "RFC 9111 §4.3.4",
        ),
        Reach::Whole if policy.app_headers == AppHeaders::Ignore => (
            "said by the answer, and not meant",
            "rule: app_headers = \"ignore\"",
        ),
        Reach::Whole if policy.despite.no_cache => {
            ("said by the answer, and lifted", "rule: store_despite")
        }
        Reach::Fields(_) if !policy.despite.no_cache => {
            ("only for the fields it names, which are not stored", clause)
        }
        _ => return None,
    };
    Some(Statement::new("no-cache", text, clause))
}

/// §4.3.1: what a conditional request would say.
pub(super) fn validator(stored: &Stored) -> Statement {
    let etag = stored.headers.contains_key(ETAG);
    let modified = stored.headers.contains_key(LAST_MODIFIED);
    let mut conditions = Vec::new();
    if etag {
        let tag = field(&stored.headers, &ETAG);
        conditions.push(format!("If-None-Match: {tag}"));
    }
    if modified {
        let date = field(&stored.headers, &LAST_MODIFIED);
        conditions.push(format!("If-Modified-Since: {date}"));
    }
    let text = if conditions.is_empty() {
        "none: it cannot be validated, only fetched anew".to_owned()
    } else {
        format!("would be asked with {}", conditions.join(" and "))
    };
    Statement::new("validator", text, "RFC 9111 §4.3.1")
}

/// Promise I8, if the request has credentials that its key does not carry.
pub(super) fn identity(
    request: &RequestHead<'_>,
    chosen: Option<&Stored>,
    policy: &Policy,
) -> Option<Statement> {
    if request.identity.covered() {
        return None;
    }
    let who = match request.identity {
        identity if identity.unkeyed_authorization && identity.unkeyed_cookie => {
            "Authorization and Cookie"
        }
        identity if identity.unkeyed_authorization => "Authorization",
        _ => "Cookie",
    };
    let has = format!("the request has {who}, which the key does not carry");
    let (text, clause) = if policy.shared {
        (
            format!("{has}; the rule shares its answers"),
            "rule: shared = true",
        )
    } else if chosen.is_some_and(|stored| stored.shareable) {
        (
            format!("{has}; the stored answer says public or s-maxage, with a lifetime"),
            "RFC 9111 §3.5",
        )
    } else if chosen.is_some() {
        (
            format!("{has}, and the stored answer does not say that it may be shared"),
            "promise I8, RFC 9111 §3.5",
        )
    } else {
        (
            format!("{has}, so only an answer that says it may be shared would do"),
            "promise I8, RFC 9111 §3.5",
        )
    };
    Some(Statement::new("identity", text, clause))
}
