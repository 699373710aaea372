//! Fields of an answer that hand its client what it is known by from then on, as `Set-Cookie` does: whoever got them out
//! of a cache would be taken for somebody else.

use http::{HeaderMap, HeaderName};

use super::secret_names::{names_a_forgery_token, names_a_secret, words_in};

/// Whole names.
const NAMES: &[&str] = &["authentication-info", "authorization", "set-cookie2"];

/// Words beside which such a word is a place in a list, or part of a policy, and no secret.
const HARMLESS: &[&str] = &[
    "continuation",
    "csp",
    "cursor",
    "delta",
    "encryption",
    "expiration",
    "expires",
    "next",
    "page",
    "pagination",
    "prev",
    "previous",
    "resume",
    "scope",
    "scopes",
    "scroll",
    "sync",
];

/// Whether the field is one. `Set-Cookie` has rules of its own.
pub(super) fn is_token(name: &HeaderName) -> bool {
    let name = name.as_str();
    let ends = ["api-key", "authorization"];
    if NAMES.contains(&name) || ends.iter().any(|end| name.ends_with(end)) {
        return true;
    }
    let is_harmless = name == "set-cookie"
        || name.starts_with("access-control-")
        || words_in(name).any(|word| HARMLESS.contains(&word));
    let is_secret = || {
        names_a_secret(name)
            || names_a_forgery_token(name)
            || words_in(name).any(|word| word == "nonce")
    };
    !is_harmless && is_secret()
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
            "x-auth",
            "auth",
            "x-amz-security-token",
            "x-accesstoken",
            "authenticationtoken",
            "x-trackertoken",
            "x-ticket",
            "x-set-cookie",
            "x-cookie",
            "x-sso",
            "x-passcode",
            "x-secret-key",
            "x-user-key",
            "x-login-key",
            "x-authkey",
            "x-sessionkey",
            "x-saml",
            "x-assertion",
            "x-oauth",
            "x-dpop",
            "set-authorization",
            "xauthtoken",
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
            "signature",
            "signature-input",
            "public-key-pins",
            "x-oauth-scopes",
            "x-accepted-oauth-scopes",
            "x-ratelimit-remaining-tokens",
            "x-amz-server-side-encryption-customer-key-md5",
            "proxy-authenticate",
            "x-varnish",
            "server-timing",
            "alt-svc",
            "x-frame-options",
        ] {
            assert!(!is_token(&HeaderName::from_static(name)), "{name}");
        }
    }
}
