//! `[auth]`, the check of the app's own that says who asks, and what rules say of it.

use http::header::{AUTHORIZATION, CONNECTION, COOKIE, HOST};
use http::uri::PathAndQuery;
use http::{HeaderName, StatusCode};

use super::Input;
use super::rules::Written;
use super::words::{names_cookies, read_header_names};
use crate::config::problem::Problems;
use crate::config::read::Reader;
use crate::config::{Auth, Defaults, PurgeRule, PurgedIdentity, Require, Route};
use crate::http_cache::vary::CookieNames;
use crate::routes::CheckedCredentials;

const EXAMPLE: &str = "write a path of the app, such as \"/api/auth/session\"";

pub(super) fn read_auth(
    input: &Input<'_>,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Option<Auth> {
    input.document.table("auth")?;
    let reader = &mut input.reader("auth", problems);
    let url = read_url(reader);
    let count = |count: Option<u64>| count.and_then(|count| usize::try_from(count).ok());
    let auth = Auth {
        credentials: CheckedCredentials {
            fields: read_forward(reader),
            cookies: read_cookies(reader),
            irrelevant: CookieNames::default().with(defaults.settings.ignore_cookies.clone()),
        },
        allow: read_allow(reader),
        ttl: reader.duration("ttl"),
        timeout: reader.duration("timeout"),
        max: count(reader.count("max")).unwrap_or(Auth::DEFAULT_MAX),
        max_checks: count(reader.count("max_checks")).unwrap_or(1),
        max_body: reader.length("max_body").unwrap_or_default(),
        names: Vec::new(),
        url: url?,
    };
    Some(auth)
}

/// What the check is sent; nothing where there is none.
pub(super) fn checked_credentials(auth: Option<&Auth>) -> CheckedCredentials {
    let credentials = auth.map(|auth| auth.credentials.clone());
    credentials.unwrap_or_default()
}

/// All that templates read of what the check says: nothing else of it is kept.
pub(super) fn names_read(
    routes: &[Written<Route>],
    purges: &[Written<PurgeRule>],
) -> Vec<Vec<String>> {
    let of_routes = routes
        .iter()
        .flat_map(|route| std::iter::once(&route.rule.key).chain(&route.rule.tags));
    let of_purges = purges
        .iter()
        .flat_map(|purge| purge.rule.keys.iter().chain(&purge.rule.tags));
    let templates = of_routes.chain(of_purges);
    let names = templates.flat_map(|template| template.auth_names());
    let mut names: Vec<_> = names.cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// `require` of a rule: there has to be what can say so.
pub(super) fn check_required(reader: &mut Reader<'_>, input: &Input<'_>, require: Option<Require>) {
    let Some(require) = require else {
        return;
    };
    let table = require.as_str();
    if input.document.table(table).is_none() {
        let remedy = match require {
            Require::Auth => "add one with url, a path of the app such as \"/api/auth/session\"",
            Require::Jwt => "add one with secret, public_key or jwks_file",
        };
        let what = format!("\"{table}\" needs an [{table}] table");
        reader.reject("require", what, remedy);
    }
}

/// `identity` of a purge rule.
pub(super) fn read_purged_identity(
    reader: &mut Reader<'_>,
    input: &Input<'_>,
) -> Option<PurgedIdentity> {
    let identity = match reader.text("identity") {
        Some(_) => Some(PurgedIdentity::Own),
        None => reader.flag("identity").then_some(PurgedIdentity::All),
    };
    if identity.is_some() && input.document.table("auth").is_none() {
        let what = "without a check that says who asks there is nothing to drop";
        reader.reject(
            "identity",
            what,
            "add an [auth] table with url, or leave it out",
        );
    }
    identity
}

fn read_url(reader: &mut Reader<'_>) -> Option<PathAndQuery> {
    let text = reader.required("url", EXAMPLE)?;
    let is_path = text.starts_with('/') && !text.starts_with("//") && !text.contains(['{', '#']);
    let url = text.parse::<PathAndQuery>().ok().filter(|_| is_path);
    if url.is_none() {
        let what = format!("\"{text}\" is not a path; the app of [upstream] alone is asked");
        reader.reject("url", what, EXAMPLE);
    }
    url
}

fn read_forward(reader: &mut Reader<'_>) -> Vec<HeaderName> {
    let names = read_header_names(reader, "forward");
    for name in [AUTHORIZATION, COOKIE, HOST, CONNECTION] {
        if names.contains(&name) {
            let what = match name == CONNECTION {
                true => format!("{name} is of one connection alone"),
                false => format!("{name} is sent anyway"),
            };
            reader.reject("forward", what, "leave it out");
        }
    }
    names
}

fn read_cookies(reader: &mut Reader<'_>) -> Option<CookieNames> {
    if !reader.gives("cookies") {
        return None;
    }
    let names = reader.texts("cookies");
    for (position, name) in &names {
        if !names_cookies(name) {
            let what = format!("\"{name}\" is not the name of a cookie");
            let remedy = "write whole names, or \"sess_*\"";
            reader.reject_at(position.clone(), "cookies", what, remedy);
        }
    }
    Some(CookieNames::only(names.into_iter().map(|(_, name)| name)))
}

fn read_allow(reader: &mut Reader<'_>) -> Vec<StatusCode> {
    let counts = reader.counts("allow").unwrap_or_default();
    if counts.is_empty() && reader.is_clean() {
        reader.reject(
            "allow",
            "nobody could be allowed",
            "write [200], or leave the line out",
        );
    }
    let status = |count: u64| StatusCode::from_u16(u16::try_from(count).ok()?).ok();
    counts.into_iter().filter_map(status).collect()
}
