//! `then = "refetch"`: what a write purged and was read is asked for again, so that the next reader hits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::app::{Answer, TestApp};
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;
use crate::support::{Gate, eventually};

const LONG: Duration = Duration::from_secs(30);

/// `then`: what the rules have besides.
fn rules(then: &str) -> String {
    format!(
        "[upstream]\nbackground = {{ rate = \"1000/s\", concurrency = 2 }}\n\
         [[route]]\nname = \"item\"\npath = \"/items/{{id}}\"\nkey = \"item:{{path.id}}\"\ntags = [\"items\"]\n\
         [[route]]\nname = \"mine\"\npath = \"/mine\"\nkey = \"item:mine:{{header.authorization}}\"\n\
         [defaults]\ncredential_headers = [\"x-corp-caller\"]\n\
         [[route]]\nname = \"team\"\npath = \"/team\"\nkey = \"item:mine:team\"\nshared = true\n\
         [[purge]]\nname = \"item\"\npath = \"/items/{{id}}\"\nkeys = [\"item:{{path.id}}\"]\n{then}\n\
         [[purge]]\nname = \"all\"\npath = \"/all\"\nkeys = [\"item:mine:*\"]\ntags = [\"items\"]\n{then}\n"
    )
}

/// Items of one version, which each write raises.
async fn app() -> (TestApp, Arc<AtomicUsize>) {
    let app = TestApp::start().await;
    let version = Arc::new(AtomicUsize::new(0));
    for path in ["/items/1", "/items/2", "/items/3", "/mine", "/team"] {
        let read = version.clone();
        app.on("GET", path, move |_| {
            Answer::text(read.load(Ordering::SeqCst).to_string())
        });
    }
    for path in ["/items/1", "/all"] {
        let written = version.clone();
        app.on("POST", path, move |_| {
            written.fetch_add(1, Ordering::SeqCst);
            Answer::status(204)
        });
    }
    (app, version)
}

/// Stored, and read if that is said.
async fn read(sidecar: &Sidecar, path: &str, times: usize) {
    let client = sidecar.client();
    for _ in 0..times {
        assert_eq!(client.get(path).await.status, 200);
        sidecar.fills_have_ended().await;
    }
}

async fn write(sidecar: &Sidecar, path: &str) {
    let reply = sidecar.client().request("POST", path).send().await;
    assert_eq!(reply.status, 204, "{}", reply.cache_status());
}

async fn assert_hit(sidecar: &Sidecar, path: &str, text: &str) {
    let reply = sidecar.client().get(path).await;
    assert!(reply.is_hit(), "{path}: {}", reply.cache_status());
    assert_eq!(reply.text(), text, "{path}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_reader_hits_and_what_nobody_reads_is_not_asked_for() {
    let redis = RedisServer::start();
    let with_redis = format!(
        "[redis]\nurl = \"{}\"\n{}",
        redis.url(),
        rules("then = \"refetch\"\nrefetch_max = 2")
    );
    let (app, _) = app().await;
    for rules in [rules("then = \"refetch\"\nrefetch_max = 2"), with_redis] {
        let sidecar = Sidecar::start(&app.url(), &rules);
        eventually("it has its Redis, if there is one", LONG, || async {
            let stats = sidecar.admin().get("/stats").await.value();
            stats["redis"]["state"] != "down"
        })
        .await;
        let (ones, twos) = (app.count("/items/1"), app.count("/items/2"));
        read(&sidecar, "/items/1", 2).await;
        read(&sidecar, "/items/2", 1).await;
        for (path, name) in [("/mine", "authorization"), ("/team", "x-corp-caller")] {
            for _ in 0..2 {
                sidecar.client().get_with(path, &[(name, "ann")]).await;
                sidecar.fills_have_ended().await;
            }
        }
        let anns = ["/mine", "/team"].map(|path| app.count(path));
        write(&sidecar, "/all").await;
        sidecar.fills_have_ended().await;
        let version = sidecar.client().get("/items/1").await;
        assert!(version.is_hit(), "{}", version.cache_status());
        // Two fetches and the write's own refetch of the one that was read; nothing of what a person reads.
        assert_eq!(app.count("/items/1") - ones, 2);
        assert_eq!(app.count("/items/2") - twos, 1, "nobody has read it");
        let asked = ["/mine", "/team"].map(|path| app.count(path));
        assert_eq!(asked, anns, "it is Ann's to ask for");
        let reply = sidecar.client().get("/items/2").await;
        assert!(!reply.is_hit(), "{}", reply.cache_status());
        // By its key, as often as it is read, and not once more.
        for round in 0..3 {
            let asked = app.count("/items/1");
            write(&sidecar, "/items/1").await;
            sidecar.fills_have_ended().await;
            // One of them is the write.
            let refetched = app.count("/items/1") - asked - 1;
            assert_eq!(refetched, if round < 2 { 1 } else { 0 }, "round {round}");
            if round == 0 {
                assert!(sidecar.client().get("/items/1").await.is_hit());
            }
        }
        let stats = sidecar.admin().get("/stats").await.value();
        assert_eq!(stats["app_requests"]["refetch"], 3);
    }
}

/// Of what was read most often, and no more than may be.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_asked_for_than_may_be() {
    let (app, _) = app().await;
    let sidecar = Sidecar::start(&app.url(), &rules("then = \"refetch\"\nrefetch_max = 2"));
    for path in ["/items/1", "/items/2", "/items/3"] {
        read(&sidecar, path, 2).await;
    }
    let asked = app.seen().len();
    write(&sidecar, "/all").await;
    sidecar.fills_have_ended().await;
    assert_eq!(app.seen().len(), asked + 1 + 2);
}

/// Writes come while what the first has asked for is under way: whoever reads at any moment sees the last of them.
#[tokio::test(flavor = "multi_thread")]
async fn racing_writes_leave_nothing_old() {
    let (app, version) = app().await;
    let gate = Gate::new();
    let (behind, read_version) = (gate.clone(), version.clone());
    app.on("GET", "/items/1", move |seen| {
        let text = read_version.load(Ordering::SeqCst).to_string();
        match seen.nth {
            // What the first write has asked for: it sees the first write, and its answer comes late.
            1 => Answer::text(text).behind(&behind),
            _ => Answer::text(text),
        }
    });
    let sidecar = Sidecar::start(&app.url(), &rules("then = \"refetch\""));
    read(&sidecar, "/items/1", 1).await;
    assert_hit(&sidecar, "/items/1", "0").await;
    write(&sidecar, "/items/1").await;
    gate.reached(1).await;
    for expected in 2..6 {
        write(&sidecar, "/items/1").await;
        let reply = sidecar.client().get("/items/1").await;
        assert_eq!(
            reply.text(),
            expected.to_string(),
            "{}",
            reply.cache_status()
        );
    }
    gate.open();
    let reading = async {
        loop {
            let reply = sidecar.client().get("/items/1").await;
            assert_eq!(reply.text(), "5", "{}", reply.cache_status());
        }
    };
    tokio::select! {
        () = sidecar.fills_have_ended() => {}
        () = reading => {}
    }
    assert_hit(&sidecar, "/items/1", "5").await;
    // Many at once.
    let writers = (0..4).map(|_| async {
        for _ in 0..10 {
            let reply = sidecar.client().request("POST", "/items/1").send().await;
            assert_eq!(reply.status, 204);
            let written = version.load(Ordering::SeqCst);
            let seen: usize = sidecar
                .client()
                .get("/items/1")
                .await
                .text()
                .parse()
                .expect("a number");
            assert!(seen + 4 > written, "{seen} of {written}");
        }
    });
    futures_util::future::join_all(writers).await;
    sidecar.fills_have_ended().await;
    assert_hit(
        &sidecar,
        "/items/1",
        &version.load(Ordering::SeqCst).to_string(),
    )
    .await;
}

/// The app acts later than it answers: what is asked for after the delay, and after each later purge, is of that time.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_acts_later_is_asked_again_after_each_purge() {
    let (app, version) = app().await;
    let acts = Arc::new(AtomicUsize::new(0));
    let counted = acts.clone();
    app.on("POST", "/items/1", move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Answer::status(202)
    });
    let then = "then = \"refetch\"\ndelay = \"1ms\"\nagain_after = [\"2s\"]";
    let sidecar = Sidecar::start(&app.url(), &rules(then));
    read(&sidecar, "/items/1", 2).await;
    let reply = sidecar.client().request("POST", "/items/1").send().await;
    assert_eq!(reply.status, 202);
    eventually("it is asked for at once", LONG, || async {
        app.count("/items/1") == 1 + 1 + 1
    })
    .await;
    // Now it takes effect.
    version.store(7, Ordering::SeqCst);
    sidecar.fills_have_ended().await;
    assert_hit(&sidecar, "/items/1", "7").await;
    assert_eq!(app.count("/items/1"), 1 + 1 + 2);
}

/// Told to wait, it waits, and is asked for then.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_to_wait_is_not_lost() {
    let (app, version) = app().await;
    let read_version = version.clone();
    app.on("GET", "/items/1", move |seen| match seen.nth {
        1 => Answer::status(503).header("retry-after", "1"),
        _ => Answer::text(read_version.load(Ordering::SeqCst).to_string()),
    });
    let sidecar = Sidecar::start(&app.url(), &rules("then = \"refetch\""));
    read(&sidecar, "/items/1", 1).await;
    assert_hit(&sidecar, "/items/1", "0").await;
    write(&sidecar, "/items/1").await;
    sidecar.fills_have_ended().await;
    assert_hit(&sidecar, "/items/1", "1").await;
    let stats = sidecar.admin().get("/stats").await.value();
    assert_eq!(stats["app_requests"]["refetch"], 2);
    assert_eq!(stats["background"]["stopped_seconds"], 1.0);
}
