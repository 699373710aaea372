use http::header::COOKIE;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::routes::Scope;
use crate::routes::template::Site;

/// What one request brings.
#[derive(Clone, Debug)]
struct Person {
    /// Name and value; one of them spelled oddly.
    cookies: Vec<(&'static str, u8)>,
    headers: Vec<(&'static str, u8)>,
    claims: Option<Value>,
}

const COOKIES: [&str; 5] = ["session", "theme", "act_as", "_ga", "token"];
const HEADERS: [&str; 5] = [
    "authorization",
    "x-api-key",
    "x-user-id",
    "x-company",
    "accept-language",
];
/// Variables of keys; some with defaults.
const VARIABLES: [&str; 14] = [
    "{cookie.session}",
    "{cookie.session|none}",
    "{cookie.theme|light}",
    "{cookie.act_as|}",
    "{cookie.token|}",
    "{header.cookie|}",
    "{header.authorization|}",
    "{header.x-api-key|none}",
    "{header.x-user-id|}",
    "{header.x-company|}",
    "{header.accept-language|en}",
    "{jwt.sub|anyone}",
    "{jwt.role|user}",
    "{jwt.act}",
];

fn person() -> impl Strategy<Value = Person> {
    let some = |names: &'static [&'static str]| {
        prop::collection::vec((prop::sample::select(names), 0u8..3), 0..4)
    };
    let claims =
        prop::option::of((0u8..3, 0u8..2).prop_map(
            |(sub, role)| json!({ "sub": format!("p{sub}"), "role": format!("r{role}") }),
        ));
    (some(&COOKIES), some(&HEADERS), claims).prop_map(|(cookies, headers, claims)| Person {
        cookies,
        headers,
        claims,
    })
}

impl Person {
    fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(&value.to_string()).expect("a digit");
            fields.append(*name, value);
        }
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !pairs.is_empty() {
            let line = HeaderValue::from_str(&pairs.join("; ")).expect("plain text");
            fields.insert(COOKIE, line);
        }
        fields
    }

    /// All that tells this person from others, but for what is said not to matter: `claim` is one that
    /// stands for the token, in this field.
    fn credentials(&self, claim: Option<&str>, token: TokenField<'_>) -> Vec<String> {
        let by_claim = claim.and_then(|claim| self.claims.as_ref()?.get(claim)?.as_str());
        let is_token = |name: &str, field: TokenField<'_>| {
            by_claim.is_some() && token == field && !name.is_empty()
        };
        let vouched = self.headers.iter().any(|(name, _)| *name == "x-user-id");
        let mut found: Vec<String> = Vec::new();
        for (name, value) in &self.cookies {
            let matters = !["_ga", "theme"].contains(name);
            if matters && !is_token(name, TokenField::Cookie(name)) {
                found.push(format!("cookie {name}={value}"));
            }
        }
        for (name, value) in self
            .headers
            .iter()
            .filter(|(name, _)| *name != "accept-language")
        {
            let is_authorization = *name == "authorization";
            if !(is_authorization && (vouched || is_token(name, TokenField::Authorization))) {
                found.push(format!("{name}: {value}"));
            }
        }
        found.extend(by_claim.map(|value| format!("claim {value}")));
        found
    }
}

fn verified<'v>(claims: Option<&'v Value>, token: TokenField<'v>) -> Verified<'v> {
    Verified {
        claims,
        token: Some(token),
        auth: None,
    }
}

fn key_of(
    template: &Template,
    fields: &HeaderMap,
    claims: Option<&Value>,
) -> Option<(String, String)> {
    let scope = Scope {
        host: "a",
        path: "/",
        spelling: None,
        query: None,
        headers: fields,
        params: &[],
        claims,
        auth: None,
        body_digest: None,
        body: None,
        response: None,
        before: None,
    };
    let key = template.render(&scope).ok()?;
    Some((key.text, key.form))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::routes::requester::tests::cases()))]

    /// Promise I8: two requests that are answered under one key, and bring nothing that it lacks, bring
    /// the same.
    #[test]
    fn who_shares_a_key_brings_the_same(
        variables in prop::collection::btree_set(prop::sample::select(&VARIABLES[..]), 0..5),
        shared_by in any::<bool>(),
        by_cookie in any::<bool>(),
        a in person(),
        b in person(),
    ) {
        let text = variables.iter().fold("k".to_owned(), |text, variable| format!("{text}:{variable}"));
        let template = Template::parse(&text, Site::RouteKey, &[]).expect("a valid template");
        let shared_by = match shared_by {
            true => vec!["jwt.role".to_owned()],
            false => Vec::new(),
        };
        let (trusted, further): ([HeaderName; 1], [HeaderName; 1]) = (
            [HeaderName::from_static("x-user-id")],
            [HeaderName::from_static("x-company")],
        );
        let irrelevant = CookieNames::default().with(["theme".to_owned()]);
        let keyed = KeyedCredentials::new(&template, CredentialSettings {
            shared_by: &shared_by,
            irrelevant: &irrelevant,
            trusted: &trusted,
            further: &further,
            checked: &CheckedCredentials::default(),
        });
        let token = match by_cookie {
            true => TokenField::Cookie("token"),
            false => TokenField::Authorization,
        };
        let is_covered = |person: &Person| {
            let fields = person.fields();
            let unkeyed = keyed.find_unkeyed(&fields, verified(person.claims.as_ref(), token));
            unkeyed.header.is_none() && unkeyed.cookie.is_none()
        };
        let key = |person: &Person| key_of(&template, &person.fields(), person.claims.as_ref());
        let (Some(key_of_a), Some(key_of_b)) = (key(&a), key(&b)) else { return Ok(()) };
        if key_of_a != key_of_b || !is_covered(&a) || !is_covered(&b) {
            return Ok(());
        }
        let claim = ["sub", "role"].into_iter().find(|claim| {
            text.contains(&format!("{{jwt.{claim}")) && (*claim == "sub" || !shared_by.is_empty())
        });
        let mut credentials = [&a, &b].map(|person| person.credentials(claim, token));
        credentials.iter_mut().for_each(|credentials| credentials.sort());
        prop_assert_eq!(&credentials[0], &credentials[1], "under {}", text);
    }
}

/// More where `PANNIER_PROPTEST_CASES` says so.
pub(super) fn cases() -> u32 {
    let asked = std::env::var("PANNIER_PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(2000)
}

/// Key, `shared_by`, fields, the header that the key lacks, the cookie that it lacks.
type Row<'a> = (
    &'a str,
    &'a str,
    &'a [(&'a str, &'a str)],
    Option<&'a str>,
    Option<&'a str>,
);

#[test]
fn what_counts_as_carried() {
    let claims = json!({ "sub": "ann", "role": "editor", "user": { "id": 7 }, "list": [1] });
    #[rustfmt::skip]
    let rows: &[Row<'_>] = &[
        ("k", "", &[], None, None),
        ("k", "", &[("cookie", "session=1")], None, Some("session")),
        ("k", "", &[("cookie", "_ga=1; theme=dark")], None, None),
        ("k:{cookie.theme}", "", &[("cookie", "theme=dark; session=A")], None, Some("session")),
        ("k:{cookie.session|none}", "", &[("cookie", "other=A")], None, Some("other")),
        ("k:{cookie.session|none}", "", &[("cookie", "session=A")], None, None),
        ("k:{cookie.session}", "", &[("cookie", "session=A; session=B")], None, None),
        ("k:{cookie.Session|}", "", &[("cookie", "session=A")], None, Some("session")),
        ("k:{header.cookie}", "", &[("cookie", "a=1; b=2")], None, None),
        ("k", "", &[("authorization", "x")], Some("authorization"), None),
        ("k", "", &[("x-api-key", "x")], Some("x-api-key"), None),
        ("k:{header.x-api-key}", "", &[("x-api-key", "x"), ("x-auth-token", "y")], Some("x-auth-token"), None),
        ("k", "", &[("x-user-id", "x")], Some("x-user-id"), None),
        ("k:{header.x-user-id}", "", &[("x-user-id", "x"), ("authorization", "y")], None, None),
        ("k:{header.x-user-id|}", "", &[("authorization", "y")], Some("authorization"), None),
        ("k:{header.x-user-id}", "", &[("x-user-id", "anonymous"), ("authorization", "y")], Some("authorization"), None),
        ("k:{header.x-user-id}", "", &[("x-user-id", "7"), ("x-user-id", ""), ("authorization", "y")], Some("authorization"), None),
        ("k:{jwt.sub}", "", &[("authorization", "Bearer t")], None, None),
        ("k:{jwt.sub}", "", &[("authorization", "Bearer t"), ("cookie", "act_as=1")], None, Some("act_as")),
        ("k:{jwt.role}", "", &[("authorization", "Bearer t")], Some("authorization"), None),
        ("k:{jwt.role}", "jwt.role", &[("authorization", "Bearer t")], None, None),
        ("k:{jwt.missing|x}", "jwt.missing", &[("authorization", "Bearer t")], Some("authorization"), None),
        ("k:{jwt.list|x}", "jwt.list", &[("authorization", "Bearer t")], Some("authorization"), None),
        ("k:{jwt.user.id}", "", &[("authorization", "Bearer t")], None, None),
    ];
    for (key, shared_by, fields, header, cookie) in rows {
        let template = Template::parse(key, Site::RouteKey, &[]).expect("a valid template");
        let shared_by: Vec<String> = shared_by.split(' ').map(str::to_owned).collect();
        let keyed = KeyedCredentials::new(
            &template,
            CredentialSettings {
                shared_by: &shared_by,
                irrelevant: &CookieNames::default().with(["theme".to_owned()]),
                trusted: &[HeaderName::from_static("x-user-id")],
                further: &[],
                checked: &CheckedCredentials::default(),
            },
        );
        let fields: HeaderMap = fields
            .iter()
            .map(|(name, value)| {
                let name: HeaderName = name.parse().expect("a name");
                (name, HeaderValue::from_str(value).expect("a value"))
            })
            .collect();
        let found = keyed.find_unkeyed(&fields, verified(Some(&claims), TokenField::Authorization));
        let case = format!("{key} {fields:?}");
        assert_eq!(found.header.map(HeaderName::as_str), *header, "{case}");
        let named = found
            .cookie
            .map(|name| String::from_utf8_lossy(name).into_owned());
        assert_eq!(named.as_deref(), *cookie, "{case}");
    }
}

/// Key, `shared_by`, what the check is sent, fields, what the key lacks.
type CheckedRow<'a> = (
    &'a str,
    &'a str,
    &'a CheckedCredentials,
    &'a [(&'a str, &'a str)],
    Option<&'a str>,
);

#[test]
fn what_a_check_vouches_for() {
    let said = json!({ "role": "editor", "user": { "id": 7 } });
    let all = CheckedCredentials {
        fields: ["x-tenant", "x-api-key", "user-agent"]
            .map(HeaderName::from_static)
            .to_vec(),
        ..CheckedCredentials::default()
    };
    let named = CheckedCredentials {
        cookies: Some(CookieNames::only(["sid".to_owned()])),
        ..all.clone()
    };
    let (sid, with_lang) = (("cookie", "sid=1"), ("cookie", "sid=1; lang=de"));
    let (token, tenant) = (("authorization", "x"), ("x-tenant", "t"));
    let (api_key, other_key) = (("x-api-key", "k"), ("x-api-key", "l"));
    let (by_token, by_tenant, by_key) = ("authorization", "x-tenant", "x-api-key");
    let (user, role, word) = ("k:{auth.user.id}", "k:{auth.role}", "auth.role");
    let of_tenant = "k:{auth.role}:{header.x-tenant}";
    #[rustfmt::skip]
    let rows: [CheckedRow<'_>; 24] = [
        (user, "", &all, &[sid, token], Some(by_token)),
        (user, "", &named, &[sid, token], Some(by_token)),
        (user, "", &all, &[sid], None),
        (role, word, &named, &[sid], None),
        (role, word, &named, &[sid, token], Some(by_token)),
        (user, "", &named, &[with_lang], Some("lang")),
        (user, "", &all, &[with_lang], None),
        (role, "", &all, &[sid], Some("sid")),
        (role, word, &all, &[sid], Some("sid")),
        (role, word, &all, &[token], None),
        (role, word, &all, &[token, token], Some(by_token)),
        ("k:{auth.sub|none}", "", &all, &[sid], Some("sid")),
        ("k", "", &all, &[token], Some(by_token)),
        // What only chooses among what somebody sees stands for itself alone.
        (user, "", &all, &[sid, tenant], Some(by_tenant)),
        (role, word, &named, &[sid, tenant], Some(by_tenant)),
        (role, word, &all, &[token, tenant], Some(by_tenant)),
        (of_tenant, word, &named, &[sid, tenant], None),
        (user, "", &all, &[sid, ("user-agent", "u")], None),
        // A secret does what `Authorization` does: where the check can have gone by nothing else.
        (user, "", &all, &[api_key], None),
        (role, word, &all, &[api_key], None),
        (user, "", &all, &[api_key, other_key], Some(by_key)),
        (user, "", &all, &[sid, api_key], Some(by_key)),
        (user, "", &all, &[api_key, token], Some(by_key)),
        (user, "", &all, &[("x-auth-token", "k")], Some("x-auth-token")),
    ];
    let guest = json!({ "role": "guest", "user": { "id": "guest" } });
    for (key, shared_by, checked, fields, expected) in rows {
        let template = Template::parse(key, Site::RouteKey, &[]).expect("a valid template");
        let keyed = KeyedCredentials::new(
            &template,
            CredentialSettings {
                shared_by: &[shared_by.to_owned()],
                irrelevant: &CookieNames::default(),
                trusted: &[],
                further: &[HeaderName::from_static("x-tenant")],
                checked,
            },
        );
        let headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_str(value).expect("a value");
                (name.parse::<HeaderName>().expect("a name"), value)
            })
            .collect();
        let of = |auth| Verified {
            auth,
            ..Verified::default()
        };
        let found = keyed.find_unkeyed(&headers, of(Some(&said)));
        let cookie = found
            .cookie
            .map(|name| std::str::from_utf8(name).expect("ASCII"));
        let found = found.header.map(HeaderName::as_str).or(cookie);
        assert_eq!(found, expected, "{key} {shared_by} {fields:?}");
        let unknown = keyed.find_unkeyed(&headers, of(Some(&Value::Null)));
        assert_ne!(unknown, Unkeyed::default(), "{key}: of nobody");
        let of_guest = keyed.find_unkeyed(&headers, of(Some(&guest))) == Unkeyed::default();
        let expected = expected.is_none() && shared_by == word;
        assert_eq!(of_guest, expected, "{key}: of what many are called");
    }
}
