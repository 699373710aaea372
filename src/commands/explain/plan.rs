//! What the file alone says of a request: rule, key, what forbids caching, what would purge it, what it
//! would purge.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::Value;

use super::show::Line;
use crate::admin::explain::show_settings;
use crate::agenda::Source;
use crate::config::{PurgeRule, show_duration};
use crate::http_cache::{CacheControlMode, Policy, Reason};
use crate::live::{Live, Rule};
use crate::proxy::obstacles::Obstacle;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::{self, Effects, Lookup, Plan};
use crate::proxy::request::variables;
use crate::proxy::write::effects::{self, MissingVariable, TemplateBodies};
use crate::proxy::write::judge;
use crate::routes::template::Source as TemplateSource;
use crate::routes::{Purge, PurgeKind, json};

/// A request, with the JSON of both sides as far as it is given.
pub(super) struct Explanation {
    /// What of the request is in the way of a hit.
    pub(super) in_the_way: Vec<Obstacle>,
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
            Plan::Cache(lookup) | Plan::Shadow(lookup) => self.explain_lookup(&lookup, &mut lines),
            Plan::Pass { rule, reason } => {
                let first = self.in_the_way.first();
                let what = first.map_or("", |obstacle| obstacle.what.as_str());
                let remedy = format!("{}: {what}", reason.as_str());
                lines.push(self.rule(rule));
                lines.push(Line::new("answer", "from the app, not stored"));
                lines.push(Line::new("reason", remedy));
            }
            Plan::Write(effects) => self.explain_write(&effects, &mut lines),
            Plan::Purge => {
                let answer =
                    "from Pannier itself: with the token what it names is purged, without it 403";
                lines.push(Line::new("answer", answer));
                lines.push(Line::new("reason", Reason::PurgeMethod.as_str()));
            }
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
            Some(route) if route.reads_bodies() => {
                let methods: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
                format!("{} ({} {})", route.name, methods.join("|"), route.path)
            }
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
        self.add_keys(lookup, lines);
        let selects = format!("among the key's answers, those of {}", lookup.selects());
        lines.push(Line::new("selects", selects));
        lines.push(Line::new("ttl", show_ttl(rule.policy)));
        lines.push(Line::new("priority", rule.settings.priority.as_str()));
        lines.extend(list_inherited(rule));
        lines.extend(self.jobs(lookup));
        lines.push(self.answer_line());
        lines.push(Line::new("not stored when", self.list_obstacles(lookup)));
        self.add_purging_rules(lookup, lines);
    }

    /// The jobs that fetch it, or may.
    fn jobs(&self, lookup: &Lookup) -> Option<Line> {
        let asked = self.asked.parts.uri.path_and_query()?.as_str();
        let warms = self.asked.live.config.warms.iter();
        let fetching = warms.filter(|warm| match &warm.source {
            Source::Listed(urls) => urls.iter().any(|url| url == asked),
            Source::From { list, each } => list == asked || each.may_name(asked),
        });
        let origin = format!("{}://{}", self.asked.scheme(), self.asked.host);
        let is_by_host = self.is_by_host(lookup);
        let names = fetching.map(|warm| {
            let when = warm.timing.as_ref().map(|timing| timing.show());
            let start = warm.on_start.then(|| "at the start".to_owned());
            let of_list = match &warm.source {
                Source::From { list, .. } if list != asked => Some(format!("if {list} names it")),
                _ => None,
            };
            let is_elsewhere = is_by_host && warm.origin != origin;
            let elsewhere = is_elsewhere.then(|| format!("for {} alone", warm.origin));
            let when = start.into_iter().chain(when).chain(of_list);
            let when: Vec<String> = when.chain(elsewhere).collect();
            match when.is_empty() {
                true => warm.name.clone(),
                false => format!("{} ({})", warm.name, when.join(", ")),
            }
        });
        let names: Vec<String> = names.collect();
        (!names.is_empty()).then(|| Line::new("job", names.join(", ")))
    }

    /// Whether what is stored for one host answers no other.
    fn is_by_host(&self, lookup: &Lookup) -> bool {
        let rule = self.asked.live.rule(lookup.rule);
        let mut sources = rule.route.into_iter().flat_map(|route| route.key.sources());
        !rule.settings.any_host || sources.any(|source| *source == TemplateSource::Host)
    }

    /// Whether what is stored may answer, or which credential forbids it.
    fn answer_line(&self) -> Line {
        let keeps_from_answering =
            |obstacle: &&Obstacle| matches!(obstacle.reason, Reason::Identity | Reason::Shadow);
        match self.in_the_way.iter().find(keeps_from_answering) {
            Some(obstacle) => {
                let text = format!("{}: {}", obstacle.reason.as_str(), obstacle.what);
                Line::new("reason", text)
            }
            None => {
                let text =
                    "from the store when something fresh is there, else from the app and stored";
                Line::new("answer", text)
            }
        }
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
        unless(despite.set_cookie, Reason::Token);
        unless(false, Reason::VaryAny);
        unless(false, Reason::TooLarge);
        unless(false, Reason::Incomplete);
        obstacles.join(", ")
    }

    /// Who verifies the token that the key is made of; a URL is asked by the running sidecar alone.
    fn add_keys(&self, lookup: &Lookup, lines: &mut Vec<Line>) {
        let live = &self.asked.live;
        let route = live.rule(lookup.rule).route;
        if !route.is_some_and(|route| route.key.reads_jwt()) {
            return;
        }
        let origin = live.config.jwt.as_ref().map(|jwt| &jwt.origin);
        lines.extend(origin.map(|origin| Line::new("token keys", format!("from {origin}"))));
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
        let matched =
            variables::match_route(live, &self.asked.parts.method, self.asked.parts.uri.path());
        let params = matched.map(|(_, params)| params).unwrap_or_default();
        let templates = live.rule(lookup.rule).tags();
        let claims =
            variables::verified_claims(&self.asked, templates.iter().any(|tag| tag.reads_jwt()));
        let mut scope = variables::template_scope(&self.asked, &params, claims.as_deref());
        scope.response = self.answer.as_ref();
        templates
            .iter()
            .filter_map(|tag| tag.tags(&scope).ok())
            .flatten()
            .collect()
    }

    fn explain_write(&self, effects: &Effects, lines: &mut Vec<Line>) {
        lines.push(self.rule(effects.rule));
        lines.push(Line::new("answer", "from the app, not stored"));
        lines.push(Line::new("reason", Reason::Method.as_str()));
        let unknown = json::unknown();
        let said = TemplateBodies {
            body: self.body.as_ref(),
            answer: self.answer.as_ref(),
            before: Some(&unknown),
        };
        // What is not given may be anything: no rule is left out for it.
        let given = TemplateBodies {
            body: said.body.or(Some(&unknown)),
            answer: said.answer.or(Some(&unknown)),
            ..said
        };
        let judgement = judge::judge(&self.asked, effects, given, None);
        for index in &judgement.others {
            let rule = &self.asked.live.config.purges[*index];
            let text = format!(
                "nothing by purge rule {}{}",
                rule.name,
                show_conditions(rule)
            );
            lines.push(Line::new("purges", text));
        }
        for index in &judgement.rules {
            let effects::BoundRule { purge, absent, .. } =
                effects::bind(&self.asked, *index, said, MissingVariable::MatchesAny);
            let rule = &self.asked.live.config.purges[*index];
            let name = format!("{}{}", rule.name, show_conditions(rule));
            let mut purges = |text: String| {
                let softly = match purge.kind {
                    PurgeKind::Hard => "",
                    PurgeKind::Soft => ", softly",
                };
                let text = format!("on success, by purge rule {name}{softly}: {text}");
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
            for after in &self.asked.live.config.purges[*index].again_after {
                purges(format!("all of it again after {}", show_duration(*after)));
            }
            if let Some(refetch) = self.asked.live.config.purges[*index].refetch {
                let (max, delay) = (refetch.max, show_duration(refetch.delay));
                purges(format!(
                    "and of that at most {max} keys that were read are asked for again after {delay}"
                ));
            }
            if absent > 0 {
                purges(format!(
                    "{absent} variable(s) absent from this write: any value matches there; \
                     give --body or --response"
                ));
            }
        }
        if !judgement.is_write {
            let text = "nothing else: by its purge rules it is no write";
            return lines.push(Line::new("purges", text));
        }
        let answers = effects::Answers::of_write(&self.asked, &judgement.rules);
        for key in effects::invalidated(&self.asked, StatusCode::OK, None, answers) {
            let text = format!("on success, its own URL (RFC 9111 §4.4): key {key}");
            lines.push(Line::new("purges", text));
        }
    }
}

/// ` (when body.query = …; unless …; statuses 200, 201)`
fn show_conditions(rule: &PurgeRule) -> String {
    let mut conditions = Vec::new();
    if !rule.when.is_empty() {
        conditions.push(format!("when {}", rule.when));
    }
    if !rule.unless.is_empty() {
        conditions.push(format!("unless {}", rule.unless));
    }
    if let Some(statuses) = &rule.statuses {
        let statuses: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
        conditions.push(format!("statuses {}", statuses.join(", ")));
    }
    match conditions.is_empty() {
        true => String::new(),
        false => format!(" ({})", conditions.join("; ")),
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
        spelling: live.config.upstream.spelling(),
        query: None,
        headers: &headers,
        params: &[],
        claims: None,
        auth: None,
        body_digest: None,
        body: None,
        response: None,
        before: None,
    };
    let bind = |templates: &[crate::routes::Template]| {
        templates
            .iter()
            .flat_map(|template| template.bind(&scope).patterns)
            .collect()
    };
    Purge {
        kind: rule.kind,
        everything: false,
        keys: bind(&rule.keys),
        tags: bind(&rule.tags),
    }
}
