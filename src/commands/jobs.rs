//! `pannier jobs`: what is fetched without a client; run one, cancel one.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::sidecar::Sidecar;
use crate::cli;
use crate::config::Env;

/// How often a run is asked how far it is.
const LOOK: Duration = Duration::from_millis(250);

/// Characters of the bar.
const BAR: usize = 40;

/// Lists the jobs, runs one to its end, or cancels a run.
pub fn jobs(args: &cli::Jobs, env: &Env, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let sidecar = Sidecar::find(&args.sidecar, env)?;
    match &args.order {
        Some(cli::JobOrder::Run { name, detach }) => {
            let answer = sidecar.post(&format!("/jobs/{name}/run"), Vec::new())?;
            let id = text(&answer["id"]).to_owned();
            writeln!(out, "{name} runs as {id}")?;
            match detach {
                true => Ok(ExitCode::SUCCESS),
                false => follow(&sidecar, &id, out),
            }
        }
        Some(cli::JobOrder::Cancel { id }) => {
            let answer = sidecar.delete(&format!("/jobs/{id}"))?;
            writeln!(out, "{id} ({}) is cancelled", text(&answer["job"]))?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let listing = sidecar.get("/jobs")?;
            match args.json {
                true => writeln!(out, "{}", serde_json::to_string_pretty(&listing)?)?,
                false => print(&listing, out)?,
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Until it is over; success if all of it was done.
fn follow(sidecar: &Sidecar, id: &str, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let shows_bar = std::io::stdout().is_terminal();
    loop {
        let run = sidecar.get(&format!("/jobs/{id}"))?;
        let is_over = !["queued", "waiting", "running"].contains(&text(&run["state"]));
        if shows_bar {
            // Over the line before.
            write!(out, "\r\x1b[K{}", bar(&run))?;
            out.flush()?;
        }
        if is_over {
            if shows_bar {
                writeln!(out)?;
            }
            writeln!(out, "{}", describe(&run))?;
            let is_done = run["state"] == "done";
            return Ok(if is_done {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        std::thread::sleep(LOOK);
    }
}

/// `[#####     ] 12 of 24, running`
fn bar(run: &Value) -> String {
    let (settled, total) = (number(run, "settled"), number(run, "total"));
    let full = match total {
        0 => 0,
        total => (settled.min(total) as usize * BAR) / total as usize,
    };
    let (full, rest) = ("#".repeat(full), " ".repeat(BAR - full));
    format!(
        "[{full}{rest}] {settled} of {total}, {}",
        text(&run["state"])
    )
}

fn print(listing: &Value, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "shared {}", text(&listing["shared"]))?;
    let none = Vec::new();
    let jobs = listing["jobs"].as_array().unwrap_or(&none);
    if jobs.is_empty() {
        writeln!(
            out,
            "the config has no jobs: [[warm]] and [jobs] hot make some"
        )?;
    }
    for job in jobs {
        let mut when = Vec::new();
        if job["on_start"] == true {
            when.push("at the start".to_owned());
        }
        if let Some(schedule) = job["schedule"].as_str() {
            when.push(format!("{schedule}, next {}", text(&job["next"])));
        }
        let after = job["after"].as_array().unwrap_or(&none);
        if !after.is_empty() {
            let names: Vec<&str> = after.iter().map(text).collect();
            when.push(format!("after {}", names.join(", ")));
        }
        writeln!(out, "{}: {}", text(&job["name"]), when.join("; "))?;
        match job.get("last") {
            Some(last) => writeln!(out, "  {}", describe(last))?,
            None => writeln!(out, "  it has not run yet")?,
        }
    }
    Ok(())
}

/// A run in one line.
fn describe(run: &Value) -> String {
    let mut line = format!(
        "{} {}: {} of {}",
        text(&run["id"]),
        text(&run["state"]),
        number(run, "settled"),
        number(run, "total")
    );
    for what in ["stored", "fresh", "failed"] {
        if number(run, what) > 0 {
            line += &format!(", {} {what}", number(run, what));
        }
    }
    if let Some(refused) = run["refused"].as_object() {
        for (reason, count) in refused {
            line += &format!(", {count} refused ({reason})");
        }
    }
    if let Some(holder) = run["holder"].as_str() {
        line += &format!(", on {holder}");
    }
    if let Some(ended) = run["ended"].as_str() {
        line += &format!(", ended {ended}");
    }
    match run["last_error"].as_str() {
        Some(error) => format!("{line}; {error}"),
        None => line,
    }
}

fn number(run: &Value, name: &str) -> u64 {
    run[name].as_u64().unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bars_and_lines() {
        let run = json!({ "id": "0a", "state": "running", "settled": 5, "total": 20, "stored": 4,
            "refused": { "private": 1 }, "failed": 0 });
        let expected = format!("[{}{}] 5 of 20, running", "#".repeat(10), " ".repeat(30));
        assert_eq!(bar(&run), expected);
        assert_eq!(
            describe(&run),
            "0a running: 5 of 20, 4 stored, 1 refused (private)"
        );
        let listed = json!({ "state": "queued" });
        assert!(bar(&listed).ends_with("] 0 of 0, queued"));
    }
}
