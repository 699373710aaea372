//! How long the app wants to be left alone (RFC 9110 §10.2.3).

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// The longest that it is left alone for one word of it.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// What an answer says by `Retry-After`: seconds, or a date, which is read by the app's own clock if the answer has a
/// `Date`. At most [`LONGEST`]; `None`: it says nothing that can be read.
pub fn retry_after(fields: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = fields.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let delay = match is_number {
        true => Duration::from_secs(text.parse().unwrap_or(u64::MAX)),
        false => {
            let until = httpdate::parse_http_date(text).ok()?;
            let date = fields.get(DATE).and_then(|date| date.to_str().ok());
            let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
            until
                .duration_since(date.unwrap_or(now))
                .unwrap_or_default()
        }
    };
    Some(delay.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9110 §10.2.3.
    #[test]
    fn what_it_says() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        const LATER: &str = "Sun, 06 Nov 1994 08:49:47 GMT";
        let rows: &[(&str, &str, Option<&str>, Option<u64>)] = &[
            ("seconds", "3", None, Some(3)),
            ("surrounding space", " 120 ", None, Some(120)),
            ("nothing", "0", None, Some(0)),
            ("too long", "86400", None, Some(3600)),
            ("out of range", "99999999999999999999999", None, Some(3600)),
            ("a date", LATER, None, Some(10)),
            (
                "a date by the app's clock",
                LATER,
                Some("Sun, 06 Nov 1994 08:49:44 GMT"),
                Some(3),
            ),
            (
                "a date that has been",
                "Sun, 06 Nov 1994 08:00:00 GMT",
                None,
                Some(0),
            ),
            (
                "a date far away",
                "Sat, 06 Nov 2094 08:49:37 GMT",
                None,
                Some(3600),
            ),
            ("negative", "-3", None, None),
            ("a fraction", "1.5", None, None),
            ("words", "soon", None, None),
            ("empty", "", None, None),
        ];
        for (name, text, date, expected) in rows {
            let mut fields = HeaderMap::new();
            fields.insert(RETRY_AFTER, text.parse().unwrap());
            if let Some(date) = date {
                fields.insert(DATE, date.parse().unwrap());
            }
            let found = retry_after(&fields, now).map(|delay| delay.as_secs());
            assert_eq!(found, *expected, "{name}: {text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
