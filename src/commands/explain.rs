//! `pannier explain`: rule, key, what forbids caching, what would purge it, what it would purge.

use std::io::Write;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use http::header::HOST;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use serde_json::Value;

use crate::cli;
use crate::config::{Config, Env, show_duration};
use crate::http_cache::{CacheControlMode, Reason};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::proxy::effects::{self, Extent, Said};
use crate::proxy::plan::{self, Effects, Lookup, Plan};
use crate::proxy::{Asked, admit};
use crate::routes::Purge;

/// Explains one request against a config file; nothing is sent anywhere.
pub fn explain(args: &cli::Explain, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let loaded = match Config::load(&args.config, &Env::process()) {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprint!("{errors}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let live = Arc::new(Live::new(
        loaded.config,
        Some(args.config.clone()),
        &Metrics::new(),
    )?);
    let request = request(args)?;
    let (mut parts, ()) = request.into_parts();
    let host = match admit::admit(&mut parts) {
        Ok(host) => host,
        Err(refusal) => {
            writeln!(out, "answer:   {} ({})", refusal.status, refusal.why)?;
            writeln!(out, "reason:   {}", Reason::BadRequest.as_str())?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let peer = IpAddr::from([127, 0, 0, 1]);
    let asked = Asked {
        secure: live.config.listen.tls.is_some(),
        has_body: false,
        live,
        parts,
        host,
        peer,
        arrived: crate::clock::monotonic(),
        interim: None,
    };
    let explanation = Explanation {
        asked,
        body: json(&args.body, "--body")?,
        answer: json(&args.response, "--response")?,
    };
    explanation.write(out)?;
    Ok(ExitCode::SUCCESS)
}

fn request(args: &cli::Explain) -> anyhow::Result<Request<()>> {
    let method = Method::from_bytes(args.method.as_bytes()).context("METHOD")?;
    let uri: Uri = args
        .url
        .parse()
        .with_context(|| format!("URL {:?}", args.url))?;
    let mut request = Request::new(());
    for field in &args.headers {
        let Some((name, value)) = field.split_once(':') else {
            bail!("-H {field:?}: write it as 'Name: value'");
        };
        let name: HeaderName = name
            .trim()
            .parse()
            .with_context(|| format!("-H {field:?}"))?;
        let value = HeaderValue::from_str(value.trim()).with_context(|| format!("-H {field:?}"))?;
        request.headers_mut().append(name, value);
    }
    if !request.headers().contains_key(HOST) {
        let host = uri
            .authority()
            .map_or("localhost", |authority| authority.as_str());
        let host = HeaderValue::from_str(host)?;
        request.headers_mut().insert(HOST, host);
    }
    *request.method_mut() = method;
    *request.uri_mut() = uri
        .path_and_query()
        .cloned()
        .map_or_else(|| Uri::from_static("/"), Uri::from);
    Ok(request)
}

fn json(text: &Option<String>, option: &str) -> anyhow::Result<Option<Value>> {
    text.as_deref()
        .map(serde_json::from_str)
        .transpose()
        .with_context(|| format!("{option} is not JSON"))
}

struct Explanation {
    asked: Asked,
    body: Option<Value>,
    answer: Option<Value>,
}

impl Explanation {
    fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let parts = &self.asked.parts;
        writeln!(
            out,
            "request:  {} {} for host {}",
            parts.method, parts.uri, self.asked.host
        )?;
        match plan::plan(&self.asked) {
            Plan::Cache(lookup) => self.cacheable(&lookup, out),
            Plan::Pass { rule, reason } => {
                self.rule(rule, out)?;
                writeln!(out, "answer:   from the app, not stored")?;
                writeln!(
                    out,
                    "reason:   {}: {}",
                    reason.as_str(),
                    self.remedy(rule, reason)
                )
            }
            Plan::Write(effects) => self.write_effects(&effects, out),
            Plan::Upgrade { rule } => {
                self.rule(rule, out)?;
                writeln!(
                    out,
                    "answer:   from the app; the connection is handed over after its 101"
                )?;
                writeln!(out, "reason:   {}", Reason::Upgrade.as_str())
            }
        }
    }

    fn rule(&self, rule: Option<usize>, out: &mut dyn Write) -> std::io::Result<()> {
        match self.asked.live.rule(rule).route {
            Some(route) => writeln!(out, "rule:     {} ({})", route.name, route.path),
            None => writeln!(out, "rule:     none"),
        }
    }

    fn cacheable(&self, lookup: &Lookup, out: &mut dyn Write) -> std::io::Result<()> {
        let rule = self.asked.live.rule(lookup.rule);
        self.rule(lookup.rule, out)?;
        writeln!(out, "key:      {}", lookup.key.text)?;
        if !lookup.key.form.is_empty() {
            writeln!(
                out,
                "spelling: unusual, so this request shares with its like only: {}",
                lookup.key.form
            )?;
        }
        writeln!(
            out,
            "selects:  among the key's answers, those of {}",
            lookup.host.trim()
        )?;
        let ttl = match (rule.policy.ttl, rule.policy.cache_control) {
            (None, _) => "as the answer says (RFC 9111 §4.2)".to_owned(),
            (Some(ttl), CacheControlMode::Respect) => {
                format!("{}, where the answer says nothing", show_duration(ttl))
            }
            (Some(ttl), CacheControlMode::Override) => {
                format!("{}, whatever the answer says", show_duration(ttl))
            }
        };
        writeln!(out, "ttl:      {ttl}")?;
        writeln!(out, "priority: {}", rule.priority().as_str())?;
        if !lookup.identity.covered() && !rule.policy.shared {
            let who = if lookup.identity.unkeyed_authorization {
                "Authorization"
            } else {
                "Cookie"
            };
            writeln!(
                out,
                "reason:   {}: the request has {who} and the key does not carry it, so it is answered from \
                 the store only if the answer says public or s-maxage; name it in the key, or say shared = true",
                Reason::Identity.as_str()
            )?;
        } else {
            writeln!(
                out,
                "answer:   from the store when something fresh is there, else from the app and stored"
            )?;
        }
        writeln!(out, "not stored when: {}", self.obstacles(lookup))?;
        self.purged_by(lookup, out)
    }

    /// What in an answer would forbid storing it under this rule.
    fn obstacles(&self, lookup: &Lookup) -> String {
        let policy = self.asked.live.rule(lookup.rule).policy;
        let despite = policy.despite;
        let mut obstacles = Vec::new();
        let mut unless = |lifted: bool, reason: Reason| {
            if !lifted {
                obstacles.push(reason.as_str());
            }
        };
        unless(despite.no_store, Reason::NoStore);
        unless(despite.private, Reason::Private);
        unless(despite.set_cookie, Reason::SetCookie);
        unless(false, Reason::VaryAny);
        unless(false, Reason::TooLarge);
        unless(false, Reason::Incomplete);
        obstacles.join(", ")
    }

    fn purged_by(&self, lookup: &Lookup, out: &mut dyn Write) -> std::io::Result<()> {
        let live = &self.asked.live;
        let mut found = false;
        for (index, rule) in live.config.purges.iter().enumerate() {
            // Bound to this GET rather than to a write, a purge template is as wide as it can be only
            // where a variable is absent; so every variable counts as absent here.
            if widest(live, index).covers(&lookup.key.text, &self.tags(lookup)) {
                found = true;
                let methods: Vec<&str> = rule.methods.iter().map(Method::as_str).collect();
                writeln!(
                    out,
                    "purged by: {} ({} {})",
                    rule.name,
                    methods.join("|"),
                    rule.path
                )?;
            }
        }
        if !found {
            writeln!(
                out,
                "purged by: no rule (a write to the same URL, the admin interface, and time)"
            )?;
        }
        Ok(())
    }

    fn tags(&self, lookup: &Lookup) -> Vec<String> {
        let live = &self.asked.live;
        let matched = plan::matched(live, self.asked.parts.uri.path());
        let params = matched.map(|(_, params)| params).unwrap_or_default();
        let templates = live.rule(lookup.rule).tags();
        let claims = plan::claims(&self.asked, templates.iter().any(|tag| tag.reads_jwt()));
        let mut scope = plan::scope(&self.asked, &params, claims.as_ref());
        scope.response = self.answer.as_ref();
        templates
            .iter()
            .filter_map(|tag| tag.render(&scope).ok())
            .map(|tag| tag.text)
            .collect()
    }

    fn write_effects(&self, effects: &Effects, out: &mut dyn Write) -> std::io::Result<()> {
        self.rule(effects.rule, out)?;
        writeln!(out, "answer:   from the app, not stored")?;
        writeln!(out, "reason:   {}", Reason::Method.as_str())?;
        let said = Said {
            body: self.body.as_ref(),
            answer: self.answer.as_ref(),
        };
        for index in &effects.purges {
            let (purge, absent) = effects::bind(&self.asked, *index, said, Extent::Any);
            let rule = &self.asked.live.config.purges[*index];
            writeln!(out, "on success, purge rule {}:", rule.name)?;
            for key in &purge.keys {
                writeln!(out, "  key {key}")?;
            }
            for tag in &purge.tags {
                writeln!(out, "  tag {tag}")?;
            }
            if absent > 0 {
                writeln!(
                    out,
                    "  ({absent} variable(s) absent from this write: any value matches there; give --body or --response)"
                )?;
            }
        }
        for key in effects::invalidated(&self.asked, StatusCode::OK, None) {
            writeln!(out, "on success, its own URL (RFC 9111 §4.4): key {key}")?;
        }
        Ok(())
    }

    fn remedy(&self, rule: Option<usize>, reason: Reason) -> String {
        match reason {
            Reason::NoRule => "no [[route]] matches the path; add one, or set [defaults] unmatched = \"rfc9111\"".into(),
            Reason::Disabled => "the rule says enabled = false".into(),
            Reason::UnkeyedQuery => {
                let route = self.asked.live.rule(rule).route;
                let field = route.and_then(|route| route.ignore_query.unkeyed(&route.key, self.asked.parts.uri.query()));
                let field = field.unwrap_or_default();
                format!("the key does not name the query field {field:?}; name it, or list it in ignore_query")
            }
            Reason::MissingVariable => self.missing(rule),
            Reason::AmbiguousPath => "the path can be read in two ways (%2F, %2E, //, ; or a broken escape)".into(),
            Reason::UnkeyedHeader => "a field such as X-Original-URL or a differing X-Forwarded-Host may change the answer".into(),
            Reason::RequestBody => "a GET with a body".into(),
            Reason::Method => "the method is neither GET nor HEAD, and changes nothing that a purge rule names".into(),
            other => other.as_str().into(),
        }
    }

    fn missing(&self, rule: Option<usize>) -> String {
        let live = &self.asked.live;
        let matched = plan::matched(live, self.asked.parts.uri.path());
        let params = matched.map(|(_, params)| params).unwrap_or_default();
        let template = live
            .rule(rule)
            .route
            .map_or(&live.default_key, |route| &route.key);
        let claims = plan::claims(&self.asked, template.reads_jwt());
        let query = plan::kept(live.rule(rule).route, self.asked.parts.uri.query());
        let mut scope = plan::scope(&self.asked, &params, claims.as_ref());
        scope.query = query.as_deref();
        match template.render(&scope) {
            Err(missing) => format!(
                "the request lacks {}; a default may be given as {{…|default}}",
                missing.0
            ),
            Ok(_) => String::new(),
        }
    }
}

/// A purge rule with every variable absent: all it could ever cover.
fn widest(live: &Arc<Live>, index: usize) -> Purge {
    let rule = &live.config.purges[index];
    let headers = http::HeaderMap::new();
    let scope = crate::routes::Scope {
        host: "",
        path: "/",
        query: None,
        headers: &headers,
        params: &[],
        claims: None,
        body: None,
        response: None,
    };
    let bind = |templates: &[crate::routes::Template]| {
        templates
            .iter()
            .map(|template| template.bind(&scope).0)
            .collect()
    };
    Purge {
        everything: false,
        keys: bind(&rule.keys),
        tags: bind(&rule.tags),
    }
}
