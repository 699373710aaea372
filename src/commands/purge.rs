//! `pannier purge`: removes what a running sidecar and its fleet have stored.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value, json};

use super::sidecar::Sidecar;
use crate::cli;
use crate::config::Env;

/// Purges what `args` name.
pub fn purge(args: &cli::Purge, env: &Env, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if args.keys.is_empty() && args.patterns.is_empty() && args.tags.is_empty() && !args.everything
    {
        bail!("say what: --key, --pattern, --tag, or --everything");
    }
    let mut body = json!({ "keys": args.keys, "patterns": args.patterns, "tags": args.tags });
    if args.everything {
        body["everything"] = Value::Bool(true);
    }
    if args.soft {
        body["soft"] = Value::Bool(true);
    }
    let sidecar = Sidecar::find(&args.sidecar, env)?;
    let answer = sidecar.post("/purge", serde_json::to_vec(&body)?)?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let count = |tier: &str| answer["purged"][tier].as_u64();
    let what = if args.soft { "made stale" } else { "removed" };
    let memory = count("memory").unwrap_or_default();
    match count("redis") {
        Some(redis) => writeln!(out, "{what}: {memory} entries here, {redis} in Redis")?,
        None => writeln!(out, "{what}: {memory} entries here")?,
    }
    if answer["pending"] == true {
        writeln!(
            out,
            "Redis cannot be reached: it is told as soon as it can, and what this covers is not served from it"
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
