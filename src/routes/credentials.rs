//! Which fields and cookies of a request say who asks (promise I8), by their names. What is called so and has nothing to do
//! with it makes a GET pass that need not; what is called otherwise is for `[defaults] credential_headers`.

use http::HeaderMap;
use http::header::COOKIE;

use crate::http_cache::secret_names::{names_a_forgery_token, names_a_secret, words_in};
use crate::http_cache::vary::names_in;

/// Words in the name of a request's field whose value may be a secret, beside those that answers have as well.
const SECRET: &[&str] = &[
    "appcheck",
    "cert",
    "certificate",
    "hmac",
    "mtls",
    "pass",
    "pin",
    "sig",
    "signature",
    "tokens",
];

/// Words that end as `apikey` does, and are no key.
const NO_KEYS: &[&str] = &["donkey", "hockey", "jockey", "monkey", "turkey", "whiskey"];

/// Words in the name of a field that says on whose behalf the request is.
const PERSON: &[&str] = &[
    "account",
    "accountid",
    "acl",
    "actor",
    "admin",
    "affiliation",
    "authenticated",
    "author",
    "authorities",
    "authuser",
    "basket",
    "buyer",
    "caller",
    "cart",
    "claim",
    "claims",
    "clearance",
    "clientid",
    "company",
    "consumer",
    "contact",
    "creator",
    "customer",
    "customerid",
    "dn",
    "driver",
    "email",
    "employee",
    "entitlements",
    "eppn",
    "group",
    "groups",
    "guest",
    "household",
    "ident",
    "identity",
    "impersonate",
    "imsi",
    "initiator",
    "licence",
    "license",
    "login",
    "masquerade",
    "member",
    "memberid",
    "merchant",
    "msisdn",
    "nameid",
    "operator",
    "org",
    "organisation",
    "organization",
    "orgid",
    "owner",
    "partner",
    "patient",
    "permissions",
    "perms",
    "person",
    "persona",
    "phone",
    "plan",
    "player",
    "principal",
    "privilege",
    "privileges",
    "pupil",
    "remote",
    "requester",
    "requestor",
    "rider",
    "rights",
    "role",
    "roles",
    "scope",
    "scopes",
    "seller",
    "shopper",
    "spiffe",
    "staff",
    "student",
    "sub",
    "subject",
    "subscriber",
    "subscription",
    "sudo",
    "supplier",
    "team",
    "tenant",
    "tenantid",
    "tier",
    "udid",
    "uid",
    "user",
    "userdn",
    "userid",
    "userinfo",
    "username",
    "vendor",
    "viewer",
    "visitor",
    "wallet",
    "workspace",
];

/// What such a name may end with, its signs left out.
const PERSON_AT_THE_END: &[&str] = &[
    "accesslevel",
    "actas",
    "agentid",
    "anonymousid",
    "authorizedby",
    "callinglineid",
    "cardnumber",
    "clientcn",
    "clientfingerprint",
    "clientid",
    "clientidentifier",
    "clientserial",
    "commonname",
    "devicefingerprint",
    "deviceid",
    "deviceuuid",
    "googpageid",
    "initdata",
    "installationid",
    "machineid",
    "mobilenumber",
    "onbehalfof",
    "persistentid",
    "profileid",
    "remoteuser",
    "runas",
    "sslcn",
    "upsubno",
    "xcn",
    "xfingerprint",
    "xmobile",
    "xparentid",
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
    "cache-key",
    "x-cache-key",
    "surrogate-key",
    // Of each request that it lets through.
    "x-vercel-proxy-signature",
    "x-vercel-proxy-signature-ts",
    // Pannier's own, which the app never sees.
    "pannier-token",
];

/// The same of families: what a network says of where its clients are, what browsers say of themselves.
const HARMLESS_BEGINNINGS: &[&str] = &["access-control-", "cloudfront-", "sec-ch-", "sec-fetch-"];

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
    !is_harmless(name) && is_secret(name)
}

/// Whether the field of this name (in lower case) says who asks, as `Authorization` does: a key that lacks
/// it must not answer for it.
pub fn is_credential(name: &str) -> bool {
    // `Proxy-Authorization` is taken off by every proxy: the app never sees it.
    name != "proxy-authorization" && !is_harmless(name) && (is_secret(name) || is_personal(name))
}

fn is_secret(name: &str) -> bool {
    let is_key = |word: &str| word.ends_with("key") && !NO_KEYS.contains(&word);
    names_a_secret(name) || words_in(name).any(|word| SECRET.contains(&word) || is_key(word))
}

fn is_personal(name: &str) -> bool {
    let of_user = |word: &str| word.ends_with("user") || word.ends_with("userid");
    words_in(name).any(|word| PERSON.contains(&word) || of_user(word)) || ends_with_person(name)
}

fn ends_with_person(name: &str) -> bool {
    let letters = || name.bytes().rev().filter(u8::is_ascii_alphanumeric);
    PERSON_AT_THE_END.iter().any(|end| {
        let mut letters = letters();
        end.bytes()
            .rev()
            .all(|letter| letters.next() == Some(letter))
    })
}

/// What tells of no person whatever words are in it. `Cookie` counts by the names of its cookies.
fn is_harmless(name: &str) -> bool {
    name == "cookie"
        || HARMLESS.contains(&name)
        || HARMLESS_BEGINNINGS
            .iter()
            .any(|beginning| name.starts_with(beginning))
        || names_a_forgery_token(name)
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
            "x-trackertoken",
            "x-authenticationtoken",
            "xauthtoken",
            "xapikey",
            "x-jwttoken",
            "x-sess-id",
            "x-sessid",
            "apiaccesskeyid",
            "apisecretaccesskey",
            "sfdcsessionid",
            "x-partnerkey",
            "x-sitekey",
            "clientsecret",
            "x_client_secret",
            "x-oauth2-token",
            "x-viewer-id",
            "x-profile-id",
            "x-subscriber",
            "x-player-id",
            "x-persona",
            "x-phone-number",
            "x-mobile",
            "x-staff-id",
            "x-merchant-id",
            "x-caller-id",
            "x-requester",
            "x-authorized-by",
            "x-privileges",
            "x-access-level",
            "x-plan",
            "x-card-number",
            "x-wallet-address",
            "x-pubkey",
            "x-udid",
            "x-fingerprint",
            "x-deviceid",
            "x-cart-id",
            "x-shib-persistent-id",
            "x-ssl-client-fingerprint",
            "x-ssl-cn",
            "x-client-cn",
            "x-kubernetesuser",
            "x-spiffe-id",
            "x-plex-client-identifier",
            "x-goog-pageid",
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
            "x_csrf_token",
            "x-csrftoken",
            "requestverificationtoken",
            "x-idempotency-key",
            "x-cache-key",
            "x-monkey",
            "sec-ch-ua-mobile",
            "cloudfront-is-mobile-viewer",
            "cloudfront-viewer-address",
            "x-datadog-parent-id",
            "x-datadog-trace-id",
            "x-b3-parentspanid",
            "x-amzn-trace-id",
            "x-cloud-trace-context",
            "x-ms-client-request-id",
            "x-newrelic-id",
            "sentry-trace",
            "baggage",
            "cf-ipcountry",
            "cf-connecting-ip",
            "cf-ray",
            "cdn-loop",
            "fastly-client-ip",
            "x-azure-clientip",
            "x-wap-profile",
            "x-ja3-fingerprint",
            "access-control-request-headers",
            "save-data",
            "x-client-info",
            "x-wp-nonce",
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
