//! Which fields and cookies of a request say who asks (promise I8), by their names.

use http::HeaderMap;
use http::header::COOKIE;

use crate::http_cache::vary::names_in;

/// Words in the name of a field whose value may be a secret.
const SECRET: &[&str] = &[
    "accesskey",
    "accesstoken",
    "apikey",
    "apitoken",
    "appkey",
    "appcheck",
    "assertion",
    "auth",
    "authentication",
    "authkey",
    "authorization",
    "authtoken",
    "bearer",
    "cert",
    "certificate",
    "clientcert",
    "cookie",
    "credential",
    "credentials",
    "cred",
    "creds",
    "dpop",
    "hmac",
    "idtoken",
    "jws",
    "jwt",
    "kerberos",
    "key",
    "mtls",
    "oauth",
    "oidc",
    "otp",
    "pass",
    "passcode",
    "passphrase",
    "passport",
    "passwd",
    "password",
    "pin",
    "refreshtoken",
    "saml",
    "secret",
    "secretkey",
    "serversessionid",
    "session",
    "sessionid",
    "sessionkey",
    "sessiontoken",
    "sid",
    "sig",
    "signature",
    "sso",
    "ticket",
    "totp",
    "token",
    "tokens",
    "userkey",
    "usertoken",
    "webtoken",
    "winauthtoken",
];

/// Words in the name of a field that says on whose behalf the request is.
const PERSON: &[&str] = &[
    "account",
    "accountid",
    "acl",
    "actor",
    "admin",
    "authenticated",
    "authuser",
    "clientid",
    "claim",
    "claims",
    "company",
    "consumer",
    "customer",
    "customerid",
    "dn",
    "email",
    "employee",
    "entitlements",
    "eppn",
    "group",
    "groups",
    "guest",
    "identity",
    "impersonate",
    "imsi",
    "login",
    "masquerade",
    "member",
    "memberid",
    "msisdn",
    "nameid",
    "org",
    "organisation",
    "organization",
    "orgid",
    "owner",
    "patient",
    "perms",
    "permissions",
    "person",
    "principal",
    "remote",
    "role",
    "roles",
    "scope",
    "scopes",
    "student",
    "sub",
    "subject",
    "sudo",
    "team",
    "tenant",
    "tenantid",
    "uid",
    "user",
    "userdn",
    "userid",
    "userinfo",
    "username",
    "visitor",
    "workspace",
];

/// What such a name may end with, in more than one word.
const PERSON_AT_THE_END: &[&str] = &[
    "act-as",
    "act_as",
    "calling-line-id",
    "client-id",
    "client_id",
    "client-serial",
    "client_serial",
    "device-id",
    "device_id",
    "init-data",
    "init_data",
    "on-behalf-of",
    "on_behalf_of",
    "run-as",
    "run_as",
    "up-subno",
];

/// Names with such a word that are of no person.
const HARMLESS: &[&str] = &[
    "user-agent",
    "accept-signature",
    "idempotency-key",
    // `?1`, of each page that a person asks for.
    "sec-fetch-user",
    "sec-websocket-key",
    "x-appengine-user-ip",
    "x-idempotency-key",
    "x-remote-addr",
    "x-remote-ip",
    "remote-addr",
    "x-request-key",
    "surrogate-key",
    // Of each request that it lets through.
    "x-vercel-proxy-signature",
    "x-vercel-proxy-signature-ts",
    // Pannier's own, which the app never sees.
    "pannier-token",
];

/// Claims that name one person, by the registered names and those that identity providers use. Any other,
/// such as a role, many may have.
const PERSONAL_CLAIMS: &[&str] = &[
    "sub",
    "sid",
    "jti",
    "oid",
    "uid",
    "upn",
    "email",
    "user_id",
    "userId",
    "username",
    "preferred_username",
    "user.id",
    "user.sub",
    "user.email",
];

/// What the answer of an app's own check names one person by, beside these: there it is the document of a user or of a
/// session.
const PERSONAL_IN_AUTH: &[&str] = &[
    "id",
    "user.email_address",
    "user.uid",
    "user.userId",
    "user.user_id",
    "user.username",
];

/// Whether the claim of a token at `names` names one person.
pub(super) fn names_a_person(names: &[String]) -> bool {
    is_listed(PERSONAL_CLAIMS, names)
}

/// Whether what a check says at `names` names one person.
pub(super) fn names_a_person_in_auth(names: &[String]) -> bool {
    is_listed(PERSONAL_CLAIMS, names) || is_listed(PERSONAL_IN_AUTH, names)
}

fn is_listed(list: &[&str], names: &[String]) -> bool {
    let is = |listed: &&str| listed.split('.').eq(names.iter().map(String::as_str));
    list.iter().any(is)
}

/// Whether the field of this name (in lower case) may hold a secret: then its value is hashed in a key.
pub(super) fn may_be_secret(name: &str) -> bool {
    has_word(name, SECRET) && !is_forgery_token(name)
}

/// Whether the field of this name (in lower case) says who asks, as `Authorization` does: a key that lacks
/// it must not answer for it.
pub fn is_credential(name: &str) -> bool {
    // `Proxy-Authorization` is taken off by every proxy: the app never sees it.
    name != "proxy-authorization"
        && (has_word(name, SECRET) || has_word(name, PERSON) || ends_with_person(name))
        && !is_forgery_token(name)
}

fn has_word(name: &str, words: &[&str]) -> bool {
    name != "cookie"
        && !HARMLESS.contains(&name)
        && name.split(['-', '_']).any(|word| words.contains(&word))
}

fn ends_with_person(name: &str) -> bool {
    PERSON_AT_THE_END.iter().any(|end| name.ends_with(end))
}

/// Tokens against forged writes: they say nothing of who reads, and frameworks send them with all requests.
fn is_forgery_token(name: &str) -> bool {
    name.split(['-', '_'])
        .any(|word| matches!(word, "csrf" | "xsrf" | "csrftoken" | "xsrftoken"))
}

/// The names of all cookies of a request, from all `Cookie` lines (RFC 6265 §4.2.1), as [`names_in`] finds them.
pub(super) fn cookie_names(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .flat_map(names_in)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn fields_that_say_who_asks() {
        for name in [
            "authorization",
            "x-api-key",
            "api-key",
            "apikey",
            "x-apikey",
            "x-auth-token",
            "x-access-token",
            "x-session-token",
            "x-session-id",
            "private-token",
            "job-token",
            "cf-access-jwt-assertion",
            "cf-access-token",
            "x-forwarded-user",
            "x-forwarded-email",
            "x-forwarded-access-token",
            "x-forwarded-groups",
            "x-forwarded-preferred-username",
            "x-amzn-oidc-data",
            "x-amzn-oidc-identity",
            "x-amzn-oidc-accesstoken",
            "x-goog-iap-jwt-assertion",
            "x-goog-authenticated-user-email",
            "x-ms-client-principal",
            "x-ms-token-aad-id-token",
            "x-remote-user",
            "remote-user",
            "remote_user",
            "x-user-id",
            "x-userid",
            "x-user",
            "x-account-id",
            "x-tenant-id",
            "x-client-cert",
            "ssl-client-cert",
            "x-ssl-client-verify-cert",
            "x-forwarded-client-cert",
            "x-shopify-access-token",
            "x-github-token",
            "x-vault-token",
            "x-consul-token",
            "ocp-apim-subscription-key",
            "x-functions-key",
            "x-parse-session-token",
            "dd-api-key",
            "x-auth-request-user",
            "x-webauth-user",
            "x-authenticated-user",
            "x-impersonate-user",
            "sudo",
            "x-jwt",
            "x-id-token",
            "x-secret",
            "x-password",
            "x_api_key",
            "x-hub-signature",
            "x-amzn-mtls-clientcert-subject",
            "x-apigateway-api-userinfo",
            "x-consumer-custom-id",
            "x-scope-orgid",
            "cf-access-client-id",
            "ssl-client-s-dn",
            "x-guest-id",
            "iv-creds",
            "x-on-behalf-of",
            "x-act-as",
            "x-run-as",
            "x-masquerade",
            "x-authuser",
            "x-webtoken",
            "x-msisdn",
            "x-nokia-msisdn",
            "x-up-calling-line-id",
            "x-imsi",
            "x-totp",
            "x-pin",
            "x-pass",
            "x-cred",
            "x-acl",
            "x-perms",
            "x-group",
            "x-kerberos",
            "x-ssl-client-serial",
            "x-telegram-init-data",
            "appkey",
            "clientid",
        ] {
            assert!(is_credential(name), "{name}");
        }
        for name in [
            "accept",
            "accept-language",
            "host",
            "user-agent",
            "cookie",
            "referer",
            "origin",
            "x-request-id",
            "x-forwarded-for",
            "x-forwarded-proto",
            "traceparent",
            "if-none-match",
            "sec-ch-ua",
            "sec-fetch-site",
            "sec-fetch-mode",
            "sec-fetch-dest",
            "sec-fetch-user",
            "sec-gpc",
            "x-appengine-user-ip",
            "x-vercel-proxy-signature",
            "priority",
            "upgrade-insecure-requests",
            "x-csrf-token",
            "x-xsrf-token",
            "proxy-authorization",
            "idempotency-key",
            "x-requested-with",
            "dnt",
            "keep-alive",
            "content-type",
            "cloudfront-viewer-country",
            "device-memory",
            "x-ssl-client-verify",
        ] {
            assert!(!is_credential(name), "{name}");
        }
        assert!(may_be_secret("x-api-key") && may_be_secret("x-amzn-oidc-data"));
        assert!(!may_be_secret("x-user-id") && !may_be_secret("accept-language"));
    }

    #[test]
    fn cookies_are_found_by_any_spelling() {
        let mut headers = HeaderMap::new();
        for line in ["a=1; b ; c=x=y;;", " =nameless; d =2"] {
            headers.append(COOKIE, HeaderValue::from_static(line));
        }
        let names: Vec<_> = cookie_names(&headers).collect();
        assert_eq!(names, [b"a".as_slice(), b"b", b"c", b"=", b"d"]);
    }
}
