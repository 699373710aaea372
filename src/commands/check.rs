//! `pannier check FILE`: every error of a config at once; or its rules, and what is unwise. With `--connect`
//! also what is wrong with the app and Redis.

mod connect;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use http::Method;

use crate::clock;
use crate::config::{Config, Env, Loaded, show_duration};
use crate::descriptors::Descriptors;
use crate::rollout::{Mode, Rollout};
use crate::routes::ConfusablePaths;

/// How far a check goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The file alone.
    File,
    /// The app and Redis as well.
    Network,
}

/// Checks `file` and prints what it finds, with `descriptors` to run it; fails on errors, not on warnings.
pub fn check(
    file: &Path,
    env: &Env,
    descriptors: Descriptors,
    reach: Reach,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    match Config::load(file, env) {
        Ok(loaded) => {
            report(&loaded, out)?;
            if let Some(shortage) = descriptors.find_shortage(&loaded.config) {
                writeln!(out, "\nwarning: {shortage}")?;
            }
            for certificate in loaded.config.shown_certificates() {
                if let Some(words) = certificate.warn(clock::wall()) {
                    writeln!(out, "\nwarning: {words}")?;
                }
            }
            let good = reach == Reach::File || connect::try_both(&loaded.config, out)?;
            Ok(if good {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Err(errors) => {
            writeln!(out, "{errors}")?;
            let count = errors.all().len();
            writeln!(
                out,
                "{count} {} in {}",
                count_words(count, "error"),
                file.display()
            )?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn report(loaded: &Loaded, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = &loaded.config;
    let (routes, purges) = (config.routes.len(), config.purges.len());
    writeln!(
        out,
        "ok: {routes} {}, {purges} {}",
        count_words(routes, "route"),
        count_words(purges, "purge rule")
    )?;
    if config.redis.is_none() {
        writeln!(out, "no [redis]: memory only")?;
    }
    if let Some(notice) = &loaded.notice {
        writeln!(out, "{notice}")?;
    }
    print_table(
        out,
        ["route", "methods", "path", "key", "ttl", "priority"],
        route_rows(config),
    )?;
    print_table(
        out,
        ["purge", "methods", "path", "keys", "tags"],
        purge_rows(config),
    )?;
    print_audiences(config, out)?;
    if !loaded.warnings.is_empty() {
        writeln!(out)?;
    }
    for warning in &loaded.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    if loaded.acknowledged > 0 {
        let count = loaded.acknowledged;
        let words = count_words(count, "warning");
        writeln!(out, "\n{count} {words} acknowledged")?;
    }
    Ok(())
}

/// Among whom each route's answers are shared, and whose paths may be spellings of another route's.
fn print_audiences(config: &Config, out: &mut dyn Write) -> anyhow::Result<()> {
    if config.routes.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for route in config
        .routes
        .iter()
        .filter(|route| route.settings.rollout.mode != Mode::Off)
    {
        let audience = match route.settings.policy.shared {
            true => "everyone (shared = true)".to_owned(),
            false => route.credentials.audience(),
        };
        writeln!(out, "{}: answers are shared among {audience}", route.name)?;
    }
    if config.upstream.spelling().is_some() {
        writeln!(
            out,
            "upstream.paths: spellings that are one to the app are purged together; each keeps an answer of its own, \
             should the app answer them differently"
        )?;
    }
    let paths = config.routes.iter().enumerate();
    let paths = paths.filter(|(_, route)| route.methods.contains(&Method::GET));
    let paths: Vec<(usize, &str)> = paths
        .map(|(index, route)| (index, route.path.as_str()))
        .collect();
    for pair in config.matcher.find_confusable(&paths) {
        let (taken, meant) = (&config.routes[pair.taken], &config.routes[pair.meant]);
        let (taken, path, meant) = (&taken.name, &meant.path, &meant.name);
        match pair.paths {
            ConfusablePaths::Spellings => writeln!(
                out,
                "{taken}: passes requests for other spellings of {path} ({meant}), such as in another case"
            )?,
            ConfusablePaths::Below => writeln!(
                out,
                "{taken}: passes requests for what is below {path} ({meant}), which an app may answer as that"
            )?,
        }
    }
    Ok(())
}

fn route_rows(config: &Config) -> Vec<[String; 6]> {
    let row = |route: &crate::config::Route| {
        let ttl = route
            .settings
            .policy
            .ttl
            .map_or("by answer".to_owned(), show_duration);
        let priority = route.settings.priority.as_str().to_owned();
        let ttl = match route.settings.rollout {
            Rollout {
                mode: Mode::Off, ..
            } => "off".to_owned(),
            Rollout {
                mode: Mode::Shadow, ..
            } => format!("{ttl} (shadow)"),
            Rollout { percent: 100, .. } => ttl,
            Rollout { percent, .. } => format!("{ttl} ({percent} %)"),
        };
        let methods: Vec<&str> = route.methods.iter().map(|method| method.as_str()).collect();
        [
            route.name.clone(),
            methods.join(" "),
            route.path.clone(),
            route.key_text.clone(),
            ttl,
            priority,
        ]
    };
    config.routes.iter().map(row).collect()
}

fn purge_rows(config: &Config) -> Vec<[String; 5]> {
    let row = |purge: &crate::config::PurgeRule| {
        let methods: Vec<&str> = purge.methods.iter().map(|method| method.as_str()).collect();
        [
            purge.name.clone(),
            methods.join(" "),
            purge.path.clone(),
            purge.keys_text.join(" "),
            purge.tags_text.join(" "),
        ]
    };
    config.purges.iter().map(row).collect()
}

/// Columns as wide as their widest cell; nothing without rows.
fn print_table<const COLUMNS: usize>(
    out: &mut dyn Write,
    header: [&str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
) -> anyhow::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].len()]).max().unwrap_or(0)
    });
    writeln!(out)?;
    let header = header.map(str::to_owned);
    for row in std::iter::once(&header).chain(&rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            // Not by `format!`, which panics at widths over 65,535.
            .map(|(cell, width)| cell.clone() + &" ".repeat(width - cell.chars().count()))
            .collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn count_words(count: usize, word: &str) -> String {
    if count == 1 {
        word.to_owned()
    } else {
        format!("{word}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (String, bool) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("p.toml");
        std::fs::write(&file, text).expect("a file");
        let mut out = Vec::new();
        let (env, descriptors) = (Env::default(), Descriptors::UNLIMITED);
        let code = check(&file, &env, descriptors, Reach::File, &mut out).expect("output");
        let shown = String::from_utf8(out).expect("UTF-8");
        let folder = format!("{}/", folder.path().display());
        (shown.replace(&folder, ""), code == ExitCode::SUCCESS)
    }

    #[test]
    fn no_width_is_too_much_for_the_table() {
        let tag = "t".repeat(70_000);
        let (shown, passed) = checked(&format!(
            "[upstream]\nurl = \"http://app\"\n[[purge]]\nname = \"p\"\npath = \"/a\"\n\
             keys = [\"{tag}\"]\ntags = [\"b\"]\n"
        ));
        assert!(passed && shown.contains(&format!("/a    {tag}  b\n")));
    }

    #[test]
    fn rules_and_warnings_of_a_good_file() {
        let (shown, passed) = checked(
            "[upstream]\nurl = \"http://app\"\n\
             [[route]]\nname = \"user\"\npath = \"/users/{id}\"\nkey = \"user\"\nttl = \"90s\"\n\
             [[route]]\npath = \"/off\"\nenabled = false\n\
             [[purge]]\nname = \"written\"\npath = \"/users/{id}\"\nkeys = [\"user*\"]\n",
        );
        let expected = "\
ok: 2 routes, 1 purge rule
no [redis]: memory only

route  methods  path         key          ttl    priority
user   GET      /users/{id}  user         1m30s  medium
off    GET      /off         {host}{uri}  off    medium

purge    methods                path         keys   tags
written  POST PUT PATCH DELETE  /users/{id}  user*

user: answers are shared among requests without credentials

warning: p.toml:6: route.key: all of /users/{id} share one answer; put its parameters into the key, such as {path.id} [one-answer]
";
        assert_eq!(shown, expected);
        assert!(passed);
    }

    #[test]
    fn errors_fail() {
        let (shown, passed) = checked("[upstream]\nurl = \"\"\n[upstraem]\n");
        let expected = "\
p.toml:2: upstream.url: it is empty; write a value, or leave the line out
p.toml:3: upstraem: there is no such table; did you mean [upstream]?
2 errors in p.toml
";
        assert_eq!(shown, expected);
        assert!(!passed);
    }
}
