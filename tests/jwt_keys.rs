//! The keys that verify tokens change while the sidecar runs: what was taken out counts no more, what is new
//! counts, and nobody gets what is another's.

mod issuer;
mod url;

use std::path::Path;
use std::time::Duration;

use crate::support::app::{Answer, TestApp};
use crate::support::client::{Client, Reply};
use crate::support::eventually;
use crate::support::sidecar::Sidecar;
use issuer::{Issuer, key_set};

const LONG: Duration = Duration::from_secs(20);
const ROUTE: &str = "[[route]]\npath = \"/me\"\nkey = \"me:{jwt.sub}\"\nttl = \"1h\"\n";

/// An app that answers everyone with their own token.
async fn app() -> TestApp {
    let app = TestApp::start().await;
    app.on("GET", "/me", |seen| {
        Answer::text(seen.header("authorization"))
    });
    app
}

fn sidecar(app: &TestApp, jwt: &str) -> Sidecar {
    Sidecar::start(&app.url(), &format!("[jwt]\n{jwt}\n{ROUTE}"))
}

async fn ask(client: &Client, token: &str) -> Reply {
    let request = client.request("GET", "/me");
    let bearer = format!("Bearer {token}");
    request.header("authorization", &bearer).send().await
}

async fn becomes_hit(client: &Client, token: &str, what: &str) {
    eventually(what, LONG, || async { ask(client, token).await.is_hit() }).await;
}

async fn becomes_pass(client: &Client, token: &str, what: &str) {
    let passes = || async { !ask(client, token).await.is_hit() };
    eventually(what, LONG, passes).await;
    assert!(!ask(client, token).await.is_hit(), "{what}: for good");
}

async fn stats(sidecar: &Sidecar) -> serde_json::Value {
    sidecar.admin().get("/stats").await.value()["jwt"].clone()
}

/// As Kubernetes mounts a volume: the file is a link through `..data`, which is swapped.
fn swap_link(folder: &Path, version: &str, text: &str) {
    let data = folder.join(version);
    std::fs::create_dir(&data).expect("a new version");
    std::fs::write(data.join("keys.json"), text).expect("a file");
    let link = folder.join("..data_tmp");
    std::os::unix::fs::symlink(version, &link).expect("a link");
    std::fs::rename(link, folder.join("..data")).expect("swapped");
}

fn rename(file: &Path, text: &str) {
    let next = file.with_extension("next");
    std::fs::write(&next, text).expect("a file");
    std::fs::rename(next, file).expect("replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_counts_at_once() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let versions = [key_set(&[&old]), key_set(&[&old, &new]), key_set(&[&new])];
    for way in ["renamed", "linked", "written"] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys.json");
        if way == "linked" {
            std::os::unix::fs::symlink("..data/keys.json", &file).expect("a link");
        }
        let put = |version: usize| match way {
            "renamed" => rename(&file, &versions[version]),
            "linked" => swap_link(folder.path(), &version.to_string(), &versions[version]),
            _ => std::fs::write(&file, &versions[version]).expect("a file"),
        };
        put(0);
        let app = app().await;
        let sidecar = sidecar(&app, &format!("jwks_file = {file:?}"));
        let client = sidecar.client();
        let (by_old, by_new) = (old.token("ann"), new.token("ann"));
        becomes_hit(&client, &by_old, "the first key").await;
        assert!(!ask(&client, &by_new).await.is_hit(), "{way}: unknown yet");
        put(1);
        becomes_hit(&client, &by_new, "a key was added").await;
        assert!(ask(&client, &by_old).await.is_hit(), "{way}: still there");
        put(2);
        becomes_pass(&client, &by_old, "the old key was taken out").await;
        let hit = ask(&client, &by_new).await;
        assert!(
            hit.is_hit(),
            "{way}: what is stored stays: {}",
            hit.cache_status()
        );
    }
}

/// A file in the middle of being written, or broken, is no reason to forget the keys that were good, nor one
/// to keep those of a file that says there are none.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_and_is_told() {
    let issuer = Issuer::new("a");
    let whole = key_set(&[&issuer]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys.json");
    std::fs::write(&file, &whole).expect("a file");
    let app = app().await;
    let sidecar = sidecar(&app, &format!("jwks_file = {file:?}"));
    let client = sidecar.client();
    let token = issuer.token("ann");
    becomes_hit(&client, &token, "the key").await;
    let fault = || async {
        let error = stats(&sidecar).await["last_error"].clone();
        error.as_str().unwrap_or_default().to_owned()
    };
    std::fs::write(&file, &whole[..whole.len() / 2]).expect("half of it");
    eventually("half a file is told", LONG, || async {
        fault().await.contains("not a JWKS document")
    })
    .await;
    assert!(ask(&client, &token).await.is_hit(), "the old key stays");
    std::fs::remove_file(&file).expect("it is there");
    eventually("a missing file is told", LONG, || async {
        fault().await.contains("cannot be read")
    })
    .await;
    assert!(ask(&client, &token).await.is_hit(), "the old key stays");
    std::fs::write(&file, &whole).expect("all of it");
    eventually("it is whole again", LONG, || async {
        fault().await.is_empty()
    })
    .await;
    assert!(ask(&client, &token).await.is_hit(), "nothing has changed");
    let told = sidecar.admin().get("/metrics").await;
    let errors = "pannier_jwks_refreshes_total{result=\"error\"} 2";
    assert!(
        told.text().contains(errors),
        "each fault once: {}",
        told.text()
    );
    std::fs::write(&file, "{\"keys\":[]}").expect("none");
    becomes_pass(&client, &token, "all keys were taken out").await;
    assert_eq!(stats(&sidecar).await["keys"], 0);
}

/// Secrets and keys in PEM are followed as well, and a reload in between changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_pem_are_followed_over_a_reload() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    let secrets = ["a".repeat(40), "b".repeat(40)];
    let (one, two) = (
        Issuer::of_secret(&secrets[0]),
        Issuer::of_secret(&secrets[1]),
    );
    let (pem_one, pem_two) = (Issuer::new("one"), Issuer::new("two"));
    for (key, before, after, old, new) in [
        (
            "secret_file",
            &secrets[0],
            &format!("{}\n", secrets[1]),
            &one,
            &two,
        ),
        (
            "public_key_file",
            &pem_one.public_pem(),
            &pem_two.public_pem(),
            &pem_one,
            &pem_two,
        ),
    ] {
        std::fs::write(&file, before).expect("a file");
        let app = app().await;
        let jwt = format!("[jwt]\n{key} = {file:?}\n{ROUTE}");
        let sidecar = Sidecar::start(&app.url(), &jwt);
        let client = sidecar.client();
        let (by_old, by_new) = (old.token("ann"), new.token("ann"));
        becomes_hit(&client, &by_old, key).await;
        rename(&file, after);
        becomes_hit(&client, &by_new, key).await;
        assert!(!ask(&client, &by_old).await.is_hit(), "{key}");
        sidecar.reload(&jwt, &[("PANNIER_UPSTREAM_URL", &app.url())]);
        assert!(ask(&client, &by_new).await.is_hit(), "{key}");
        rename(&file, before);
        becomes_hit(&client, &by_old, "after a reload").await;
        assert!(!ask(&client, &by_new).await.is_hit(), "{key}");
    }
}

/// A field that carries the token says who asks, whatever its name: what its token vouches for is shared by that
/// claim alone, and where the key has none the request passes.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_ones_own_carries_the_token() {
    let secret = "s".repeat(40);
    let issuer = Issuer::of_secret(&secret);
    let app = TestApp::start().await;
    for path in ["/me", "/board"] {
        app.on("GET", path, |seen| {
            Answer::text(seen.header("x-caller-proof"))
        });
    }
    let jwt = format!("secret = {secret:?}\nsource = \"header\"\nheader = \"X-Caller-Proof\"");
    let board = "[[route]]\npath = \"/board\"\nkey = \"board\"\nttl = \"1h\"\n";
    let toml = format!("[jwt]\n{jwt}\naudience = [\"api\", \"web\"]\n{ROUTE}{board}");
    let sidecar = Sidecar::start(&app.url(), &toml);
    let client = sidecar.client();
    let token = |sub: &str, aud: &str| {
        issuer.sign(&serde_json::json!({"sub": sub, "aud": aud, "exp": issuer::now() + 3600}))
    };
    let ask = async |path: &str, fields: &[(&str, &str)]| client.get_with(path, fields).await;
    let (ann, bob) = (token("ann", "api"), token("bob", "web"));
    for proof in [&ann, &bob] {
        for nth in 0..2 {
            let bearer = format!("Bearer {proof}");
            let said = if nth == 0 { proof } else { &bearer };
            let reply = ask("/me", &[("x-caller-proof", said)]).await;
            assert_eq!((reply.text(), reply.is_hit()), (proof.as_str(), nth == 1));
        }
    }
    let with_another = [
        ("x-caller-proof", ann.as_str()),
        ("authorization", "Basic YTpi"),
    ];
    let elsewhere = token("ann", "elsewhere");
    for (case, path, fields) in [
        ("a key without it", "/board", &with_another[..1]),
        ("a credential besides", "/me", &with_another[..]),
        (
            "not for us",
            "/me",
            &[("x-caller-proof", elsewhere.as_str())][..],
        ),
        (
            "in the place of others",
            "/me",
            &[("authorization", ann.as_str())][..],
        ),
    ] {
        for _ in 0..2 {
            assert!(!ask(path, fields).await.is_hit(), "{case}");
        }
    }
}
