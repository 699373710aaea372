//! How many lines a new user has to write until the first hit: the README's first config, an app that sends what
//! its framework sends on everything, and the request of a browser that is logged in. Only what `explain` prints is
//! pasted.

use crate::support::app::{Answer, TestApp};
use crate::support::sidecar::Sidecar;

/// What frameworks send by default.
const FRAMEWORKS: [(&str, super::Fields<'static>); 8] = [
    (
        "Next.js",
        &[
            (
                "cache-control",
                "private, no-cache, no-store, max-age=0, must-revalidate",
            ),
            (
                "vary",
                "RSC, Next-Router-State-Tree, Next-Router-Prefetch, Accept-Encoding",
            ),
        ],
    ),
    (
        "Next.js on Vercel",
        &[
            ("cache-control", "public, max-age=0, must-revalidate"),
            ("vary", "RSC, Accept-Encoding"),
        ],
    ),
    (
        "Express with sessions",
        &[
            ("set-cookie", "connect.sid=s; Path=/; HttpOnly"),
            ("etag", "W/\"x\""),
        ],
    ),
    ("Express", &[("etag", "W/\"x\"")]),
    (
        "Rails",
        &[
            ("cache-control", "max-age=0, private, must-revalidate"),
            ("vary", "Accept, Origin"),
            ("etag", "W/\"x\""),
        ],
    ),
    (
        "Laravel",
        &[
            ("cache-control", "no-cache, private"),
            ("set-cookie", "laravel_session=x; path=/; httponly"),
        ],
    ),
    ("Django", &[("vary", "Accept, Cookie, Accept-Language")]),
    (
        "Spring Security",
        &[
            (
                "cache-control",
                "no-cache, no-store, max-age=0, must-revalidate",
            ),
            ("pragma", "no-cache"),
            ("expires", "0"),
        ],
    ),
];

const TARGET: &str = "/api/products/7?ref=mail";

/// The first config of the README.
fn first_config() -> String {
    let readme = include_str!("../../README.md");
    let block = readme.split("```toml\n").nth(1).expect("a config");
    block.split("```").next().expect("its end").to_owned()
}

/// What a browser copies of a person's request.
fn copied(host: &str, person: &str) -> String {
    format!(
        "curl 'http://{host}{TARGET}' \\\n  -H 'accept: application/json' \\\n  \
         -H 'accept-language: de-DE,de;q=0.9' \\\n  -b '_ga=GA1.1.{person}; session={person}' \\\n  \
         -H 'user-agent: Mozilla/5.0' \\\n  --compressed"
    )
}

/// The lines to paste, with the table of each.
fn edits(said: &str) -> Vec<(String, String)> {
    let lines = said
        .lines()
        .skip_while(|line| !line.starts_with("to lift all"));
    let lines = lines.skip(1).take_while(|line| !line.is_empty());
    let mut table = String::new();
    let mut edits = Vec::new();
    for line in lines {
        match line.strip_prefix("  in ") {
            Some(named) => table = named.to_owned(),
            None => edits.push((table.clone(), line.trim().to_owned())),
        }
    }
    edits
}

/// The config with a line more, or another one, in a table.
fn pasted(config: &str, table: &str, line: &str) -> String {
    let Some(route) = table.strip_prefix("[[route]] ") else {
        return format!("{config}\n{table}\n{line}\n");
    };
    let name = format!("name = \"{route}\"");
    assert!(config.contains(&name), "{table} in\n{config}");
    let (key, _) = line.split_once(" = ").expect("a line of TOML");
    let (before, after) = config.split_once(&name).expect("it is there");
    let (own, rest) = after.split_once("\n[[").unwrap_or((after, ""));
    let kept = own
        .lines()
        .filter(|other| !other.starts_with(&format!("{key} = ")));
    let own: Vec<&str> = kept.collect();
    format!("{before}{name}\n{line}{}\n[[{rest}", own.join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lines_at_most_are_written_and_explain_names_them() {
    for (framework, fields) in FRAMEWORKS {
        let app = TestApp::start().await;
        app.on("GET", "/api/products/7", move |_| {
            let answer = Answer::text("{\"id\": 7}");
            fields
                .iter()
                .fold(answer, |answer, (name, value)| answer.header(name, value))
        });
        let mut config = first_config();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pannier.toml");
        std::fs::write(&file, &config).expect("a writable folder");
        let command = copied("app.test", "a");
        let answer: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("-R{name}: {value}"))
            .collect();
        let mut arguments = vec!["--offline", "--from-curl", &command, "--status", "200"];
        arguments.extend(answer.iter().map(String::as_str));
        let (said, succeeded) = super::run(&file, &arguments).await;
        assert!(succeeded, "{framework}: {said}");
        let edits = edits(&said);
        assert!(
            (1..=2).contains(&edits.len()),
            "{framework}: {edits:?} of\n{said}"
        );
        for (table, line) in &edits {
            config = pasted(&config, table, line);
        }
        let sidecar = Sidecar::start(&app.url(), &config);
        let client = sidecar.client();
        let ask = async |person: &str| {
            let cookie = format!("_ga=GA1.1.{person}; session={person}");
            let request = client
                .request("GET", TARGET)
                .header("accept", "application/json");
            let request = request.header("accept-language", "de-DE,de;q=0.9");
            request
                .header("host", "app.test")
                .header("cookie", &cookie)
                .send()
                .await
        };
        ask("a").await;
        sidecar.fills_have_ended().await;
        for person in ["a", "b"] {
            let reply = ask(person).await;
            assert!(
                reply.is_hit(),
                "{framework}, {person}: {} under\n{config}",
                reply.cache_status()
            );
            assert_eq!(reply.header("set-cookie"), "", "{framework}");
        }
        std::fs::write(&file, &config).expect("a writable folder");
        let (said, _) = super::run(&file, &arguments).await;
        assert!(!said.contains("in the way"), "{framework}: {said}");
    }
}
