//! Fields of an answer that hand its client what it is known by from then on, as `Set-Cookie` does: whoever got them out
//! of a cache would be taken for somebody else.

use http::{HeaderMap, HeaderName};

/// Whole names.
const NAMES: &[&str] = &["authentication-info", "authorization", "set-cookie2"];

/// Words in the names of others: `X-Auth-Token`, `Access-Token`, `X-Session-Id`, `X-CSRF-Token`, `X-WP-Nonce`.
const WORDS: &[&str] = &[
    "accesstoken",
    "apikey",
    "apitoken",
    "authtoken",
    "bearer",
    "credential",
    "credentials",
    "csrf",
    "csrftoken",
    "idtoken",
    "jwt",
    "nonce",
    "oidc",
    "otp",
    "password",
    "refreshtoken",
    "secret",
    "sessid",
    "session",
    "sessionid",
    "sessiontoken",
    "sid",
    "token",
    "xsrf",
    "xsrftoken",
];

/// Words beside which such a word is a place in a list, or part of a policy, and no secret.
const HARMLESS: &[&str] = &[
    "continuation",
    "csp",
    "cursor",
    "delta",
    "expiration",
    "expires",
    "next",
    "page",
    "pagination",
    "prev",
    "previous",
    "resume",
    "scroll",
    "sync",
];

/// Whether the field is one.
pub(super) fn is_token(name: &HeaderName) -> bool {
    let name = name.as_str();
    let has = |words: &[&str]| name.split(['-', '_']).any(|word| words.contains(&word));
    let is_harmless = has(HARMLESS) || name.starts_with("access-control-");
    let ends = ["api-key", "authorization"];
    NAMES.contains(&name)
        || ends.iter().any(|end| name.ends_with(end))
        || has(WORDS) && !is_harmless
}

/// The names of those that a response has.
pub fn found_in(headers: &HeaderMap) -> impl Iterator<Item = &HeaderName> {
    headers.keys().filter(|name| is_token(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tokens_and_of_others() {
        for name in [
            "x-auth-token",
            "access-token",
            "authorization",
            "authentication-info",
            "x-session-id",
            "x-csrf-token",
            "csrf-token",
            "x-wp-nonce",
            "dpop-nonce",
            "set-cookie2",
            "x_api_token",
            "x-jwt",
            "x-api-key",
            "x-amzn-oidc-data",
            "x-refresh-token",
            "x-amzn-remapped-authorization",
            "x-api-token",
        ] {
            assert!(is_token(&HeaderName::from_static(name)), "{name}");
        }
        for name in [
            "set-cookie",
            "access-control-allow-credentials",
            "access-control-allow-headers",
            "access-control-max-age",
            "github-authentication-token-expiration",
            "x-csp-nonce",
            "www-authenticate",
            "content-type",
            "etag",
            "x-next-page-token",
            "x-continuation-token",
            "x-sync-token",
            "surrogate-key",
            "cache-tag",
            "x-cache-key",
            "x-ratelimit-remaining",
            "x-request-id",
            "content-security-policy",
            "x-powered-by",
        ] {
            assert!(!is_token(&HeaderName::from_static(name)), "{name}");
        }
    }
}
