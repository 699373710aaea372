//! Keys that are fetched.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pannier::clock;
use pannier::config::{Config, KeyOrigin};
use serde_json::json;

use super::issuer::{Issuer, key_set, now};
use super::{LONG, ROUTE, app, ask, becomes_hit, becomes_pass, stats};
use crate::support::Gate;
use crate::support::app::{Answer, Speaks, TestApp};
use crate::support::eventually;
use crate::support::sidecar::Sidecar;
use crate::support::tls::Certificate;

/// Who publishes keys, and what.
struct Publisher {
    server: TestApp,
    said: Arc<Mutex<Said>>,
}

#[derive(Clone)]
struct Said {
    status: u16,
    keys: String,
    cache_control: &'static str,
}

impl Publisher {
    async fn start(speaks: Speaks, keys: &[&Issuer]) -> Publisher {
        let server = TestApp::speaking(speaks).await;
        let said = Arc::new(Mutex::new(Said {
            status: 200,
            keys: key_set(keys),
            cache_control: "max-age=3600",
        }));
        let shared = said.clone();
        server.on("GET", "/keys", move |_| {
            let said = shared.lock().expect("no test panics under it").clone();
            Answer::text(said.keys)
                .with_status(said.status)
                .cache_control(said.cache_control)
        });
        Publisher { server, said }
    }

    fn says(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.said.lock().expect("no test panics under it"));
    }

    fn count(&self) -> usize {
        self.server.count("/keys")
    }

    /// A sidecar that knows it, and may ask every so often.
    fn sidecar(&self, app: &TestApp, jwt: &str, least: Duration) -> Sidecar {
        let url = format!("{}/keys", self.server.url());
        let toml = format!("[jwt]\njwks_url = \"{url}\"\n{jwt}\n{ROUTE}");
        Sidecar::start_changed(&toml, &[("PANNIER_UPSTREAM_URL", &app.url())], |config| {
            hasten(config, least);
        })
    }
}

fn hasten(config: &mut Config, least: Duration) {
    match &mut config.jwt.as_mut().expect("in the file").origin {
        KeyOrigin::Url(url) => url.least = least,
        origin => panic!("{origin} is no URL"),
    }
}

const OFTEN: Duration = Duration::from_millis(200);
const SELDOM: Duration = Duration::from_secs(30);

/// By TLS with an authority of its own, while people ask all the time: each gets their own answers, by tokens of
/// the new key within a moment, and by those of the old key no more hits once it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_under_load_and_nobody_gets_anothers() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let certificate = Certificate::new();
    let folder = tempfile::tempdir().expect("a folder");
    let (ca_file, _) = certificate.write(folder.path());
    let publisher = Publisher::start(Speaks::Tls(certificate.server(&["http/1.1"])), &[&old]).await;
    publisher.says(|said| said.cache_control = "max-age=0");
    let people: HashMap<String, String> = ["ann", "bob", "cid"]
        .into_iter()
        .flat_map(|who| {
            [&old, &new].map(|issuer| (format!("Bearer {}", issuer.token(who)), who.to_owned()))
        })
        .collect();
    let app = TestApp::start().await;
    let known = people.clone();
    app.on("GET", "/me", move |seen| {
        let who = known.get(seen.header("authorization"));
        Answer::text(who.cloned().unwrap_or_default())
    });
    let sidecar = publisher.sidecar(&app, &format!("jwks_ca_file = {ca_file:?}"), OFTEN);
    let asked = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = people
        .into_iter()
        .map(|(bearer, who)| {
            let (client, asked) = (sidecar.client(), asked.clone());
            tokio::spawn(async move {
                loop {
                    let request = client
                        .request("GET", "/me")
                        .header("authorization", &bearer);
                    assert_eq!(request.send().await.text(), who);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let client = sidecar.client();
    let (by_old, by_new) = (old.token("dan"), new.token("dan"));
    becomes_hit(&client, &by_old, "the first key").await;
    publisher.says(|said| said.keys = key_set(&[&old, &new]));
    becomes_hit(&client, &by_new, "a key was added").await;
    publisher.says(|said| said.keys = key_set(&[&new]));
    becomes_pass(&client, &by_old, "the old key was taken out").await;
    assert!(ask(&client, &by_new).await.is_hit());
    let enough = asked.load(Ordering::Relaxed) + 100;
    eventually("all go on", LONG, || async {
        asked.load(Ordering::Relaxed) > enough
    })
    .await;
    for person in load {
        assert!(!person.is_finished(), "someone got another's answer");
        person.abort();
    }
}

/// However many tokens name unknown keys, the URL is asked seldom; and a key that is new there is known by the
/// first token that names it, though the document says that it lives for an hour.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_are_asked_for_seldom() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let app = app().await;
    let publisher = Publisher::start(Speaks::Http1, &[&old]).await;
    let sidecar = publisher.sidecar(&app, "", SELDOM);
    let client = sidecar.client();
    becomes_hit(&client, &old.token("ann"), "the first key").await;
    let payload = old.token("ann");
    let payload = payload.split('.').nth(1).expect("a payload");
    let flood = |from: usize| {
        let (client, payload) = (sidecar.client(), payload.to_owned());
        async move {
            for nth in from..from + 1_250 {
                let header = json!({"alg": "RS256", "kid": nth.to_string()}).to_string();
                let token = format!("{}.{payload}.c2ln", base64url(&header));
                assert!(!ask(&client, &token).await.is_hit());
            }
        }
    };
    futures_util::future::join_all((0..8).map(|nth| flood(nth * 1_250))).await;
    assert!(publisher.count() <= 3, "{} requests", publisher.count());

    let often = publisher.sidecar(&app, "", OFTEN);
    let client = often.client();
    becomes_hit(&client, &old.token("ann"), "the first key").await;
    publisher.says(|said| said.keys = key_set(&[&old, &new]));
    becomes_hit(&client, &new.token("ann"), "a key was added").await;
}

/// Who asks once, and too soon after the last request to the URL, is known all the same when it is asked next.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_not_forgotten_while_it_may_not_be_asked_for() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let app = app().await;
    let publisher = Publisher::start(Speaks::Http1, &[&old]).await;
    let sidecar = publisher.sidecar(&app, "", Duration::from_secs(2));
    let client = sidecar.client();
    becomes_hit(&client, &old.token("ann"), "the first key").await;
    publisher.says(|said| said.keys = key_set(&[&old, &new]));
    assert!(!ask(&client, &new.token("ann")).await.is_hit());
    eventually("it is asked for", LONG, || async {
        stats(&sidecar).await["keys"] == 2
    })
    .await;
}

/// A URL that is down costs nothing until the keys are too old; after that nobody is known until it is back.
#[tokio::test(flavor = "multi_thread")]
async fn old_keys_hold_while_the_url_is_down_but_not_for_ever() {
    let issuer = Issuer::new("a");
    let app = app().await;
    let publisher = Publisher::start(Speaks::Http1, &[&issuer]).await;
    publisher.says(|said| said.cache_control = "no-store");
    let sidecar = publisher.sidecar(&app, "jwks_stale = \"2s\"", OFTEN);
    let client = sidecar.client();
    let token = issuer.token("ann");
    becomes_hit(&client, &token, "the key").await;
    publisher.says(|said| said.status = 503);
    let down = clock::monotonic();
    eventually("it is told", LONG, || async {
        let error = stats(&sidecar).await["last_error"].clone();
        error.as_str().is_some_and(|error| error.contains("503"))
    })
    .await;
    assert!(ask(&client, &token).await.is_hit(), "the old key stays");
    becomes_pass(&client, &token, "for too long").await;
    let held = clock::monotonic().duration_since(down);
    assert!(held > Duration::from_secs(1), "{held:?}");
    assert_eq!(stats(&sidecar).await["keys"], 0);
    publisher.says(|said| said.status = 200);
    becomes_hit(&client, &token, "it is back").await;
    let stats = stats(&sidecar).await;
    assert!(stats["last_error"].is_null(), "{stats}");
    assert!(stats["last_success"].as_u64() > Some(now() - 60), "{stats}");
}

/// Nobody waits for keys: until they are there requests pass. A reload keeps those that were fetched.
#[tokio::test(flavor = "multi_thread")]
async fn the_start_waits_for_no_keys_and_a_reload_keeps_them() {
    let issuer = Issuer::new("a");
    let app = app().await;
    let server = TestApp::start().await;
    let (gate, keys) = (Gate::new(), key_set(&[&issuer]));
    let held = gate.clone();
    server.on("GET", "/keys", move |_| {
        Answer::text(keys.clone()).behind(&held)
    });
    let url = format!("{}/keys", server.url());
    let toml = format!("[jwt]\njwks_url = \"{url}\"\n{ROUTE}");
    let sidecar = Sidecar::start(&app.url(), &toml);
    let client = sidecar.client();
    let token = issuer.token("ann");
    gate.reached(1).await;
    let reply = ask(&client, &token).await;
    assert_eq!(reply.status, 200, "it passes");
    assert!(!reply.is_hit());
    gate.open();
    becomes_hit(&client, &token, "the keys are there").await;
    gate.shut();
    sidecar.reload(&toml, &[("PANNIER_UPSTREAM_URL", &app.url())]);
    assert!(ask(&client, &token).await.is_hit(), "over a reload");
    assert_eq!(server.count("/keys"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_set_is_told_and_not_taken() {
    let issuer = Issuer::new("a");
    let app = app().await;
    let shared = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}).to_string();
    let long = format!("{}{}", key_set(&[&issuer]), " ".repeat(300_000));
    for (case, status, keys, told) in [
        ("an error", 500, key_set(&[&issuer]), "answered 500"),
        (
            "elsewhere",
            302,
            key_set(&[&issuer]),
            "write the URL that this leads to",
        ),
        ("a page", 200, "<html>".to_owned(), "not a JWKS document"),
        (
            "a secret",
            200,
            shared,
            "not a JWKS document of public keys",
        ),
        ("without end", 200, long, "over 256 KiB"),
    ] {
        let publisher = Publisher::start(Speaks::Http1, &[]).await;
        publisher.says(|said| (said.status, said.keys) = (status, keys));
        let sidecar = publisher.sidecar(&app, "", SELDOM);
        eventually(case, LONG, || async {
            let error = stats(&sidecar).await["last_error"].clone();
            error
                .as_str()
                .is_some_and(|error| error.contains(told) && error.contains("/keys: "))
        })
        .await;
        let reply = ask(&sidecar.client(), &issuer.token("ann")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.is_hit()),
            (200, false),
            "{case}"
        );
    }
}

fn base64url(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let chunks = text.as_bytes().chunks(3).flat_map(|chunk| {
        let bits = chunk
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        (0..=chunk.len())
            .map(move |digit| char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]))
    });
    chunks.collect()
}
