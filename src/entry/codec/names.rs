//! Well-known field names as one byte.

use http::HeaderName;
use http::header::*;

/// In place of a code: the name follows.
pub(super) const SPELLED_OUT: u8 = 0;

/// Beside a code: the app asked that the value be kept out of any compression index.
pub(super) const SENSITIVE: u8 = 0x80;

/// Each name's code is its place, counted from one. The commonest stand first, since a name is looked up
/// from the front. A change here is a change of the format: [`super::VERSION`] rises with it.
static NAMES: [HeaderName; 64] = [
    CONTENT_TYPE,
    CONTENT_LENGTH,
    DATE,
    CACHE_CONTROL,
    ETAG,
    VARY,
    LAST_MODIFIED,
    SERVER,
    CONTENT_ENCODING,
    EXPIRES,
    ACCEPT_RANGES,
    X_CONTENT_TYPE_OPTIONS,
    STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-powered-by"),
    ACCESS_CONTROL_ALLOW_ORIGIN,
    X_FRAME_OPTIONS,
    REFERRER_POLICY,
    CONTENT_SECURITY_POLICY,
    X_XSS_PROTECTION,
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    CONTENT_LANGUAGE,
    CONTENT_DISPOSITION,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    LOCATION,
    LINK,
    ALT_SVC,
    VIA,
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("x-runtime"),
    HeaderName::from_static("x-response-time"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("x-trace-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-total-count"),
    HeaderName::from_static("x-api-version"),
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
    HeaderName::from_static("permissions-policy"),
    HeaderName::from_static("cross-origin-resource-policy"),
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderName::from_static("cross-origin-embedder-policy"),
    HeaderName::from_static("timing-allow-origin"),
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("cache-status"),
    HeaderName::from_static("cache-groups"),
    HeaderName::from_static("cache-tag"),
    PRAGMA,
    WARNING,
    AGE,
    ORIGIN,
    USER_AGENT,
    COOKIE,
    AUTHORIZATION,
];

/// The code of `name`, if it has one.
pub(super) fn code(name: &HeaderName) -> Option<u8> {
    let place = NAMES.iter().position(|known| known == name)?;
    u8::try_from(place + 1).ok()
}

/// The name of `code`.
pub(super) fn name(code: u8) -> Option<HeaderName> {
    NAMES.get(usize::from(code).checked_sub(1)?).cloned()
}

/// Whether an entry that was read takes no memory for `name`.
pub(in crate::entry) fn is_well_known(name: &HeaderName) -> bool {
    code(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_code_and_comes_back() {
        for (place, known) in NAMES.iter().enumerate() {
            let code = code(known).unwrap();
            assert_eq!(usize::from(code), place + 1, "{known} stands here twice");
            assert!(code < SENSITIVE, "{known}");
            assert_eq!(name(code).as_ref(), Some(known));
        }
        assert_eq!(name(SPELLED_OUT), None);
        assert_eq!(name(NAMES.len() as u8 + 1), None);
        assert_eq!(code(&HeaderName::from_static("x-of-their-own")), None);
    }
}
