//! A corpus of names of fields: an app that reflects all that it is told, one person who sends such a field and two
//! who come after, one without it and one with another value. Nobody sees what the first one sent (promise I8,
//! reliability.md K4).

mod names;

use futures_util::StreamExt;

use crate::support::app::{Answer, Seen, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::sidecar::Sidecar;
use names::{BEFORE, CREDENTIALS, OVERRIDES, SWITCHES, WORDS};

const AT_A_TIME: usize = 64;

/// `/loose` has no rule.
const CONFIG: &str = r#"
[defaults]
unmatched = "rfc9111"
[[route]]
path = "/own"
key = "own:{query.n}"
[[route]]
path = "/shared"
key = "shared:{query.n}"
shared = true
"#;

/// What the first person sends, and the second one who sends it too.
#[derive(Clone, Debug)]
struct Case {
    first: Vec<(String, String)>,
    other: Vec<(String, String)>,
    /// Rules under which it must not be seen by others.
    paths: &'static [&'static str],
}

/// The answers of `shared = true` are the same whoever asks; overrides are no matter of who.
const OF_OVERRIDES: &[&str] = &["/own", "/shared", "/loose"];
const OF_CREDENTIALS: &[&str] = &["/own", "/loose"];

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_what_another_sent_by_http1() {
    try_all("pass", corpus(), Sidecar::client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_what_another_sent_by_http2() {
    // What goes for a name's spellings there goes for them here.
    let mut cases = corpus();
    cases.retain(|case| matches!(&case.first[..], [(_, value)] if value == ANN));
    try_all("pass", cases, Sidecar::http2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_what_another_sent_where_underscores_are_dropped() {
    let mut cases = corpus();
    let is_odd = |letter: char| letter != '-' && !letter.is_ascii_alphanumeric();
    cases.retain(|case| case.first.iter().any(|(name, _)| name.contains(is_odd)));
    try_all("drop", cases, Sidecar::client).await;
}

/// A field of no meaning that the app reflects is the app's: the corpus would notice.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_makes_of_any_field_is_stored() {
    let app = reflecting_app().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let client = sidecar.client();
    for path in OF_OVERRIDES {
        let case = Case::plain("x-colour", OF_OVERRIDES);
        get(&client, path, 0, &case.first).await;
        sidecar.fills_have_ended().await;
        let second = get(&client, path, 0, &[]).await;
        assert!(second.text().contains(ANN), "{path}: {}", second.text());
    }
}

async fn try_all(underscores: &str, cases: Vec<Case>, client: impl Fn(&Sidecar) -> Client) {
    assert!(cases.len() > 1_000, "{} cases", cases.len());
    let app = reflecting_app().await;
    let config = format!("[listen]\nunderscores = \"{underscores}\"\n{CONFIG}");
    let sidecar = Sidecar::start(&app.url(), &config);
    let cases: Vec<_> = cases.into_iter().enumerate().collect();
    let client = client(&sidecar);
    ask(&client, &cases, |case| case.first.clone()).await;
    sidecar.fills_have_ended().await;
    let mut seen = ask(&client, &cases, |_| Vec::new()).await;
    seen.extend(ask(&client, &cases, |case| case.other.clone()).await);
    seen.sort();
    seen.dedup();
    let (count, list) = (seen.len(), seen.join("\n"));
    println!("{} cases, {count} seen by others", cases.len());
    assert!(seen.is_empty(), "{count} seen by others:\n{list}");
}

/// All of `cases`, each under its rules; those whose answers show what the first person sent.
async fn ask(
    client: &Client,
    cases: &[(usize, Case)],
    fields: impl Fn(&Case) -> Vec<(String, String)>,
) -> Vec<String> {
    let fields = &fields;
    let all = cases.iter().flat_map(|(number, case)| {
        let paths = case.paths.iter();
        paths.map(move |path| (*path, *number, case, fields(case)))
    });
    let answers = all.map(|(path, number, case, fields)| async move {
        let is_first = fields == case.first;
        let reply = get(client, path, number, &fields).await;
        let shows = !is_first && reply.text().contains(ANN);
        shows.then(|| format!("{path} {:?}", case.first))
    });
    let answers = futures_util::stream::iter(answers).buffer_unordered(AT_A_TIME);
    answers.filter_map(std::future::ready).collect().await
}

async fn get(client: &Client, path: &str, number: usize, fields: &[(String, String)]) -> Reply {
    let mut request = client.request("GET", &format!("{path}?n={number}"));
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request.send().await
}

async fn reflecting_app() -> TestApp {
    let app = TestApp::start().await;
    for path in OF_OVERRIDES {
        app.on("GET", path, reflect);
    }
    app
}

fn reflect(seen: &Seen) -> Answer {
    let fields = seen.headers.iter();
    let fields = fields.map(|(name, value)| format!("{name}: {}", value.as_bytes().escape_ascii()));
    let text = fields.collect::<Vec<_>>().join("\n");
    Answer::text(text).cache_control("max-age=600")
}

const ANN: &str = "ann.example";
const BOB: &str = "bob.example";

impl Case {
    fn plain(name: &str, paths: &'static [&'static str]) -> Case {
        Case::new(name, paths, str::to_owned)
    }

    fn new(name: &str, paths: &'static [&'static str], value: impl Fn(&str) -> String) -> Case {
        let fields = |person| vec![(name.to_owned(), value(person))];
        Case {
            first: fields(ANN),
            other: fields(BOB),
            paths,
        }
    }
}

/// Names × spellings.
fn corpus() -> Vec<Case> {
    let credentials = CREDENTIALS
        .iter()
        .flat_map(|name| spellings(name, OF_CREDENTIALS));
    let overrides = OVERRIDES
        .iter()
        .flat_map(|name| spellings(name, OF_OVERRIDES));
    let switches = SWITCHES
        .iter()
        .flat_map(|name| spellings(name, OF_OVERRIDES));
    let own = BEFORE
        .iter()
        .flat_map(|before| WORDS.iter().map(move |word| format!("{before}{word}")));
    let own = own.flat_map(|name| {
        [
            Case::plain(&name, OF_CREDENTIALS),
            Case::plain(&name.replace('-', "_"), OF_CREDENTIALS),
            Case::plain(&name.replace('-', "."), OF_CREDENTIALS),
        ]
    });
    let forwarded = FORWARDED.iter().map(|pattern| {
        // RFC 7239, with blanks as some parsers allow them.
        Case::new("forwarded", OF_OVERRIDES, |person| {
            pattern.replace('@', person)
        })
    });
    credentials
        .chain(overrides)
        .chain(switches)
        .chain(own)
        .chain(forwarded)
        .collect()
}

fn spellings(name: &str, paths: &'static [&'static str]) -> Vec<Case> {
    let plain = |name: &str| Case::plain(name, paths);
    let mut cases = vec![
        plain(name),
        Case::new(name, paths, |person| format!(" \t{person} ")),
        Case::new(name, paths, |person| format!("\"{person}\", {person}")),
    ];
    // Before another line of the same name, and behind it.
    for nth in 0..2 {
        let mut doubled = plain(name);
        doubled.first.insert(nth, (name.to_owned(), BOB.to_owned()));
        cases.push(doubled);
    }
    if let Some((begin, end)) = name.rsplit_once('-') {
        cases.push(plain(&name.replace('-', "_")));
        cases.push(plain(&format!("{begin}_{end}")));
        cases.push(plain(&name.replace('-', ".")));
    }
    cases
}

const FORWARDED: &[&str] = &[
    "host=@",
    "host = @",
    "host\t=\t@",
    "host=\"@\"",
    "host= \"@\"",
    "HOST=@",
    "Host =@",
    "for=a;host=@",
    "for=a; host=@",
    "for=a;host =@",
    "for=a, for=b;host=@",
    "for=a,host=@",
    "proto=@",
    "proto = @",
    "PROTO=\"@\"",
    "for=a;proto= @;by=b",
    "host=\" @\"",
    "host=@;host=x",
    "host=x;host=@",
    "by=a;;host=@",
];
