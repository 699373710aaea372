//! `pannier status`: one screen of a running sidecar; `pannier top`: the same again and again.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::ask_sidecar::AskError;
use super::sidecar::Sidecar;
use crate::cli;
use crate::config::Env;

/// From one screen of `top` to the next.
const EVERY: Duration = Duration::from_secs(2);

/// Clears a terminal and begins at its top (ECMA-48).
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Of the exit codes of `status` the one of a sidecar that is down or does not answer.
const DOWN: u8 = 2;

/// That of a status which is not known: nobody could be asked, or whoever answered refused.
const UNKNOWN: u8 = 3;

/// Prints the status. The exit code is 0 if it is healthy, 1 for a warning, [`DOWN`], or [`UNKNOWN`].
pub fn status(args: &cli::Status, env: &Env, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match find_status(args, env) {
        Ok(stats) => print_status(args, &stats, out),
        Err(error) => {
            eprintln!("pannier: {error:#}");
            Ok(ExitCode::from(match error.downcast_ref() {
                Some(AskError::NoAnswer(_) | AskError::Timeout(_)) => DOWN,
                _ => UNKNOWN,
            }))
        }
    }
}

fn find_status(args: &cli::Status, env: &Env) -> anyhow::Result<Value> {
    let path = match args.fleet {
        true => "/stats?fleet=true",
        false => "/stats",
    };
    Sidecar::find(&args.sidecar, env)?.get(path)
}

fn print_status(
    args: &cli::Status,
    stats: &Value,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(stats)?)?,
        false => out.write_all(show(stats).as_bytes())?,
    }
    Ok(ExitCode::from(match stats["state"]["word"].as_str() {
        Some("healthy") => 0,
        Some("warning") => 1,
        Some(_) => DOWN,
        None => UNKNOWN,
    }))
}

/// Prints it every two seconds, `times` times or until it is interrupted.
pub fn top(args: &cli::Top, env: &Env, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let sidecar = Sidecar::find(&args.sidecar, env)?;
    let begin = if std::io::stdout().is_terminal() {
        CLEAR
    } else {
        ""
    };
    let mut screens = 0;
    loop {
        let screen = match sidecar.get("/stats") {
            Ok(stats) => show(&stats),
            Err(error) => format!("no answer: {error:#}\n"),
        };
        write!(out, "{begin}{screen}")?;
        out.flush()?;
        screens += 1;
        if args.times.is_some_and(|times| screens >= times) {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(EVERY);
    }
}

fn show(stats: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut lines = vec![format!(
        "{}   pannier {}, up for {}",
        text(&stats["state"]["word"]),
        text(&stats["version"]),
        span(&stats["uptime"])
    )];
    let reasons = stats["state"]["reasons"].as_array();
    lines.extend(
        reasons
            .into_iter()
            .flatten()
            .map(|reason| format!("  ! {}", text(reason))),
    );
    lines.push(format!(
        "  hit rate {}, {} requests/s, app time saved {}, a hit takes {}, the app {}",
        percent(&stats["hit_rate"]),
        stats["requests_per_second"],
        span(&stats["saved_seconds"]),
        milliseconds(&stats["mean_hit_ms"]),
        milliseconds(&stats["mean_app_ms"]),
    ));
    lines.push(format!("  memory: {}", usage(&stats["memory"])));
    match stats["redis"]["state"].as_str() {
        Some("absent") | None => lines.push("  Redis: none".into()),
        Some(state) => {
            let limited = match stats["redis"]["limited_by"].as_str() {
                Some("server") => "; the server's memory leaves no more",
                _ => "",
            };
            let used = usage(&stats["redis"]);
            lines.push(format!("  Redis: {state}, {used}{limited}"));
        }
    }
    let advice = stats["advice"].as_array();
    lines.extend(
        advice
            .into_iter()
            .flatten()
            .map(|advice| format!("  → {}: {}", text(&advice["about"]), text(&advice["words"]))),
    );
    lines.push(String::new());
    lines.extend(table(stats));
    if stats["fleet"].is_object() {
        lines.push(String::new());
        lines.extend(fleet_table(&stats["fleet"]));
    }
    lines.join("\n") + "\n"
}

/// A line for each sidecar, and one for all.
fn fleet_table(fleet: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let traffic = |of: &Value| {
        [
            of["requests"].to_string(),
            of["requests_per_second"].to_string(),
            percent(&of["hit_rate"]),
            span(&of["saved_seconds"]),
            format!("{} MB", of["memory_used_mb"]),
        ]
    };
    let mut rows = vec![
        [
            "sidecar", "state", "version", "config", "up for", "requests", "a second", "hit rate",
            "saved", "memory",
        ]
        .map(str::to_owned),
    ];
    let sidecars = fleet["sidecars"].as_array().cloned().unwrap_or_default();
    for one in &sidecars {
        let [requests, rate, hits, saved, memory] = traffic(one);
        let mark = if one["this"] == true { " *" } else { "" };
        rows.push([
            text(&one["name"]) + mark,
            text(&one["state"]),
            text(&one["version"]),
            text(&one["config_hash"]),
            span(&one["uptime"]),
            requests,
            rate,
            hits,
            saved,
            memory,
        ]);
    }
    let [requests, rate, hits, saved, memory] = traffic(&fleet["total"]);
    let (all, none) = (format!("all {}", sidecars.len()), String::new);
    rows.push([
        all,
        none(),
        none(),
        none(),
        none(),
        requests,
        rate,
        hits,
        saved,
        memory,
    ]);
    let mut lines = align(&rows);
    if fleet["shared"] != true {
        lines.push("  Redis was not asked: this sidecar alone is known".to_owned());
    }
    lines
}

fn table(stats: &Value) -> Vec<String> {
    let routes = stats["routes"].as_array().cloned().unwrap_or_default();
    let mut rows: Vec<(u64, [String; 7])> = routes
        .iter()
        .map(|route| {
            let name = route["name"].as_str().unwrap_or_default();
            let traffic = &stats["rules"][name];
            let mode = match route["percent"].as_u64() {
                Some(100) | None => route["mode"].as_str().unwrap_or("?").to_owned(),
                Some(share) => format!("{} {share} %", route["mode"].as_str().unwrap_or("?")),
            };
            let requests = traffic["requests"].as_u64().unwrap_or_default();
            let cells = [
                if name == "-" { "(no route)" } else { name }.to_owned(),
                mode,
                requests.to_string(),
                percent(&traffic["hit_rate"]),
                span(&traffic["saved_seconds"]),
                milliseconds(&traffic["mean_hit_ms"]),
                milliseconds(&traffic["mean_app_ms"]),
            ];
            (requests, cells)
        })
        .collect();
    rows.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    let head = [
        "route", "mode", "requests", "hit rate", "saved", "hit", "app",
    ];
    let head = head.map(str::to_owned);
    let rows = std::iter::once(head).chain(rows.into_iter().map(|row| row.1));
    align(&rows.collect::<Vec<_>>())
}

/// The first column to the left, the others to the right, each as wide as its widest cell.
fn align<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            }
        });
        let cells: Vec<String> = cells.collect();
        format!("  {}", cells.join("  "))
    };
    rows.iter().map(line).collect()
}

fn usage(usage: &Value) -> String {
    let percent = usage["percent"]
        .as_f64()
        .map_or(String::new(), |percent| format!(" ({percent} %)"));
    format!(
        "{} of {} MB{percent}, {} keys, {} evicted",
        usage["used_mb"], usage["limit_mb"], usage["entries"], usage["evictions"]
    )
}

fn percent(part: &Value) -> String {
    part.as_f64()
        .map_or("-".into(), |part| format!("{:.1} %", part * 100.0))
}

fn milliseconds(value: &Value) -> String {
    match value.as_f64() {
        None => "-".into(),
        Some(ms) if ms < 1.0 => format!("{:.0} µs", ms * 1e3),
        Some(ms) if ms < 1e3 => format!("{ms:.1} ms"),
        Some(ms) => format!("{:.1} s", ms / 1e3),
    }
}

fn span(seconds: &Value) -> String {
    let Some(seconds) = seconds.as_f64() else {
        return "-".into();
    };
    let units = [("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)];
    let unit = units.into_iter().find(|(_, size)| seconds >= 2.0 * size);
    let (unit, size) = unit.unwrap_or(("s", 1.0));
    format!("{:.1} {unit}", seconds / size)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_screen_says_what_matters() {
        let stats = json!({
            "version": "0.1.0", "uptime": 7300, "requests_per_second": 12.5, "hit_rate": 0.944,
            "mean_hit_ms": 0.071, "mean_app_ms": 1240.0, "saved_seconds": 4000.0,
            "state": { "word": "warning", "reasons": ["2 purges wait for Redis"] },
            "memory": { "used_mb": 1.5, "limit_mb": 67.1, "percent": 2.2, "entries": 10, "evictions": 0 },
            "redis": { "state": "up", "used_mb": 19.0, "limit_mb": 20.0, "percent": 95.0, "entries": 1500, "evictions": 3 },
            "advice": [{ "about": "[budget] max", "words": "Redis holds 19 of 20 MB" }],
            "routes": [
                { "name": "users", "mode": "on", "percent": 100 },
                { "name": "board", "mode": "shadow", "percent": 25 },
                { "name": "-", "mode": "on", "percent": 100 },
            ],
            "rules": {
                "users": { "requests": 5, "hit_rate": 0.8, "saved_seconds": 1.0, "mean_hit_ms": 0.05, "mean_app_ms": 20.0 },
                "board": { "requests": 1200, "hit_rate": null, "saved_seconds": null, "mean_hit_ms": null, "mean_app_ms": 90.0 },
            },
        });
        let expected = "\
warning   pannier 0.1.0, up for 2.0 h
  ! 2 purges wait for Redis
  hit rate 94.4 %, 12.5 requests/s, app time saved 66.7 min, a hit takes 71 µs, the app 1.2 s
  memory: 1.5 of 67.1 MB (2.2 %), 10 keys, 0 evicted
  Redis: up, 19.0 of 20.0 MB (95 %), 1500 keys, 3 evicted
  → [budget] max: Redis holds 19 of 20 MB

  route              mode  requests  hit rate  saved    hit      app
  board       shadow 25 %      1200         -      -      -  90.0 ms
  users                on         5    80.0 %  1.0 s  50 µs  20.0 ms
  (no route)           on         0         -      -      -        -
";
        assert_eq!(show(&stats), expected);
    }
}
