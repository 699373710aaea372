//! The page for operators: one document, its style and its script, all from the binary.

use http::StatusCode;
use http::header::{self, HeaderValue};

use super::answer::{Answer, answer};

/// What it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Page,
    Style,
    Script,
}

/// Nothing is loaded from elsewhere, sent elsewhere, or shown within another page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn answer_part(part: Part) -> Answer {
    let (media_type, text) = match part {
        Part::Page => (
            "text/html; charset=utf-8",
            include_str!("dashboard/page.html"),
        ),
        Part::Style => (
            "text/css; charset=utf-8",
            include_str!("dashboard/page.css"),
        ),
        Part::Script => (
            "text/javascript; charset=utf-8",
            include_str!("dashboard/page.js"),
        ),
    };
    let mut answer = answer(StatusCode::OK, media_type, text.into());
    let fields = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fields {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}
