//! What a request is: something to look up, to pass on, or a write with effects. Pure.

use std::borrow::Cow;

use http::header::{CONTENT_LENGTH, FORWARDED, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Version};
use serde_json::Value;

use super::present::Present;
use super::{Asked, headers};
use crate::config::{PurgeRule, Route, Unmatched};
use crate::http_cache::{Identity, Reason, RequestHead};
use crate::live::Live;
use crate::routes::matcher::Params;
use crate::routes::{Key, Scope, target};

/// What to do with a request before anything is looked up.
#[derive(Debug)]
pub enum Plan {
    /// Look it up under a key.
    Cache(Lookup),
    /// Send it to the app and store nothing.
    Pass {
        /// The route, if one matched.
        rule: Option<usize>,
        /// Why.
        reason: Reason,
    },
    /// Send it to the app, then purge.
    Write(Effects),
    /// Send it to the app, then hand over the connection.
    Upgrade {
        /// The route, if one matched.
        rule: Option<usize>,
    },
}

/// Where to look a GET or HEAD up, and as whom.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The route; `None`: unmatched, by RFC 9111.
    pub rule: Option<usize>,
    /// The key.
    pub key: Key,
    /// What the key carries of the requester.
    pub identity: Identity,
    /// What selects among the key's answers: host (unless `any_host`), scheme, the rule's path.
    pub host: String,
}

impl Lookup {
    /// The request as RFC 9111 sees it.
    pub fn head<'a>(&'a self, asked: &'a Asked) -> RequestHead<'a> {
        RequestHead {
            method: &asked.parts.method,
            headers: &asked.parts.headers,
            directives: asked.directives,
            identity: self.identity,
            host: &self.host,
            form: &self.key.form,
        }
    }
}

/// What a write changes, if it succeeds.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// The route of the same path, for the log.
    pub rule: Option<usize>,
    /// Indexes into `config.purges`.
    pub purges: Vec<usize>,
    /// Whether a template reads the request's JSON body.
    pub reads_body: bool,
    /// Whether a template reads the answer's JSON body.
    pub reads_response: bool,
}

/// Decides for one admitted request.
pub fn plan(asked: &Asked) -> Plan {
    let parts = &asked.parts;
    let matched = matched(&asked.live, parts.uri.path());
    let rule = matched.as_ref().map(|(index, _)| *index);
    if asked.present.has(Present::UPGRADE) && is_upgrade(parts) {
        return Plan::Upgrade { rule };
    }
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return plan_write(asked, rule);
    }
    let route = rule.map(|index| &asked.live.config.routes[index]);
    let params = matched.map(|(_, params)| params).unwrap_or_default();
    let looked = match obstacle(asked, route) {
        Some(reason) => Err(reason),
        None => lookup(asked, rule, &params),
    };
    match looked {
        Ok(lookup) => Plan::Cache(lookup),
        Err(reason) => Plan::Pass { rule, reason },
    }
}

/// Why a GET or HEAD passes whatever its key would be.
fn obstacle(asked: &Asked, route: Option<&Route>) -> Option<Reason> {
    let Asked {
        live,
        parts,
        present,
        ..
    } = asked;
    let query = parts.uri.query();
    let announced = || present.has(Present::FRAMING) && has_body(&parts.headers);
    if asked.has_body || announced() {
        return Some(Reason::RequestBody);
    }
    if target::is_ambiguous(parts.uri.path()) {
        return Some(Reason::AmbiguousPath);
    }
    match route {
        None if live.config.defaults.unmatched == Unmatched::Pass => return Some(Reason::NoRule),
        Some(route) if !route.enabled => return Some(Reason::Disabled),
        Some(route) if route.ignore_query.find_unkeyed(&route.key, query).is_some() => {
            return Some(Reason::UnkeyedQuery);
        }
        _ => {}
    }
    let unkeyed = present.has(Present::TARGET) && unkeyed_override(asked)
        || present.has(Present::SCHEME) && unknown_scheme(&parts.headers)
        || present.has(Present::CONNECTION) && strips_a_field(&parts.headers);
    unkeyed.then_some(Reason::UnkeyedHeader)
}

/// The key of a GET or HEAD, or what it lacks.
fn lookup(asked: &Asked, rule: Option<usize>, params: &[(&str, &str)]) -> Result<Lookup, Reason> {
    let route = rule.map(|index| &asked.live.config.routes[index]);
    let template = route.map_or(&asked.live.default_key, |route| &route.key);
    let claims = claims(asked, template.reads_jwt());
    let query = kept(route, asked.parts.uri.query());
    let mut scope = scope(asked, params, claims.as_ref());
    scope.query = query.as_deref();
    let key = template
        .render(&scope)
        .map_err(|_| Reason::MissingVariable)?;
    if key.text.len() > MAX_KEY {
        return Err(Reason::KeyTooLong);
    }
    let identity = identity(route, asked.present);
    Ok(Lookup {
        rule,
        key,
        identity,
        host: selector(route, asked),
    })
}

/// Longer keys cost more to index than their answers save.
const MAX_KEY: usize = 4096;

/// The route of a path with its raw parameters.
pub fn matched<'l, 'p>(live: &'l Live, path: &'p str) -> Option<(usize, Params<'l, 'p>)> {
    live.config
        .matcher
        .at(path)
        .map(|matched| (*matched.value, matched.params))
}

/// What templates may read of a request.
pub fn scope<'a>(
    asked: &'a Asked,
    params: &'a [(&'a str, &'a str)],
    claims: Option<&'a Value>,
) -> Scope<'a> {
    Scope {
        host: &asked.host,
        path: asked.parts.uri.path(),
        query: asked.parts.uri.query(),
        headers: &asked.parts.headers,
        params,
        claims,
        body: None,
        response: None,
    }
}

/// The verified claims, when a template needs them.
pub fn claims(asked: &Asked, needed: bool) -> Option<Value> {
    if !needed {
        return None;
    }
    asked
        .live
        .jwt
        .as_ref()?
        .verify(&asked.parts.headers, crate::clock::wall())
}

/// The query without the fields that the rule ignores.
pub fn kept<'q>(route: Option<&Route>, query: Option<&'q str>) -> Option<Cow<'q, str>> {
    match route {
        Some(route) => route.ignore_query.remove_ignored(&route.key, query),
        None => query.map(Cow::Borrowed),
    }
}

fn plan_write(asked: &Asked, rule: Option<usize>) -> Plan {
    let other = target::normalized(asked.parts.uri.path());
    let purges: Vec<usize> = asked
        .live
        .config
        .purges
        .iter()
        .enumerate()
        .filter(|(_, purge)| methods(&asked.parts).any(|method| purge.methods.contains(&method)))
        .filter(|(_, purge)| {
            let path = asked.parts.uri.path();
            purge.matcher.at(path).is_some()
                || other
                    .as_deref()
                    .is_some_and(|other| purge.matcher.at(other).is_some())
        })
        .map(|(index, _)| index)
        .collect();
    if purges.is_empty() && asked.parts.method.is_safe() {
        return Plan::Pass {
            rule,
            reason: Reason::Method,
        };
    }
    let rules: Vec<&PurgeRule> = purges
        .iter()
        .map(|index| &asked.live.config.purges[*index])
        .collect();
    let templates = || {
        rules
            .iter()
            .flat_map(|rule| rule.keys.iter().chain(&rule.tags))
    };
    Plan::Write(Effects {
        rule,
        reads_body: templates().any(|template| template.reads_body()),
        reads_response: templates().any(|template| template.reads_response()),
        purges,
    })
}

/// The method, and the one that frameworks let a field put in its place.
fn methods(parts: &Parts) -> impl Iterator<Item = Method> {
    const OVERRIDING: [&str; 3] = [
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
    ];
    let overriding = OVERRIDING
        .iter()
        .filter_map(|name| parts.headers.get(*name));
    let overriding = overriding
        .filter_map(|method| Method::from_bytes(&method.as_bytes().to_ascii_uppercase()).ok());
    std::iter::once(parts.method.clone()).chain(overriding)
}

fn identity(route: Option<&Route>, present: Present) -> Identity {
    let (authorization, cookie) = route.map_or((false, false), |route| {
        (route.key_carries_authorization, route.key_carries_cookie)
    });
    Identity {
        unkeyed_authorization: present.has(Present::AUTHORIZATION) && !authorization,
        unkeyed_cookie: present.has(Present::COOKIE) && !cookie,
    }
}

/// What selects among the stored responses of one key: host, scheme and the rule's path.
///
/// An app behind a TLS gateway may answer `https` and `http` differently (redirects, links). Two rules
/// may render the same key, so that one purge covers both, but their answers differ.
fn selector(route: Option<&Route>, asked: &Asked) -> String {
    let path = route.map_or("", |route| &route.path);
    let mut selector = String::with_capacity("https://".len() + asked.host.len() + 1 + path.len());
    if !route.is_some_and(|route| route.any_host) {
        if asked.scheme() == "https" {
            selector.push_str("https://");
        }
        selector.push_str(&asked.host);
    }
    if route.is_some() {
        selector.push(' ');
        selector.push_str(path);
    }
    selector
}

/// Fields that frameworks let override the target, so that the answer is not the key's
/// (reliability.md K4). Those that gateways add to every request count where they disagree with the
/// host and the scheme, which the key or the selector has.
fn unkeyed_override(asked: &Asked) -> bool {
    const OVERRIDES: [HeaderName; 6] = [
        HeaderName::from_static("x-original-url"),
        HeaderName::from_static("x-rewrite-url"),
        HeaderName::from_static("x-http-method-override"),
        HeaderName::from_static("x-http-method"),
        HeaderName::from_static("x-method-override"),
        HeaderName::from_static("x-forwarded-prefix"),
    ];
    let fields = &asked.parts.headers;
    let scheme = asked.scheme();
    let (switch, port) = match scheme {
        "https" => ("on", "443"),
        _ => ("off", "80"),
    };
    let own_port = asked.host.rsplit_once(':').map_or(port, |(_, port)| port);
    let agrees = |name: &str, allowed: &[&str]| {
        fields.get_all(name).iter().all(|value| {
            let mut allowed = allowed.iter();
            allowed.any(|allowed| value.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()))
        })
    };
    OVERRIDES.iter().any(|name| fields.contains_key(name))
        || !agrees("x-forwarded-host", &[&asked.host])
        || !agrees("x-host", &[&asked.host])
        || !agrees("x-forwarded-scheme", &[scheme])
        || !agrees("x-forwarded-ssl", &[switch])
        || !agrees("x-forwarded-port", &[port, own_port])
        || !forwarded_agrees(fields, &asked.host, scheme)
}

/// RFC 7239 §5.3 and §5.4: the host and the scheme that gateways saw.
fn forwarded_agrees(fields: &HeaderMap, host: &str, scheme: &str) -> bool {
    let lines = fields.get_all(FORWARDED).iter();
    let mut pairs = lines.flat_map(|line| {
        let separators = |byte: &u8| matches!(byte, b',' | b';');
        line.as_bytes().split(separators).map(<[u8]>::trim_ascii)
    });
    pairs.all(|pair| {
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
            return true;
        };
        let (name, value) = (&pair[..at], &pair[at + 1..]);
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        if name.eq_ignore_ascii_case(b"host") {
            value.eq_ignore_ascii_case(host.as_bytes())
        } else {
            !name.eq_ignore_ascii_case(b"proto") || value.eq_ignore_ascii_case(scheme.as_bytes())
        }
    })
}

/// A scheme that no gateway sends would be a variant of its own, and there is room for few.
fn unknown_scheme(headers: &HeaderMap) -> bool {
    let mut schemes = headers.get_all("x-forwarded-proto").iter();
    let known = schemes
        .next()
        .is_none_or(|scheme| matches!(scheme.as_bytes(), b"http" | b"https"));
    !known || schemes.next().is_some()
}

/// What the fields say; `explain` has nothing else to go by.
fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0")
}

/// A request to hand the connection over. Only a GET may: an offer to go on in HTTP/2 (`h2c`) is
/// declined by not passing it on, and any other method is answered by its own rules.
fn is_upgrade(parts: &Parts) -> bool {
    let offers_h2c = || {
        let offers = parts.headers.get_all(UPGRADE).iter();
        offers
            .filter_map(|line| line.to_str().ok())
            .any(|line| line.to_ascii_lowercase().contains("h2c"))
    };
    parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && parts.headers.contains_key(UPGRADE)
        && headers::connection_options(&parts.headers).any(|option| option == UPGRADE)
        && !offers_h2c()
}

/// Whether `Connection` names a field that the key or `Vary` might read and the app would not see.
fn strips_a_field(fields: &HeaderMap) -> bool {
    const OF_THE_CONNECTION: [HeaderName; 5] = [
        HeaderName::from_static("close"),
        HeaderName::from_static("keep-alive"),
        UPGRADE,
        TE,
        HeaderName::from_static("http2-settings"),
    ];
    headers::connection_options(fields)
        .any(|option| !OF_THE_CONNECTION.contains(&option) && fields.contains_key(option))
}
