//! `pannier tune`: what running sidecars have seen of each route, and what of the file that speaks for.

mod edit;
mod replace;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use http::Method;
use serde_json::json;

use super::admin_address::AdminAddress;
use super::ask_sidecar::{self, Question};
use crate::cli;
use crate::config::{Config, Env, Route};
use crate::observe::{Edit, Report, RuleFacts, RuleReport, Suggestion, show_bytes, suggest};
use crate::rollout::Mode;

/// What was seen for less is not told by the hour.
const LEAST_SECONDS: u64 = 600;

/// Asks the sidecars, prints what they say and what to do, and does it if that is wanted.
pub fn tune(args: &cli::Tune, env: &Env, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let file = &args.config;
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let config = Config::parse(&text, &file.display().to_string(), env)?.config;
    let report = ask_all(args, &config)?;
    let facts: Vec<RuleFacts> = config.routes.iter().map(facts_of).collect();
    let suggestions = suggest(&report, &facts);
    match args.json {
        true => {
            let all = json!({ "observed": report, "suggestions": suggestions });
            writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        }
        false => print(&report, &facts, &suggestions, out)?,
    }
    if args.write {
        let may_write = |one: &Suggestion| {
            let edit = one.edit.as_ref();
            edit.is_some_and(|edit| args.ignore_query || !edit.is_of_sharing())
        };
        let (written, left): (Vec<_>, Vec<_>) = suggestions.into_iter().partition(may_write);
        write(&text, &config, &written, args, env)?;
        if !args.json {
            tell_written(file, &written, &left, out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(
    text: &str,
    config: &Config,
    suggestions: &[Suggestion],
    args: &cli::Tune,
    env: &Env,
) -> anyhow::Result<()> {
    if suggestions.is_empty() {
        return Ok(());
    }
    let file = &args.config;
    let routes = config.routes.iter();
    let names: Vec<&str> = routes.map(|route| route.name.as_str()).collect();
    let changed = edit::apply(text, &names, suggestions)?;
    // Never a file that would not be taken.
    Config::parse(&changed, &file.display().to_string(), env)?;
    replace::replace(file, text, &changed).with_context(|| file.display().to_string())
}

fn tell_written(
    file: &Path,
    written: &[Suggestion],
    left: &[Suggestion],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if !written.is_empty() {
        let file = file.display();
        writeln!(
            out,
            "\n{file} is changed; sidecars that follow it have it now"
        )?;
    }
    let is_of_sharing = |one: &Suggestion| one.edit.as_ref().is_some_and(Edit::is_of_sharing);
    if left.iter().any(is_of_sharing) {
        writeln!(
            out,
            "\nnot written: ignore_query, since requests share an answer by it: look at what it names, then add --ignore-query"
        )?;
    }
    Ok(())
}

/// What all of them say together.
fn ask_all(args: &cli::Tune, config: &Config) -> anyhow::Result<Report> {
    let admins = match args.admin.as_slice() {
        [] => vec![AdminAddress::of(config)?],
        given => given
            .iter()
            .map(|url| AdminAddress::parse(url))
            .collect::<Result<_, _>>()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tokens = &config.admin;
    let token = tokens.token.as_deref().or(tokens.read_token.as_deref());
    let mut all = Report::default();
    for admin in admins {
        let question = Question {
            method: Method::GET,
            path: "/observations",
            token,
            body: Vec::new(),
        };
        match runtime.block_on(ask_sidecar::ask::<Report>(&admin, question)) {
            Ok(report) => all.add(report),
            Err(error) => bail!("the sidecar at {}: {error}", admin.url()),
        }
    }
    Ok(all)
}

fn facts_of(route: &Route) -> RuleFacts {
    let settings = &route.settings;
    let vary = settings.policy.variation.only.as_ref();
    RuleFacts {
        name: route.name.clone(),
        ttl: settings.policy.ttl.unwrap_or_default().as_secs_f64(),
        max_body: settings.max_body as u64,
        priority: settings.priority.as_str(),
        vary: vary.map(|names| names.iter().map(|name| name.as_str().to_owned()).collect()),
        route_key: route.key.clone(),
        ignore_query: settings.ignore_query.clone(),
        is_off: settings.rollout.mode == Mode::Off,
    }
}

fn print(
    report: &Report,
    facts: &[RuleFacts],
    suggestions: &[Suggestion],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    writeln!(out, "seen for {} s", report.seconds)?;
    for rule in facts {
        match report.rules.get(&rule.name) {
            Some(seen) => print_rule(report, &rule.name, seen, out)?,
            None => writeln!(out, "\n{}: no request yet", rule.name)?,
        }
        for suggestion in suggestions.iter().filter(|one| one.rule == rule.name) {
            let line = match &suggestion.edit {
                Some(edit) => edit::line(edit),
                None => "by hand".to_owned(),
            };
            writeln!(out, "  -> {line}")?;
            writeln!(
                out,
                "     {} (sample {})",
                suggestion.why, suggestion.sample
            )?;
            writeln!(out, "     gain: {}", suggestion.gain)?;
        }
    }
    if suggestions.is_empty() {
        writeln!(out, "\nnothing speaks for a change")?;
    }
    Ok(())
}

fn print_rule(
    report: &Report,
    name: &str,
    seen: &RuleReport,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let rate = seen
        .hit_rate()
        .map_or("-".to_owned(), |rate| format!("{:.0} %", rate * 100.0));
    writeln!(
        out,
        "\n{name}: {} hits, {} misses ({rate})",
        seen.hits, seen.misses
    )?;
    let saved = seen.saved_by_megabyte_hour(report.seconds);
    let saved = saved.filter(|_| report.seconds >= LEAST_SECONDS);
    let saved = saved.map_or("-".to_owned(), |saved| format!("{saved:.1} s"));
    let held = show_bytes(seen.held_bytes);
    writeln!(
        out,
        "  holds {held}; saves {saved} of the app's time for each MB and hour"
    )?;
    let (sample, same) = (seen.sample(), seen.same);
    writeln!(
        out,
        "  of {sample} answers that expired, {same} were the same when fetched again"
    )?;
    writeln!(
        out,
        "  and {} had not been read here; {} were gone before their time, {} of them unchanged",
        seen.unread, seen.early, seen.early_same
    )?;
    writeln!(
        out,
        "  {} keys, {} of them with one request",
        seen.keys, seen.single
    )?;
    let idle = seen
        .fields
        .iter()
        .filter(|(_, tally)| tally.other == 0 && tally.same > 0);
    let idle: Vec<&str> = idle.map(|(name, _)| name.as_str()).collect();
    if !idle.is_empty() {
        writeln!(out, "  never changed an answer: {}", idle.join(", "))?;
    }
    Ok(())
}
