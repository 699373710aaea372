//! `pannier alerts`: the thresholds of a config as rules for Prometheus.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::config::{Alerts, Config, Env};
use crate::http_cache::{Outcome, Reason};
use crate::rollout::Verdict;

/// One rule.
struct Rule {
    name: &'static str,
    expression: String,
    /// For how long it has to hold.
    lasting: &'static str,
    severity: &'static str,
    summary: String,
}

/// Prints the rules of the config in `file`: its `[alerts]`, and what is amiss whatever the thresholds.
pub fn alerts(file: &Path, env: &Env, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let config = Config::load(file, env)?.config;
    out.write_all(write_rules(&config).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn write_rules(config: &Config) -> String {
    let tier = if config.redis.is_some() {
        "redis"
    } else {
        "memory"
    };
    let mut rules = rules_of_thresholds(&config.alerts, tier);
    if config.redis.is_some() {
        rules.extend(rules_of_redis());
    }
    rules.push(rule_of_failures());
    let mut text =
        "# Made by `pannier alerts`.\ngroups:\n  - name: pannier\n    rules:\n".to_owned();
    for rule in rules {
        text += &format!(
            "      - alert: {}\n        expr: {}\n        for: {}\n        labels:\n          severity: {}\n        \
             annotations:\n          summary: {}\n",
            rule.name,
            quote(&rule.expression),
            rule.lasting,
            rule.severity,
            quote(&rule.summary),
        );
    }
    text
}

/// A scalar of YAML in single quotes.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn rules_of_thresholds(alerts: &Alerts, tier: &str) -> Vec<Rule> {
    let of_tier = |metric: &str| format!("sum by (instance) ({metric}{{tier=\"{tier}\"}})");
    let memory = alerts.memory_percent.filter(|_| tier == "redis").map(|most| Rule {
        name: "PannierMemoryHigh",
        expression: format!(
            "100 * {} / {} > {most}",
            of_tier("pannier_store_bytes"),
            of_tier("pannier_store_limit_bytes")
        ),
        lasting: "2m",
        severity: "warning",
        summary: format!(
            "Pannier uses {{{{ $value | printf \"%.1f\" }}}} % of what it may use in Redis (threshold {most} %)"
        ),
    });
    // Each sidecar counts what it has leave; what is in Redis is of all of them.
    let whose = match tier {
        "redis" => "job",
        _ => "instance",
    };
    let evictions = alerts.evictions_per_hour.map(|most| Rule {
        name: "PannierEvictions",
        expression: format!(
            "sum by ({whose}) (increase(pannier_evictions_total{{tier=\"{tier}\"}}[1h])) > {most}"
        ),
        lasting: "0m",
        severity: "warning",
        summary: format!(
            "{{{{ $value | printf \"%.0f\" }}}} entries left for space in the last hour (threshold {most})"
        ),
    });
    let keys = alerts.keys.map(|most| Rule {
        name: "PannierKeys",
        expression: format!("{} > {most}", of_tier("pannier_store_entries")),
        lasting: "2m",
        severity: "warning",
        summary: format!("{{{{ $value | printf \"%.0f\" }}}} keys are stored (threshold {most})"),
    });
    let hit_rate = alerts.hit_rate_percent.map(|least| Rule {
        name: "PannierHitRateLow",
        expression: format!(
            "100 * ({hits} or 0 * {lookups}) / {lookups} < {least} and {lookups} >= 100",
            hits = requests_in_an_hour(&words(|outcome| outcome == Outcome::Hit)),
            lookups = requests_in_an_hour(
                &words(|outcome| !matches!(outcome, Outcome::Pass | Outcome::Failure))
            ),
        ),
        lasting: "5m",
        severity: "warning",
        summary: format!(
            "The hit rate of the last hour is {{{{ $value | printf \"%.1f\" }}}} % (threshold {least} %)"
        ),
    });
    let stale = alerts.stale_per_hour.map(|least| Rule {
        name: "PannierStaleFound",
        expression: format!(
            "sum by (instance) (increase(pannier_audit_total{{result=\"{}\"}}[1h])) >= {least}",
            Verdict::Stale.as_str()
        ),
        lasting: "0m",
        severity: "warning",
        summary: format!(
            "Audits found {{{{ $value | printf \"%.0f\" }}}} answers in the last hour that were not as the app says (threshold {least})"
        ),
    });
    [memory, evictions, keys, hit_rate, stale]
        .into_iter()
        .flatten()
        .collect()
}

fn rules_of_redis() -> [Rule; 2] {
    [
        Rule {
            name: "PannierRedisDown",
            expression: "pannier_redis_up == 0".into(),
            lasting: "1m",
            severity: "warning",
            summary: "Pannier cannot use Redis; memory and the app serve meanwhile".into(),
        },
        Rule {
            name: "PannierConfigsDiffer",
            expression: "max by (job) (pannier_config_hash) != min by (job) (pannier_config_hash)"
                .into(),
            lasting: "10m",
            severity: "warning",
            summary: "Sidecars of one job run with different configs".into(),
        },
    ]
}

fn rule_of_failures() -> Rule {
    // Malformed requests are whoever sends them: they say nothing of the sidecar or the app.
    let malformed = Reason::BadRequest;
    let failed = Reason::ALL
        .into_iter()
        .filter(|reason| reason.outcome() == Outcome::Failure && *reason != malformed);
    let failures = requests_in_minutes("=~", &list_words(failed));
    let all = requests_in_minutes("!=", malformed.as_str());
    Rule {
        name: "PannierFailures",
        expression: format!("100 * {failures} / {all} >= 5 and {all} >= 10"),
        lasting: "1m",
        severity: "critical",
        summary: "{{ $value | printf \"%.1f\" }} % of the requests of five minutes failed".into(),
    }
}

fn requests_in_an_hour(words: &str) -> String {
    format!("sum by (instance) (increase(pannier_requests_total{{reason=~\"{words}\"}}[1h]))")
}

fn requests_in_minutes(operator: &str, words: &str) -> String {
    format!(
        "sum by (instance) (increase(pannier_requests_total{{reason{operator}\"{words}\"}}[5m]))"
    )
}

/// The words of all reasons of such an outcome.
fn words(is_meant: impl Fn(Outcome) -> bool) -> String {
    let reasons = Reason::ALL.into_iter();
    list_words(reasons.filter(|reason| is_meant(reason.outcome())))
}

fn list_words(reasons: impl Iterator<Item = Reason>) -> String {
    reasons.map(Reason::as_str).collect::<Vec<_>>().join("|")
}
