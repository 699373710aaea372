//! What the file alone says of a request: rule, key, what forbids caching, what would purge it, what it
//! would purge.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::Value;

use super::show::Line;
use crate::admin::explain::show_settings;
use crate::config::show_duration;
use crate::http_cache::{CacheControlMode, Policy, Reason};
use crate::live::{Live, Rule};
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::{self, Effects, Lookup, Plan};
use crate::proxy::request::{overrides, variables};
use crate::proxy::write::effects::{self, MissingVariable, TemplateBodies};
use crate::routes::Purge;

/// A request, with the JSON of both sides as far as it is given.
pub(super) struct Explanation {
    pub(super) asked: RequestContext,
    pub(super) body: Option<Value>,
    pub(super) answer: Option<Value>,
}

impl Explanation {
    /// All of it, in the order of a request's life.
    pub(super) fn explain(&self) -> Vec<Line> {
        let parts = &self.asked.parts;
        let request = format!(
            "{} {} for host {}",
            parts.method, parts.uri, self.asked.host
        );
        let mut lines = vec![Line::new("request", request)];
        match plan::plan(&self.asked) {
            Plan::Cache(lookup) => self.explain_lookup(&lookup, &mut lines),
            Plan::Pass { rule, reason } => {
                let remedy = format!("{}: {}", reason.as_str(), self.suggest(rule, reason));
                lines.push(self.rule(rule));
                lines.push(Line::new("answer", "from the app, not stored"));
                lines.push(Line::new("reason", remedy));
            }
            Plan::Write(effects) => self.explain_write(&effects, &mut lines),
            Plan::Upgrade { rule } => {
                let answer = "from the app; the connection is handed over after its 101";
                lines.push(self.rule(rule));
                lines.push(Line::new("answer", answer));
                lines.push(Line::new("reason", Reason::Upgrade.as_str()));
            }
        }
        lines
    }

    fn rule(&self, rule: Option<usize>) -> Line {
        let text = match self.asked.live.rule(rule).route {
            Some(route) => format!("{} ({})", route.name, route.path),
            None => "none".to_owned(),
        };
        Line::new("rule", text)
    }

    fn explain_lookup(&self, lookup: &Lookup, lines: &mut Vec<Line>) {
        let rule = self.asked.live.rule(lookup.rule);
        lines.push(self.rule(lookup.rule));
        lines.push(Line::new("key", lookup.key.text.as_str()));
        if !lookup.key.form.is_empty() {
            let text = format!(
                "unusual, so this request shares with its like only: {}",
                lookup.key.form
            );
            lines.push(Line::new("spelling", text));
        }
        let selects = format!("among the key's answers, those of {}", lookup.selects());
        lines.push(Line::new("selects", selects));
        lines.push(Line::new("ttl", show_ttl(rule.policy)));
        lines.push(Line::new("priority", rule.settings.priority.as_str()));
        lines.extend(list_inherited(rule));
        lines.push(self.answer_line(lookup, rule));
        lines.push(Line::new("not stored when", self.list_obstacles(lookup)));
        self.add_purging_rules(lookup, lines);
    }

    /// Whether what is stored may answer, or which credential forbids it and what would lift that.
    fn answer_line(&self, lookup: &Lookup, rule: Rule<'_>) -> Line {
        if lookup.identity.covered() || rule.policy.shared {
            let text = "from the store when something fresh is there, else from the app and stored";
            return Line::new("answer", text);
        }
        let claims = variables::verified_claims(&self.asked, true);
        let unkeyed = plan::find_unkeyed(&self.asked, rule.route, claims.as_ref());
        let (what, remedy) = match (unkeyed.header, unkeyed.cookie) {
            (Some(name), _) => (
                name.to_string(),
                format!("put {{header.{name}}} into the key"),
            ),
            (None, Some(name)) => {
                let name = String::from_utf8_lossy(name);
                let remedy = format!(
                    "put {{cookie.{name}}} into the key, or write ignore_cookies = [\"{name}\"] if it \
                     changes no answer"
                );
                (format!("the cookie {name}"), remedy)
            }
            (None, None) => ("a credential".to_owned(), "name it in the key".to_owned()),
        };
        let text = format!(
            "{}: the request has {what} and the key does not carry it, so it is answered from the store \
             only if the answer says public or s-maxage; {remedy}; or say shared = true",
            Reason::Identity.as_str()
        );
        Line::new("reason", text)
    }

    /// What in an answer would forbid storing it under this rule.
    fn list_obstacles(&self, lookup: &Lookup) -> String {
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

    fn add_purging_rules(&self, lookup: &Lookup, lines: &mut Vec<Line>) {
        let live = &self.asked.live;
        let before = lines.len();
        for (index, rule) in live.config.purges.iter().enumerate() {
            // Bound to this GET rather than to a write, a purge template is as wide as it can be only
            // where a variable is absent; so every variable counts as absent here.
            if bind_widest(live, index).covers(&lookup.key.text, &self.render_tags(lookup)) {
                let methods: Vec<&str> = rule.methods.iter().map(Method::as_str).collect();
                let text = format!("{} ({} {})", rule.name, methods.join("|"), rule.path);
                lines.push(Line::new("purged by", text));
            }
        }
        if lines.len() == before {
            let text = "no rule (a write to the same URL, the admin interface, and time)";
            lines.push(Line::new("purged by", text));
        }
    }

    fn render_tags(&self, lookup: &Lookup) -> Vec<String> {
        let live = &self.asked.live;
        let matched = variables::match_route(live, self.asked.parts.uri.path());
        let params = matched.map(|(_, params)| params).unwrap_or_default();
        let templates = live.rule(lookup.rule).tags();
        let claims =
            variables::verified_claims(&self.asked, templates.iter().any(|tag| tag.reads_jwt()));
        let mut scope = variables::template_scope(&self.asked, &params, claims.as_ref());
        scope.response = self.answer.as_ref();
        templates
            .iter()
            .filter_map(|tag| tag.render(&scope).ok())
            .map(|tag| tag.text)
            .collect()
    }

    fn explain_write(&self, effects: &Effects, lines: &mut Vec<Line>) {
        lines.push(self.rule(effects.rule));
        lines.push(Line::new("answer", "from the app, not stored"));
        lines.push(Line::new("reason", Reason::Method.as_str()));
        let said = TemplateBodies {
            body: self.body.as_ref(),
            answer: self.answer.as_ref(),
        };
        for index in &effects.purges {
            let (purge, absent) =
                effects::bind(&self.asked, *index, said, MissingVariable::MatchesAny);
            let name = &self.asked.live.config.purges[*index].name;
            let mut purges = |text: String| {
                let text = format!("on success, by purge rule {name}: {text}");
                lines.push(Line::new("purges", text));
            };
            purge
                .keys
                .iter()
                .for_each(|key| purges(format!("key {key}")));
            purge
                .tags
                .iter()
                .for_each(|tag| purges(format!("tag {tag}")));
            if absent > 0 {
                purges(format!(
                    "{absent} variable(s) absent from this write: any value matches there; \
                     give --body or --response"
                ));
            }
        }
        for key in effects::invalidated(&self.asked, StatusCode::OK, None) {
            let text = format!("on success, its own URL (RFC 9111 §4.4): key {key}");
            lines.push(Line::new("purges", text));
        }
    }

    fn suggest(&self, rule: Option<usize>, reason: Reason) -> String {
        match reason {
            Reason::NoRule => {
                "no [[route]] matches the path; add one, or set [defaults] unmatched = \"rfc9111\""
                    .into()
            }
            Reason::Disabled => "the rule says enabled = false".into(),
            Reason::UnkeyedQuery => {
                let rule = self.asked.live.rule(rule);
                let key = rule
                    .route
                    .map_or(&self.asked.live.default_key, |route| &route.key);
                let query = self.asked.parts.uri.query();
                let field = rule.settings.ignore_query.find_unkeyed(key, query);
                let field = field.unwrap_or_default();
                format!(
                    "the key does not name the query field {field:?}; name it, or list it in ignore_query"
                )
            }
            Reason::MissingVariable => self.name_missing(rule),
            Reason::AmbiguousPath => {
                "the path can be read in two ways (%2F, %2E, //, ; or a broken escape)".into()
            }
            Reason::AmbiguousRule => self.other_rule(rule),
            Reason::UnkeyedHeader => {
                let route = self.asked.live.rule(rule).route;
                let keyed = plan::keyed_credentials(&self.asked, route);
                let name = overrides::find_unkeyed(&self.asked, keyed);
                let name = name.as_ref().map_or("a header field", |name| name.as_str());
                format!(
                    "{name} may make the app answer something else than the request line says; a gateway that \
                     sends it is named by [listen] trusted_proxies, or put {{header.{name}|}} into the key"
                )
            }
            Reason::RequestBody => "a GET with a body".into(),
            Reason::Method => {
                "the method is neither GET nor HEAD, and changes nothing that a purge rule names"
                    .into()
            }
            other => other.as_str().into(),
        }
    }

    fn other_rule(&self, rule: Option<usize>) -> String {
        let live = &self.asked.live;
        let other = live
            .config
            .lenient
            .find_other(self.asked.parts.uri.path(), rule);
        let other = live.rule(other).name().unwrap_or_default();
        format!(
            "an app that decodes, trims or folds the path, or takes a suffix off it, would answer what rule \
             {other} is about; write the path as that rule has it"
        )
    }

    fn name_missing(&self, rule: Option<usize>) -> String {
        let live = &self.asked.live;
        let matched = variables::match_route(live, self.asked.parts.uri.path());
        let params = matched.map(|(_, params)| params).unwrap_or_default();
        let template = live
            .rule(rule)
            .route
            .map_or(&live.default_key, |route| &route.key);
        let claims = variables::verified_claims(&self.asked, template.reads_jwt());
        let query = variables::keyed_query(live, rule, self.asked.parts.uri.query());
        let mut scope = variables::template_scope(&self.asked, &params, claims.as_ref());
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

/// The settings that the route has of its groups or of the defaults, each with its value and where it stands.
fn list_inherited(rule: Rule<'_>) -> Option<Line> {
    rule.route?;
    let values = show_settings(rule);
    let origins = rule.settings.origins.iter().map(|(key, table)| {
        let value = values.get(*key).map_or("", String::as_str);
        format!("{key} = {value} of {table}")
    });
    let inherited = origins.collect::<Vec<_>>().join("; ");
    (!inherited.is_empty()).then(|| Line::new("inherits", inherited))
}

fn show_ttl(policy: &Policy) -> String {
    match (policy.ttl, policy.cache_control) {
        (None, _) => "as the answer says (RFC 9111 §4.2)".to_owned(),
        (Some(ttl), CacheControlMode::Respect) => {
            format!("{}, where the answer says nothing", show_duration(ttl))
        }
        (Some(ttl), CacheControlMode::Override) => {
            format!("{}, whatever the answer says", show_duration(ttl))
        }
    }
}

/// A purge rule with every variable absent: all it could ever cover.
fn bind_widest(live: &Arc<Live>, index: usize) -> Purge {
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
