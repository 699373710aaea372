//! `pannier switch`: what is on, and for how much, changed at run time.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use serde_json::Value;

use super::sidecar::Sidecar;
use crate::cli;
use crate::config::Env;
use crate::rollout::Order;

/// Switches, or lists what is switched.
pub fn switch(args: &cli::Switch, env: &Env, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let order = order(args)?;
    let sidecar = Sidecar::find(&args.sidecar, env)?;
    let answer = match &order {
        Some(order) => sidecar.post("/switch", serde_json::to_vec(order)?)?,
        None => sidecar.get("/switch")?,
    };
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?,
        false => print(&answer, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `None`: nothing is to be switched.
fn order(args: &cli::Switch) -> anyhow::Result<Option<Order>> {
    let says_nothing = args.mode.is_none() && args.percent.is_none();
    if says_nothing && (args.rule.is_some() || args.lasting.is_some() || args.reason.is_some()) {
        bail!("say what is to be switched: off, shadow, on or file, or --percent N");
    }
    let (everything, mode) = match args.rule {
        Some(_) => (None, args.mode.clone()),
        None => (args.mode.clone(), None),
    };
    Ok((!says_nothing).then(|| Order {
        everything,
        rule: args.rule.clone(),
        mode,
        percent: args.percent,
        lasting: args.lasting.clone(),
        reason: args.reason.clone(),
    }))
}

fn print(answer: &Value, out: &mut dyn Write) -> anyhow::Result<()> {
    let listing = match answer.get("now") {
        Some(now) => {
            let holds = answer["holds"].as_str().unwrap_or_default();
            writeln!(out, "switched: it holds {holds}")?;
            now
        }
        None => answer,
    };
    if let Some(mode) = listing["environment"].as_str() {
        writeln!(out, "PANNIER_MODE={mode}: no rule is more than that there")?;
    }
    let none = Vec::new();
    let switches = listing["switches"].as_array().unwrap_or(&none);
    if switches.is_empty() {
        writeln!(out, "no switch differs from the file")?;
    }
    for switch in switches {
        writeln!(out, "{}", describe(switch))?;
    }
    for rule in listing["rules"].as_array().unwrap_or(&none) {
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        writeln!(
            out,
            "  {} is {} for {} % of its keys; the file says {}, {} %",
            text(&rule["rule"]),
            text(&rule["mode"]),
            rule["percent"],
            text(&rule["file"]["mode"]),
            rule["file"]["percent"],
        )?;
    }
    Ok(())
}

fn describe(switch: &Value) -> String {
    let text = |name: &str| switch[name].as_str();
    let mut line = match (text("rule"), text("config"), text("everything")) {
        (Some(rule), _, _) => rule.to_owned(),
        (None, Some(hash), _) => format!("config {hash}, by a rollback"),
        (None, None, mode) => format!("everything: {} at most", mode.unwrap_or("on")),
    };
    if let Some(mode) = switch["mode"].as_str() {
        line += &format!(": {mode}");
    }
    if let Some(percent) = switch["percent"].as_u64() {
        line += &format!(", {percent} % of its keys");
    }
    line += &format!(", for {} s now", switch["since_seconds"]);
    if let Some(left) = switch["left_seconds"].as_u64() {
        line += &format!(", {left} s to go");
    }
    match switch["reason"].as_str() {
        Some(reason) if !reason.is_empty() => format!("{line}: {reason}"),
        _ => line,
    }
}
