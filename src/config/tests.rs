//! The config as its users meet it: files in, a config or messages out.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::fields::{Kind, SECTIONS};
use super::overrides::overrides;
use super::*;
use crate::entry::Priority;

mod advice;
mod alerts;
mod documents;
mod files;
mod gentle;
mod jobs;
mod mistakes;
mod redis;
mod rules;
mod tls;

/// The least that loads.
const LEAST: &str = "[upstream]\nurl = \"http://app:3000\"\n";

fn parse(text: &str) -> Result<Loaded, ConfigErrors> {
    parse_with(text, &[])
}

fn parse_with(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let env = Env::from_pairs(variables.iter().copied());
    Config::parse(text, "pannier.toml", &env)
}

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    match parse_with(text, variables) {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors}"),
    }
}

/// The errors, one a line.
fn errors(text: &str) -> String {
    parse(text).expect_err("an error").to_string()
}

fn warnings(text: &str, variables: &[(&str, &str)]) -> String {
    let loaded = match parse_with(text, variables) {
        Ok(loaded) => loaded,
        Err(errors) => panic!("{errors}"),
    };
    let lines: Vec<String> = loaded.warnings.iter().map(Warning::to_string).collect();
    lines.join("\n")
}

#[test]
fn defaults_are_as_documented() {
    let config = config(LEAST, &[]);
    assert_eq!(config.listen.proxy.to_string(), "0.0.0.0:8080");
    assert_eq!(config.listen.admin.to_string(), "127.0.0.1:9180");
    assert!(config.listen.workers >= 1);
    assert_eq!(config.listen.max_connections, 10_000);
    assert_eq!(config.listen.header_timeout, Duration::from_secs(10));
    assert_eq!(config.listen.body_timeout, Duration::from_secs(30));
    assert_eq!(config.listen.idle_timeout, Duration::from_secs(75));
    assert_eq!(config.listen.max_head, 64 << 10);
    assert_eq!(config.listen.drain_timeout, Duration::from_secs(30));
    assert_eq!(config.listen.tls, None);
    assert_eq!(config.upstream.timeout, Duration::from_secs(30));
    assert_eq!(config.upstream.connect_timeout, Duration::from_secs(5));
    assert_eq!(config.upstream.body_timeout, Duration::from_secs(60));
    assert_eq!(config.upstream.idle_timeout, Duration::from_secs(60));
    assert_eq!(config.upstream.max_idle, 64);
    assert!(config.upstream.preserve_host);
    assert!(!config.upstream.http2);
    assert_eq!(config.redis, None);
    assert_eq!(
        config.budget,
        Budget {
            max: 20_000_000,
            evict_at: 18_000_000,
            check_every: Duration::from_secs(30),
            evict_percent: 15,
            evict_percent_on_store: 20,
            order: EvictionOrder::Value,
            compress_over: 4_000,
            manage_server: false,
        }
    );
    assert_eq!(config.memory.max, 64 << 20);
    assert_eq!(config.defaults.unmatched, Unmatched::Pass);
    assert_eq!(config.defaults.settings.policy.ttl, None);
    assert_eq!(config.defaults.settings.max_body, 1 << 20);
    assert_eq!(config.defaults.max_variables, 256 << 10);
    assert_eq!(config.defaults.settings.priority, Priority::Medium);
    assert_eq!(config.jwt, None);
    assert_eq!(config.admin.token, None);
    assert_eq!(config.log.level, "info");
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.log.summary_every, 10_000);
}

#[test]
fn all_errors_come_at_once_with_line_key_and_remedy() {
    let text = "[listen]\nproxy = \":80\"\nworkers = 0\nheder_timeout = \"5s\"\n\n\
                [upstream]\ntimeout = 30\n\n[budget]\nmax = 20\n\n[bugdet]\nmax = \"1MB\"\n";
    let expected = "\
pannier.toml:2: listen.proxy: \":80\" is not an address; write \"0.0.0.0:80\"
pannier.toml:3: listen.workers: 0 is not allowed; write a whole number from 1 to 1024
pannier.toml:4: listen.heder_timeout: [listen] has no such key; did you mean header_timeout?
pannier.toml:6: upstream.url: it is missing; write where the app is, such as url = \"http://127.0.0.1:3000\"
pannier.toml:7: upstream.timeout: 30 has no unit; write \"30s\" for seconds, \"30ms\" for milliseconds
pannier.toml:10: budget.max: 20 has no unit; write \"20MB\", \"20KiB\", or \"20B\" for bytes
pannier.toml:12: bugdet: there is no such table; did you mean [budget]?";
    assert_eq!(errors(text), expected);
}

#[test]
fn one_wrong_thing_says_what_to_write() {
    let cases = [
        ("TOML syntax", "[listen]\nproxy = \n", "pannier.toml:2: "),
        (
            "key outside a table",
            "ttl = \"5m\"\n",
            "move it below [defaults]",
        ),
        (
            "key of another table",
            "[listen]\nttl = \"5m\"\n",
            "it belongs below [defaults]",
        ),
        (
            "single brackets",
            "[route]\npath = \"/\"\n",
            "write [[route]]",
        ),
        (
            "double brackets",
            "[[memory]]\nmax = \"1MB\"\n",
            "write [memory]",
        ),
        (
            "same address twice",
            "[listen]\nadmin = \"127.0.0.1:8080\"\n",
            "write another port",
        ),
        (
            "loop",
            "[upstream]\nurl = \"http://localhost:8080\"\n",
            "listen.proxy",
        ),
        (
            "path in url",
            "[upstream]\nurl = \"http://app/api\"\n",
            "write http://app",
        ),
        (
            "missing file",
            "[upstream]\nurl = \"https://app\"\nca_file = \"none.pem\"\n",
            "cannot be read",
        ),
        (
            "CA without TLS",
            "[upstream]\nurl = \"http://app\"\nca_file = \"a.pem\"\n",
            "url does not use TLS",
        ),
        (
            "unset variable",
            "[upstream]\nurl = \"${APP_URL}\"\n",
            "APP_URL is not set; set it, or give a default",
        ),
        (
            "unset Redis",
            "[redis]\nurl = \"${REDIS_URL}\"\n",
            "REDIS_URL is not set; set it, or leave out [redis]",
        ),
        ("Redis without url", "[redis]\n", "redis.url: it is missing"),
        (
            "Redis scheme",
            "[redis]\nurl = \"http://r\"\n",
            "write redis://",
        ),
        (
            "namespace",
            "[redis]\nurl = \"redis://r\"\nnamespace = \"a:b\"\n",
            "cannot be a namespace",
        ),
        (
            "evict_at",
            "[budget]\nmax = \"1MB\"\nevict_at = \"2MB\"\n",
            "above max",
        ),
        (
            "level",
            "[log]\nlevel = \"inof\"\n",
            "did you mean \"info\"?",
        ),
        (
            "filter",
            "[log]\nlevel = \"pannier=loud\"\n",
            "is not a log filter",
        ),
        (
            "cookie as identity",
            "[defaults]\ntrusted_identity = [\"cookie\"]\n",
            "clients themselves",
        ),
        (
            "token with a space",
            "[admin]\ntoken = \"a b\"\n",
            "letters and digits",
        ),
        (
            "short token",
            "[admin]\ntoken = \"abc\"\n",
            "write at least 16 random characters",
        ),
        (
            "short secret",
            "[jwt]\nsecret = \"abc\"\n",
            "32 random bytes",
        ),
        (
            "a host with its port",
            "[admin]\nhosts = [\"a\", \"b:80\"]\n",
            "\"b:80\" is not a host",
        ),
        (
            "a URL for a host",
            "[admin]\nhosts = [\"http://a\"]\n",
            "without scheme and port",
        ),
        ("no JWT key", "[jwt]\n", "give exactly one of"),
        (
            "two JWT keys",
            "[jwt]\nsecret = \"a\"\npublic_key = \"b\"\n",
            "secret and public_key",
        ),
        ("no PEM", "[jwt]\npublic_key = \"b\"\n", "BEGIN PUBLIC KEY"),
        (
            "cookie unnamed",
            "[jwt]\nsecret = \"a\"\nsource = \"cookie\"\n",
            "add cookie",
        ),
        (
            "cookie unused",
            "[jwt]\nsecret = \"a\"\ncookie = \"t\"\n",
            "add source",
        ),
        (
            "header unnamed",
            "[jwt]\nsecret = \"a\"\nsource = \"header\"\n",
            "add header",
        ),
        (
            "header unused",
            "[jwt]\nsecret = \"a\"\nheader = \"x-id-token\"\n",
            "add source = \"header\"",
        ),
        (
            "no name of a header",
            "[jwt]\nsecret = \"a\"\nsource = \"header\"\nheader = \"a b\"\n",
            "not the name of a header field",
        ),
        (
            "a header with a source of its own",
            "[jwt]\nsecret = \"a\"\nsource = \"header\"\nheader = \"Authorization\"\n",
            "write source = \"authorization\"",
        ),
        (
            "algorithm of another key",
            "[jwt]\nsecret = \"a\"\nalgorithms = [\"RS256\"]\n",
            "HS256",
        ),
        (
            "algorithm none",
            "[jwt]\nsecret = \"a\"\nalgorithms = [\"none\"]\n",
            "not known",
        ),
    ];
    for (name, text, expected) in cases {
        let shown = errors(text);
        assert!(shown.contains(expected), "{name}: {shown}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let errors = Config::load(Path::new("no-such-file.toml"), &Env::default());
    let shown = errors.expect_err("an error").to_string();
    assert!(
        shown.starts_with("no-such-file.toml: it cannot be read"),
        "{shown}"
    );
}

#[test]
fn a_password_is_never_shown() {
    let secret = "hunter2hunter2hunter2hunter2hunter2";
    let broken = format!("{LEAST}[redis]\nurl = \"redis://me:{secret}@host:99999999\"\n");
    let shown = errors(&broken);
    assert!(!shown.contains(secret), "{shown}");
    let right = format!(
        "{LEAST}[redis]\nurl = \"redis://me:{secret}@host\"\n\
         [admin]\ntoken = \"{secret}\"\n[jwt]\nsecret = \"{secret}\"\n"
    );
    let shown = format!("{:?}", config(&right, &[]));
    assert!(!shown.contains(secret), "{shown}");
}

#[test]
fn every_key_is_read() {
    for section in SECTIONS {
        let header = if section.repeated {
            format!("[[{}]]", section.name)
        } else {
            format!("[{}]", section.name)
        };
        for field in section.fields() {
            let (value, what) = match field.kind {
                Kind::Conditions | Kind::Table(_) => ("1", "1 is not"),
                _ => ("{}", "a table is not"),
            };
            let shown = errors(&format!("{header}\n{} = {value}\n", field.key));
            let expected = format!("{}.{}: {what}", section.name, field.key);
            assert!(shown.contains(&expected), "{expected}: {shown}");
        }
    }
}

#[test]
fn a_wrong_variable_is_named() {
    let text = format!("{LEAST}[redis]\nurl = \"redis://r\"\n[jwt]\n[auth]\n");
    for (section, field, name) in overrides() {
        // Any text is right for these.
        let is_text = matches!(field.kind, Kind::Text | Kind::TextOrTexts);
        if (is_text && field.key != "url") || field.key == "ignore_query" {
            continue;
        }
        let shown = match parse_with(&text, &[(&name, "none/(")]) {
            Ok(_) => panic!("{name} is not read"),
            Err(errors) => errors.to_string(),
        };
        let expected = format!("{name}: {}.{}: ", section.name, field.key);
        assert!(shown.contains(&expected), "{expected}: {shown}");
    }
}

#[test]
fn texts_are_overridden() {
    let config = config(
        "[upstream]\nurl = \"${UNSET}\"\n[jwt]\nsource = \"cookie\"\n",
        &[
            ("PANNIER_UPSTREAM_URL", "unix:/run/app.sock"),
            ("PANNIER_REDIS_URL", "redis://me:pa$$word@host"),
            ("PANNIER_REDIS_NAMESPACE", "shop"),
            ("PANNIER_JWT_COOKIE", "token"),
            ("PANNIER_JWT_SECRET", "s3cret-s3cret-s3cret-s3cret-s3cret"),
            ("PANNIER_JWT_ISSUER", "me"),
            ("PANNIER_JWT_AUDIENCE", "you"),
            ("PANNIER_JWT_ALGORITHMS", "HS256, HS512"),
            ("PANNIER_ADMIN_TOKEN", "open-sesame-open-sesame"),
            ("PANNIER_LOG_LEVEL", "warn,pannier=debug"),
            ("PANNIER_LISTEN_WORKERS", "3"),
            ("PANNIER_UPSTREAM_PRESERVE_HOST", "false"),
            ("PANNIER_DEFAULTS_TRUSTED_IDENTITY", "x-user-id"),
            ("PANNIER_MEMORY_MAX", ""),
        ],
    );
    assert_eq!(config.upstream.target, Target::Unix("/run/app.sock".into()));
    let redis = config.redis.expect("created by its url");
    let password = RedisPassword::Text("pa$$word".to_owned());
    assert_eq!(redis.access.login.password, Some(password));
    assert_eq!(redis.namespace, "shop");
    let jwt = config.jwt.expect("in the file");
    assert_eq!(jwt.source, JwtSource::Cookie("token".into()));
    assert_eq!(
        jwt.key,
        JwtKey::Secret(b"s3cret-s3cret-s3cret-s3cret-s3cret".to_vec())
    );
    assert_eq!(jwt.issuer.as_deref(), Some("me"));
    assert_eq!(jwt.audience, ["you"]);
    assert_eq!(jwt.algorithms, ["HS256", "HS512"]);
    assert_eq!(
        config.admin.token.as_deref(),
        Some("open-sesame-open-sesame")
    );
    assert_eq!(config.log.level, "warn,pannier=debug");
    assert_eq!(config.listen.workers, 3);
    assert!(!config.upstream.preserve_host);
    assert_eq!(config.defaults.trusted_identity, ["x-user-id"]);
    assert_eq!(config.memory.max, 64 << 20);
}

#[test]
fn variables_in_strings_are_filled_in() {
    let text = "[upstream]\nurl = \"http://${HOST:-app}:${PORT}\"\n\
                [listen]\nworkers = \"${WORKERS}\"\n[admin]\ntoken = \"${TOKEN:-}\"\n";
    let config = config(text, &[("PORT", "3000"), ("WORKERS", "2")]);
    let authority = "app:3000".parse().expect("an authority");
    assert_eq!(config.upstream.target, Target::Http(authority));
    assert_eq!(config.listen.workers, 2);
    assert_eq!(config.admin.token, None);
}

#[test]
fn an_upstream_alone_is_a_config() {
    let env = Env::from_pairs([("PANNIER_UPSTREAM_URL", "http://other")]);
    let loaded = Config::for_upstream("http://app:3000", &env).expect("a config");
    let authority = "app:3000".parse().expect("an authority");
    assert_eq!(loaded.config.upstream.target, Target::Http(authority));
    assert_eq!(loaded.config.defaults.unmatched, Unmatched::Rfc9111);
    assert_eq!(loaded.config.redis, None);
    let env = Env::from_pairs([("PANNIER_REDIS_URL", "redis://r")]);
    let loaded = Config::for_upstream("http://app:3000", &env).expect("a config");
    assert!(loaded.config.redis.is_some());
    let shown = Config::for_upstream("app:3000", &env)
        .expect_err("no scheme")
        .to_string();
    assert_eq!(
        shown,
        "--upstream: upstream.url: it has no scheme; write http://app:3000"
    );
}

#[test]
fn unwise_tables() {
    let long = "0123456789abcdef0123456789abcdef";
    let cases = [
        ("nothing", String::new(), ""),
        (
            "evict_at",
            "[budget]\nmax = \"100MB\"\nevict_at = \"95MB\"\n".into(),
            "budget.evict_at",
        ),
        (
            "evict_at low",
            "[budget]\nmax = \"100MB\"\nevict_at = \"94MB\"\n[redis]\nurl = \"redis://a\"\n".into(),
            "",
        ),
        (
            "open admin",
            "[listen]\nadmin = \"0.0.0.0:9180\"\n".into(),
            "no token is set",
        ),
        (
            "lines that are filtered out",
            "[log]\naccess = true\nlevel = \"warn\"\n".into(),
            "write level = \"warn,pannier::access=info\"",
        ),
        (
            "lines that are let through",
            "[log]\naccess = true\nlevel = \"warn,pannier::access=info\"\n".into(),
            "",
        ),
        ("long secret", format!("[jwt]\nsecret = \"{long}\"\n"), ""),
    ];
    for (name, text, expected) in cases {
        let shown = warnings(&format!("{LEAST}{text}"), &[]);
        let right = if expected.is_empty() {
            shown.is_empty()
        } else {
            shown.contains(expected)
        };
        assert!(right, "{name}: {shown}");
    }
}

#[test]
fn unknown_variables_are_warned_of() {
    let cases = [
        (
            "misspelt",
            "PANNIER_REDIS_ULR",
            "did you mean PANNIER_REDIS_URL?",
        ),
        (
            "without its table",
            "PANNIER_REDIS_TIMEOUT",
            "add [redis] or set PANNIER_REDIS_URL",
        ),
        (
            "a misspelt key",
            "PANNIER_LISTEN_PROXXY",
            "did you mean PANNIER_LISTEN_PROXY?",
        ),
        (
            "a misspelt table",
            "PANNIER_LISTN_PROXY",
            "did you mean PANNIER_LISTEN_PROXY?",
        ),
        ("no key", "PANNIER_LISTEN_PORT", "no key of the config"),
        ("of another tool", "PANNIER_VERSION", ""),
        ("a service", "PANNIER_SERVICE_HOST", ""),
        ("a service of ours", "PANNIER_ADMIN_SERVICE_HOST", ""),
        ("its port", "PANNIER_ADMIN_SERVICE_PORT", ""),
        ("a named port", "PANNIER_ADMIN_SERVICE_PORT_HTTP", ""),
        ("a port by number", "PANNIER_REDIS_PORT_6379_TCP", ""),
        ("its address", "PANNIER_REDIS_PORT_6379_TCP_ADDR", ""),
        ("its port again", "PANNIER_REDIS_PORT_6379_TCP_PORT", ""),
    ];
    let url = [("PANNIER_ADMIN_PORT", "tcp://10.0.0.1:80")];
    assert_eq!(warnings(LEAST, &url), "", "what a service is reached by");
    for (name, variable, expected) in cases {
        let shown = warnings(LEAST, &[(variable, "1s")]);
        let right = if expected.is_empty() {
            shown.is_empty()
        } else {
            shown.contains(expected)
        };
        assert!(right, "{name}: {shown}");
    }
}

#[test]
fn what_needs_a_restart() {
    let redis = "[redis]\nurl = \"redis://a\"\n";
    let cases = [
        ("nothing", String::new(), String::new(), vec![]),
        (
            "port",
            String::new(),
            "[listen]\nproxy = \"0.0.0.0:81\"\n".into(),
            vec!["listen.proxy"],
        ),
        ("Redis added", String::new(), redis.into(), vec!["redis"]),
        (
            "Redis moved",
            redis.into(),
            "[redis]\nurl = \"redis://b\"\n".into(),
            vec!["redis.url, host, nodes or sentinels"],
        ),
        (
            "a journal",
            redis.into(),
            format!("{redis}journal = \"journal\"\n"),
            vec!["redis.journal"],
        ),
        (
            "reloadable",
            String::new(),
            "[defaults]\nttl = \"1m\"\n[listen]\nidle_timeout = \"9s\"\n".into(),
            vec![],
        ),
        (
            "budget",
            String::new(),
            "[budget]\nmax = \"1MB\"\n".into(),
            vec!["budget.max", "budget.evict_at"],
        ),
        (
            "eviction",
            String::new(),
            "[budget]\ncheck_every = \"9s\"\nevict_percent = 5\nevict_percent_on_store = 6\norder = \"expiry\"\n\
             manage_server = true\n"
                .into(),
            vec![
                "budget.check_every",
                "budget.evict_percent",
                "budget.evict_percent_on_store",
                "budget.order",
                "budget.manage_server",
            ],
        ),
    ];
    for (name, old, new, expected) in cases {
        let old = config(&format!("{LEAST}{old}"), &[]);
        let new = config(&format!("{LEAST}{new}"), &[]);
        assert_eq!(old.needs_restart(&new), expected, "{name}");
    }
}

#[test]
fn what_is_read_at_run_time_and_changes_at_a_restart_is_held() {
    let old = config(LEAST, &[]);
    let mut new = config(
        &format!("{LEAST}[log]\nformat = \"json\"\naccess = true\n"),
        &[],
    );
    assert_eq!(old.needs_restart(&new), ["log.format"]);
    new.hold_until_restart(&old);
    assert_eq!((new.log.format, new.log.access), (old.log.format, true));
}

proptest! {
    #[test]
    fn no_text_panics(text: String) {
        let _ = parse(&text);
    }

    #[test]
    fn no_change_of_a_file_panics(
        at in 0..3000usize,
        cut in 0..40usize,
        put in "[\\[\\]{}=\"'$0-9a-z\n,.-]{0,6}",
    ) {
        // Routes apart: their templates have properties of their own.
        let full = include_str!("../../config/full.toml");
        let tables = full.split("[[route]]").next().unwrap_or(full);
        let tables: Vec<char> = tables
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect::<Vec<_>>()
            .join("\n")
            .chars()
            .collect();
        let at = at.min(tables.len());
        let end = (at + cut).min(tables.len());
        let changed: String = tables[..at].iter().collect::<String>()
            + &put
            + &tables[end..].iter().collect::<String>();
        let _ = parse(&changed);
    }
}
