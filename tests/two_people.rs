//! Several people, every kind of route and identity, and an app that says of caching whatever it likes: nobody gets
//! what was another's, though `app_headers = "ignore"` holds everywhere (promise I8).
//!
//! `PANNIER_PEOPLE_SEED` gives other requests, `PANNIER_PEOPLE_SECONDS` goes on for so long; with `--no-capture` it
//! then says what it saw.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pannier::clock;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::client::{Client, Reply};
use crate::support::sidecar::Sidecar;

/// Requests of a run that has no other limit.
const REQUESTS: usize = 4_000;
/// Clients at a time.
const CLIENTS: usize = 8;
const SECRET: &str = "a secret of more than thirty-two bytes, for the tests";

const CONFIG: &str = r#"
[defaults]
app_headers = "ignore"
unmatched = "rfc9111"
ttl = "2s"
stale_while_revalidate = "1s"
stale_if_error = "5s"
trusted_identity = ["x-user-id"]
ignore_cookies = ["theme"]
ignore_query = ["utm_*"]
languages = ["en", "de"]
[auth]
url = "/who-asks"
cookies = ["session", "act_as"]
ttl = "1s"
[jwt]
secret = "a secret of more than thirty-two bytes, for the tests"
[[route]]
path = "/nobody/{id}"
key = "nobody:{path.id}"
[[route]]
path = "/cookie/{id}"
key = "cookie:{path.id}:{cookie.session}"
vary = []
[[route]]
path = "/default/{id}"
key = "default:{path.id}:{cookie.session|none}"
client_cache_control = "ignore"
[[route]]
path = "/authorization/{id}"
key = "authorization:{path.id}:{header.authorization}"
tags = ["who:{response.id|none}"]
[[route]]
path = "/key/{id}"
key = "key:{path.id}:{header.x-api-key|}"
downstream = "private, max-age=0"
[[route]]
path = "/token/{id}"
key = "token:{path.id}:{jwt.sub|}"
cors = "vary"
[[route]]
path = "/role/{id}"
key = "role:{path.id}:{jwt.role|none}"
[[route]]
path = "/gateway/{id}"
key = "gateway:{path.id}:{header.x-user-id|}"
max_variants = 2
[[route]]
path = "/all/{id}"
key = "all:{path.id}:{cookie.session|}:{header.authorization|}:{header.x-api-key|}:{header.x-user-id|}:{cookie.act_as|}"
encodings = ["gzip"]
[[route]]
path = "/checked/{id}"
key = "checked:{path.id}:{auth.id}"
[[route]]
path = "/posted/{id}"
methods = ["POST"]
key = "posted:{path.id}:{cookie.session}:{body}"
[[route]]
path = "/me"
key = "me:{cookie.session}"
[[purge]]
methods = ["PUT"]
path = "/{kind}/{id}"
keys = ["{path.kind}:{path.id}:*"]
"#;

const PATHS: [&str; 16] = [
    "/posted/{}",
    "/checked/{}",
    "/nobody/{}",
    "/cookie/{}",
    "/default/{}",
    "/authorization/{}",
    "/key/{}",
    "/token/{}",
    "/role/{}",
    "/gateway/{}",
    "/all/{}",
    "/me",
    "/ME",
    "/unmatched/{}",
    "/cookie/{}?utm_source=a",
    "/cookie%2F{}",
];

/// What frameworks, and apps with no notion of caching, say of an answer.
const SAID: [&[(&str, &str)]; 10] = [
    &[],
    &[(
        "cache-control",
        "private, no-cache, no-store, max-age=0, must-revalidate",
    )],
    &[("cache-control", "public, max-age=600")],
    &[(
        "cache-control",
        "public, s-maxage=600, stale-while-revalidate=600",
    )],
    &[
        ("cache-control", "max-age=0, must-revalidate, public"),
        ("vary", "Accept, Cookie"),
    ],
    &[("vary", "Cookie, Authorization"), ("expires", "0")],
    &[
        ("cdn-cache-control", "public, max-age=600"),
        ("vary", "accept-language"),
    ],
    &[(
        "cache-control",
        "no-cache=\"set-cookie\", private=\"x-who\"",
    )],
    &[("vary", "*")],
    &[
        ("cache-control", "public, immutable, max-age=600"),
        ("vary", "origin"),
    ],
];

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_what_was_anothers() {
    let seed = number("PANNIER_PEOPLE_SEED").unwrap_or(7);
    let seconds = number("PANNIER_PEOPLE_SECONDS");
    let app = start_app(seed).await;
    let sidecar = Sidecar::start(&format!("http://{app}"), CONFIG);
    let (asked, hits) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let until = seconds.map(|seconds| clock::monotonic() + Duration::from_secs(seconds));
    let clients = (0..CLIENTS as u64).map(|nth| {
        let (client, asked, hits) = (sidecar.client(), asked.clone(), hits.clone());
        tokio::spawn(async move {
            let mut rng = Rng::with_seed(seed * 1000 + nth);
            while until.map_or(asked.load(Ordering::Relaxed) < REQUESTS, |end| {
                clock::monotonic() < end
            }) {
                let nth = asked.fetch_add(1, Ordering::Relaxed);
                if ask(&client, &mut rng, nth).await {
                    hits.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("nobody gets what was another's");
    }
    let (asked, hits) = (asked.load(Ordering::Relaxed), hits.load(Ordering::Relaxed));
    println!("seed {seed}: {asked} requests, {hits} of them hits, 0 answers across people");
    assert!(hits * 20 > asked, "of {asked} only {hits} were hits");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// One request of someone; whether it was a hit.
async fn ask(client: &Client, rng: &mut Rng, nth: usize) -> bool {
    let path = PATHS[rng.usize(..PATHS.len())];
    let fields = fields(rng, path);
    let path = path.replace("{}", &rng.u8(..4).to_string());
    let method = match rng.u8(..40) {
        0 => "PUT",
        1 => "HEAD",
        _ if path.starts_with("/posted") => "POST",
        _ => "GET",
    };
    let mut request = client.request(method, &path);
    for (name, value) in &fields {
        request = request.header(name, value);
    }
    // What only this request has, and nobody else may see in an answer.
    let own = format!("own-{nth}");
    let reply = request.header("x-nonce", &own).send().await;
    let own_fields = HeaderMap::from_iter(fields.iter().map(|(name, value)| {
        let (name, value) = (name.parse::<http::HeaderName>(), value.parse());
        (name.expect("a name"), value.expect("a value"))
    }));
    check(
        &reply,
        &who(&own_fields),
        &own,
        &format!("{method} {path} {fields:?}"),
    );
    reply.is_hit()
}

fn check(reply: &Reply, who: &str, own: &str, what: &str) {
    let cookie = reply.header("set-cookie");
    assert!(
        cookie.is_empty() || cookie == format!("seen={own}"),
        "{what}: {cookie} is another's"
    );
    let seen = reply.header("x-who");
    assert!(
        seen.is_empty() || seen == who,
        "{what}: got the answer to {seen}, {}",
        reply.cache_status()
    );
    if reply.status == StatusCode::OK && !reply.body.is_empty() {
        let value = reply.value();
        assert_eq!(value["who"], who, "{what}: {}", reply.cache_status());
    }
}

/// Some of what one of three people sends, mostly what the path's rule asks for, and what anybody may send.
fn fields(rng: &mut Rng, path: &str) -> Vec<(&'static str, String)> {
    let name = ["ann", "bob", "eve"][rng.usize(..3)];
    let mut fields = Vec::new();
    let mut cookies = Vec::new();
    let as_asked = rng.u8(..100) < 70;
    let mut sends = |rules: &[&str], chance: u8| match as_asked {
        true => rules.iter().any(|rule| path[1..].starts_with(rule)),
        false => rng.u8(..100) < chance,
    };
    if sends(
        &["cookie", "default", "me", "ME", "all", "checked", "posted"],
        50,
    ) {
        cookies.push(format!("session={name}"));
    }
    if sends(&["all"], 10) {
        cookies.push(format!("act_as={name}"));
    }
    if sends(&[], 10) {
        cookies.push(format!("app_{name}=1"));
    }
    for (field, rules, chance) in [
        ("authorization", ["authorization", "all"].as_slice(), 25),
        ("x-api-key", &["key", "all"], 25),
        ("x-user-id", &["gateway", "all"], 25),
        ("x-auth-token", &[], 5),
    ] {
        if sends(rules, chance) {
            fields.push((field, format!("Basic {name}")));
        }
    }
    if sends(&["token", "role"], 25) {
        fields.retain(|(field, _)| *field != "authorization");
        fields.push(("authorization", format!("Bearer {}", token(name))));
    }
    for cookie in ["theme=dark", "_ga=1", "_gid=2"] {
        if rng.u8(..100) < 30 {
            cookies.push(cookie.to_owned());
        }
    }
    if !cookies.is_empty() {
        fields.push(("cookie", cookies.join("; ")));
    }
    let anybody: [(&str, &[&str]); 7] = [
        ("accept-language", &["de-AT, de;q=0.9", "fr", "en"]),
        ("accept-encoding", &["gzip, br", "identity"]),
        ("origin", &["https://a.example", "https://b.example"]),
        (
            "cache-control",
            &[
                "no-cache",
                "max-age=0",
                "no-store",
                "max-stale",
                "only-if-cached",
            ],
        ),
        ("if-none-match", &["\"ann\"", "\"eve\"", "*"]),
        ("range", &["bytes=0-3", "bytes=5-"]),
        ("pannier-token", &["token-of-the-tests", "wrong"]),
    ];
    for (field, values) in anybody {
        if rng.u8(..100) < 8 {
            fields.push((field, values[rng.usize(..values.len())].to_owned()));
        }
    }
    fields
}

/// A token that is valid for a day, the same for the same second.
fn token(name: &str) -> String {
    let claims = json!({"sub": name, "role": "editor", "exp": 4_000_000_000_u64});
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token")
}

/// All by which an app can know someone; what the config calls irrelevant is not among it.
fn who(fields: &HeaderMap) -> String {
    let mut who = Vec::new();
    // The gateway that sets `X-User-Id` has looked at the rest.
    let vouched = fields.contains_key("x-user-id");
    for name in ["authorization", "x-api-key", "x-user-id", "x-auth-token"] {
        if name == "authorization" && vouched {
            continue;
        }
        if let Some(value) = fields.get(name) {
            who.push(format!("{name}={}", value.to_str().expect("text")));
        }
    }
    for line in fields.get_all("cookie") {
        let pairs = line.to_str().expect("text").split("; ");
        let known = |pair: &&str| {
            !["theme=", "_ga=", "_gid="]
                .iter()
                .any(|name| pair.starts_with(name))
        };
        who.extend(pairs.filter(known).map(str::to_owned));
    }
    who.join("|")
}

/// An app that answers each person with what it knows of them, and says of caching what frameworks do.
async fn start_app(seed: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let turn = Arc::new(AtomicUsize::new(usize::try_from(seed).unwrap_or_default()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let turn = turn.clone();
            let service = service_fn(move |request| {
                let answer = answer(&request, turn.fetch_add(1, Ordering::Relaxed));
                std::future::ready(Ok::<_, Infallible>(answer))
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    addr
}

/// The check of who asks; it fails now and then.
fn answer_check(who: &str, turn: usize) -> Response<Full<Bytes>> {
    let body = json!({ "id": who }).to_string();
    let status = match turn % 20 {
        0 => StatusCode::INTERNAL_SERVER_ERROR,
        _ if who.is_empty() => StatusCode::UNAUTHORIZED,
        _ => StatusCode::OK,
    };
    let answer = Response::builder().status(status);
    answer
        .body(Full::new(body.into()))
        .expect("a well-formed answer")
}

fn answer(request: &Request<Incoming>, turn: usize) -> Response<Full<Bytes>> {
    let who = who(request.headers());
    if request.uri().path() == "/who-asks" {
        return answer_check(&who, turn);
    }
    let body = json!({"who": who, "id": turn}).to_string();
    let mut answer = Response::builder()
        .header("content-type", "application/json")
        .header("x-who", &who);
    let mut rng = Rng::with_seed(turn as u64);
    for (name, value) in SAID[rng.usize(..SAID.len())] {
        answer = answer.header(*name, *value);
    }
    let nonce = request.headers().get("x-nonce");
    if let Some(nonce) = nonce.filter(|_| rng.bool()) {
        let cookie = [b"seen=".as_slice(), nonce.as_bytes()].concat();
        answer = answer.header("set-cookie", cookie);
    }
    if rng.bool() {
        answer = answer.header("etag", format!("\"{}\"", &who.get(..3).unwrap_or("all")));
    }
    let status = match rng.u8(..30) {
        0 => StatusCode::INTERNAL_SERVER_ERROR,
        1 => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    };
    answer
        .status(status)
        .body(Full::new(body.into()))
        .expect("a well-formed answer")
}
