//! A rule's settings as `POST /explain` tells them, so that another config shows.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Coherence, EncodedSlash, Outage, Route, show_duration, show_size};
use crate::http_cache::{AppHeaders, CacheControlMode, Policy};
use crate::live::Rule;
use crate::routes::Conditions;

/// Each key of `[[route]]` that no other member of the account tells of, with its value in the file's
/// spelling; of `[defaults]` where no rule matches.
pub fn show(rule: Rule<'_>) -> BTreeMap<String, String> {
    let policy = rule.policy;
    let listed = |list: fn(&Route) -> &Vec<String>| {
        rule.route
            .map_or_else(String::new, |route| list(route).join(" "))
    };
    [
        ("mode", rule.settings.rollout.mode.as_str().to_owned()),
        ("percent", rule.settings.rollout.percent.to_string()),
        ("audit", rule.settings.audit.show()),
        ("ignore_fields", rule.settings.compared.show_ignored()),
        ("compare_fields", rule.settings.compared.show_fields()),
        ("ttl", show_time(policy.ttl)),
        ("priority", rule.settings.priority.as_str().to_owned()),
        ("methods", rule.route.map_or_else(String::new, show_methods)),
        ("when", show_conditions(rule, |route| &route.when)),
        ("unless", show_conditions(rule, |route| &route.unless)),
        ("tags", listed(|route| &route.tags_text)),
        ("ignore_cookies", rule.settings.ignore_cookies.join(" ")),
        ("shared_by", listed(|route| &route.shared_by)),
        ("statuses", show_statuses(policy)),
        ("max_body", show_size(rule.settings.max_body as u64)),
        ("compress", rule.settings.compress.to_string()),
        ("app_headers", show_app_headers(policy).to_owned()),
        ("cache_control", show_mode(policy).to_owned()),
        ("store_despite", show_despite(policy)),
        ("shared", policy.shared.to_string()),
        (
            "require",
            rule.settings
                .require
                .map_or_else(String::new, |require| require.as_str().to_owned()),
        ),
        ("vary", show_vary(policy)),
        ("languages", policy.variation.languages.join(" ")),
        ("encodings", policy.variation.encodings.join(" ")),
        ("cors", show_cors(policy).to_owned()),
        ("max_variants", rule.settings.max_variants.to_string()),
        (
            "client_cache_control",
            rule.settings.client_cache_control.as_str().to_owned(),
        ),
        ("downstream", show_downstream(rule)),
        ("store_when", rule.settings.store_when.to_string()),
        ("tag_fields", show_tag_fields(policy)),
        (
            "strip_tag_fields",
            rule.settings.strips_tag_fields.to_string(),
        ),
        ("close_delimited", rule.settings.close_delimited.to_string()),
        ("encoded_slash", show_encoded_slash(rule).to_owned()),
        (
            "stale_while_revalidate",
            show_time(policy.stale_while_revalidate),
        ),
        ("stale_if_error", show_time(policy.stale_if_error)),
        ("refresh_ahead", rule.settings.refresh_ahead.to_string()),
        ("error_ttl", show_duration(policy.error_ttl)),
        ("coherence", show_coherence(rule).to_owned()),
        ("outage", show_outage(rule).to_owned()),
        ("max_fills", rule.max_fills().to_string()),
        ("abandoned", rule.settings.abandoned.as_str().to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn show_time(time: Option<Duration>) -> String {
    time.map_or("as the answer says".to_owned(), show_duration)
}

fn show_statuses(policy: &Policy) -> String {
    let Some(statuses) = &policy.statuses else {
        return "as RFC 9111 allows".to_owned();
    };
    let numbers: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
    numbers.join(" ")
}

fn show_app_headers(policy: &Policy) -> &'static str {
    match policy.app_headers {
        AppHeaders::Respect => "respect",
        AppHeaders::Ignore => "ignore",
    }
}

fn show_vary(policy: &Policy) -> String {
    let Some(only) = &policy.variation.only else {
        return "as the answer says".to_owned();
    };
    let names: Vec<&str> = only.iter().map(|name| name.as_str()).collect();
    names.join(" ")
}

fn show_tag_fields(policy: &Policy) -> String {
    let names: Vec<&str> = policy.tag_fields.iter().map(|name| name.as_str()).collect();
    names.join(" ")
}

fn show_cors(policy: &Policy) -> &'static str {
    match policy.variation.by_origin {
        true => "vary",
        false => "app",
    }
}

fn show_mode(policy: &Policy) -> &'static str {
    match policy.cache_control {
        CacheControlMode::Respect => "respect",
        CacheControlMode::Override => "override",
    }
}

fn show_despite(policy: &Policy) -> String {
    policy.despite.words().join(" ")
}

fn show_downstream(rule: Rule<'_>) -> String {
    let value = rule.settings.downstream.as_ref();
    value.map_or("as the app says".to_owned(), |value| {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    })
}

fn show_encoded_slash(rule: Rule<'_>) -> &'static str {
    match rule.settings.encoded_slash {
        EncodedSlash::Pass => "pass",
        EncodedSlash::Data => "data",
    }
}

fn show_coherence(rule: Rule<'_>) -> &'static str {
    match rule.settings.coherence {
        Coherence::Tracked => "tracked",
        Coherence::Strict => "strict",
    }
}

fn show_methods(route: &Route) -> String {
    let methods: Vec<&str> = route.methods.iter().map(|method| method.as_str()).collect();
    methods.join(" ")
}

fn show_conditions(rule: Rule<'_>, of: fn(&Route) -> &Conditions) -> String {
    rule.route
        .map_or_else(String::new, |route| of(route).to_string())
}

fn show_outage(rule: Rule<'_>) -> &'static str {
    match rule.settings.outage {
        Some(Outage::Serve) => "serve",
        Some(Outage::Pass) => "pass",
        None => "as redis.outage says",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::admin::explain::tests::live;
    use crate::config::fields::section;

    /// Keys that another member of the account tells of, and which.
    const TOLD_OTHERWISE: [(&str, &str); 7] = [
        ("name", "rule"),
        ("path", "selects, and rule"),
        ("key", "key"),
        ("ignore_query", "key, or reason = unkeyed-query"),
        ("any_host", "selects, which then names no host"),
        ("enabled", "mode, which is the newer word"),
        (
            "acknowledge",
            "check, which counts it: it changes no answer",
        ),
    ];

    #[test]
    fn every_key_of_a_route_is_told() {
        let live = live("[upstream]\nurl = \"http://a\"\n[[route]]\npath = \"/\"\n");
        let route = section("route").expect("there are routes");
        let keys: BTreeSet<&str> = route.fields().map(|field| field.key).collect();
        for rule in [Some(0), None] {
            let settings = show(live.rule(rule));
            let settings = settings.keys().map(String::as_str);
            let told: Vec<&str> = settings.chain(TOLD_OTHERWISE.map(|(key, _)| key)).collect();
            let once: BTreeSet<&str> = told.iter().copied().collect();
            assert_eq!(once, keys, "told, and keys of [[route]]");
            assert_eq!(told.len(), once.len(), "told twice: {told:?}");
        }
    }
}
