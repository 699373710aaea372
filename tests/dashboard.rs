//! The page of the admin interface, in a real browser.

use std::time::Duration;

use serde_json::Value;

use crate::support::app::{Answer, TestApp};
use crate::support::browser::Page;
use crate::support::redis::RedisServer;
use crate::support::relay::Relay;
use crate::support::sidecar::{Sidecar, TOKEN};
use crate::support::{Gate, eventually};

const ROUTES: &str = r#"
[[route]]
name = "board"
path = "/board/{id}"
key = "board:{path.id}"
ttl = "60s"
[[route]]
name = "users"
path = "/users/{id}"
key = "user:{path.id}"
ttl = "5m"
priority = "high"
"#;

const SOON: Duration = Duration::from_secs(30);

async fn start_app() -> TestApp {
    let app = TestApp::start().await;
    for path in ["/board/1", "/board/2", "/board/3", "/users/1"] {
        app.on("GET", path, |_| Answer::text("x"));
    }
    app
}

async fn ask(sidecar: &Sidecar, path: &str, times: usize) {
    let client = sidecar.client();
    for _ in 0..times {
        assert_eq!(client.get(path).await.status, 200);
        sidecar.fills_have_ended().await;
    }
}

/// The names in the table of routes, in order.
async fn names(page: &mut Page) -> Vec<String> {
    let names = "[...document.querySelectorAll('#rows th')].map((cell) => cell.innerText)";
    serde_json::from_value(page.evaluate(names).await).expect("texts")
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_move_under_load_and_the_table_sorts_and_filters() {
    let (app, redis) = (start_app().await, RedisServer::start());
    let toml = format!("[redis]\nurl = \"{}\"\n{ROUTES}", redis.url());
    let sidecar = Sidecar::start(&app.url(), &toml);
    let mut page = Page::open(sidecar.admin_addr(), "/").await;
    page.until("document.getElementById('word').innerText.toLowerCase() === 'healthy'")
        .await;
    ask(&sidecar, "/board/1", 4).await;
    ask(&sidecar, "/users/1", 2).await;
    page.until("document.querySelector('#rows tr td:nth-child(6)').innerText === '4'")
        .await;
    page.until("document.getElementById('hit-rate').innerText === '66.7 %'")
        .await;
    page.until("document.getElementById('keys').innerText === '2 in Redis, 2 here'")
        .await;
    page.until("/^up, \\d+ of \\d+ connections$/.test(document.getElementById('redis').innerText)")
        .await;
    // The first step of the hour ends after ten seconds.
    page.until("document.querySelectorAll('#charts figure').length === 6")
        .await;

    // Bodies of one byte.
    let bytes = "[...document.querySelectorAll('#rows tr:first-child td')].some((cell) => cell.innerText === '1 B')";
    page.until(bytes).await;
    let under_way = page.evaluate(
        "(stats.purges = [{ what: 'pattern a:*', seconds: 3.2, keys_less: 1200 }], stats.redis.pending_purges = 2, \
         showPurges(), document.getElementById('purge-list').innerText)",
    );
    let expected = "pattern a:*: for 3.2 s, 1,200 keys less so far\n2 wait until Redis can be reached; what they cover is not \
                    served from it";
    assert_eq!(under_way.await, expected);

    assert_eq!(names(&mut page).await[..2], ["board", "users"]);
    page.click("[data-column=requests]").await;
    assert_eq!(names(&mut page).await.last().expect("rows"), "board");
    page.click("[data-column=name]").await;
    let sorted = "document.querySelector('th[aria-sort]').innerText";
    assert_eq!(page.evaluate(sorted).await, "Route");
    page.write("filter", "USE").await;
    assert_eq!(names(&mut page).await, ["users"]);
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_token_purges_clears_and_explains() {
    let app = start_app().await;
    let sidecar = Sidecar::start(&app.url(), ROUTES);
    ask(&sidecar, "/board/1", 2).await;
    ask(&sidecar, "/board/2", 1).await;
    let mut page = Page::open(sidecar.admin_addr(), "/").await;
    let refused = "document.getElementById('done').innerText.startsWith('Refused')";
    let purged =
        |count| format!("document.getElementById('done').innerText === 'Purged: {count} entries.'");
    page.write("purge-what", "board:1").await;
    page.click("#purge-form button").await;
    page.until(refused).await;
    assert!(
        sidecar.client().get("/board/1").await.is_hit(),
        "nobody has purged"
    );

    page.write("token", "not-the-token-of-the-tests").await;
    page.click("#purge-form button").await;
    page.until("document.getElementById('done').innerText.includes('with the configured token')")
        .await;

    page.write("token", TOKEN).await;
    page.click("#purge-form button").await;
    page.until(&purged(1)).await;
    assert!(!sidecar.client().get("/board/1").await.is_hit());
    sidecar.fills_have_ended().await;

    // What is stored is of the host that clients ask for, not of the one of this page.
    page.write("explain-url", "/board/2").await;
    page.click("#explain-form button").await;
    page.until("document.getElementById('done').innerText.startsWith('Write a whole URL')")
        .await;
    let host = sidecar.addr().to_string();
    for (url, host) in [
        ("/board/2".to_owned(), host.clone()),
        (format!("http://{host}/board/2"), String::new()),
        // The host of the last one is remembered.
        ("/board/2".to_owned(), format!("http://{host}")),
    ] {
        page.evaluate("document.getElementById('story').textContent = '{}'")
            .await;
        page.write("explain-url", &url).await;
        page.write("explain-host", &host).await;
        page.click("#explain-form button").await;
        page.until(
            "JSON.parse(document.getElementById('story').textContent).held?.reason === 'hit'",
        )
        .await;
    }
    let other = format!("https://{host}/board/2");
    page.write("explain-url", &other).await;
    page.click("#explain-form button").await;
    page.until(
        "JSON.parse(document.getElementById('story').textContent).held?.reason === 'vary-miss'",
    )
    .await;

    let here = "It holds here: there is no [redis] to tell others by.";
    let done = |words: &str| {
        format!("document.getElementById('done').innerText === 'Switched {words}. {here}'")
    };
    let choose = |rule: &str, mode: &str| {
        format!(
            "document.getElementById('switch-mode').value = '{mode}'; (rule => {{ rule.value = '{rule}'; \
             rule.dispatchEvent(new Event('change')) }})(document.getElementById('switch-rule'))"
        )
    };
    page.evaluate(&choose("board", "off")).await;
    page.click("#switch-form button").await;
    page.until(&done("board: off")).await;
    let off = sidecar.client().get("/board/2").await;
    assert!(
        off.cache_status().contains("disabled"),
        "{}",
        off.cache_status()
    );
    let board = "[...document.querySelectorAll('#rows tr:first-child td')].slice(1, 3).map((cell) => cell.innerText).join()";
    page.until(&format!("{board} === 'off,100 %'")).await;
    // A percentage alone leaves the mode as it is.
    page.evaluate(&choose("board", "")).await;
    page.click("#switch-form button").await;
    page.until("document.getElementById('done').innerText.startsWith('Say what it is to be')")
        .await;
    page.write("switch-percent", "10").await;
    page.click("#switch-form button").await;
    page.until(&done("board: 10 %")).await;
    page.until(&format!("{board} === 'off,10 %'")).await;
    page.evaluate(&choose("board", "file")).await;
    page.write("switch-percent", "").await;
    page.click("#switch-form button").await;
    page.until(&done("board: file")).await;
    // Everything has none.
    page.write("switch-percent", "10").await;
    page.evaluate(&choose("", "")).await;
    let percent = "JSON.stringify([document.getElementById('switch-percent').disabled, document.getElementById('switch-percent').value])";
    assert_eq!(page.evaluate(percent).await, "[true,\"\"]");
    page.click("#switch-form button").await;
    page.until("document.getElementById('done').innerText.startsWith('Say what everything')")
        .await;
    page.evaluate(&choose("", "on")).await;
    page.click("#switch-form button").await;
    page.until(&done("everything: on")).await;

    page.write("clear-word", "yes").await;
    page.click("#clear-form button").await;
    assert!(
        sidecar.client().get("/board/2").await.is_hit(),
        "the word is clear"
    );
    page.write("clear-word", "clear").await;
    page.click("#clear-form button").await;
    page.until(&purged(2)).await;
    let everywhere =
        "JSON.stringify([location.href, document.cookie, {...localStorage}, {...sessionStorage}])";
    let kept = page.evaluate(everywhere).await;
    assert!(!kept.as_str().expect("a text").contains(TOKEN), "{kept}");
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_answers_no_more_is_told_and_found_again() {
    let app = start_app().await;
    let sidecar = Sidecar::start(&app.url(), ROUTES);
    let relay = Relay::start(sidecar.admin_addr(), b"GET /events ").await;
    let mut page = Page::open(relay.addr(), "/").await;
    let is = |word| format!("document.getElementById('word').innerText.toLowerCase() === '{word}'");
    page.until(&is("healthy")).await;
    page.until("document.querySelectorAll('#rows tr').length > 0")
        .await;

    // The way of the events leads nowhere any more, as behind a router that has forgotten it: they are asked for anew.
    relay.let_die();
    page.until(&is("no answer")).await;
    assert!(page.text("freshness").await.contains("was last heard"));
    let spoken = "document.querySelector('[aria-live] #freshness') === null";
    assert_eq!(page.evaluate(spoken).await, true, "not every second");
    page.until(&is("healthy")).await;

    // Nobody listens there any more, and then another one does.
    sidecar.stop();
    page.until(&is("no answer")).await;
    let again = Sidecar::start(&app.url(), ROUTES);
    relay.lead_to(again.admin_addr());
    page.until(&is("healthy")).await;
}

/// What axe-core calls serious or critical, in both schemes and at a phone's width.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_stands_in_the_way_of_a_screen_reader() {
    const AXE: &str = "target/axe/node_modules/axe-core/axe.min.js";
    let axe = std::fs::read_to_string(AXE).expect("tests/run installs axe-core");
    let app = start_app().await;
    let sidecar = Sidecar::start(&app.url(), ROUTES);
    ask(&sidecar, "/board/1", 2).await;
    let mut page = Page::open(sidecar.admin_addr(), "/").await;
    page.until("document.querySelectorAll('#rows tr').length >= 2")
        .await;
    page.until("document.querySelectorAll('#charts figure').length === 6")
        .await;
    page.evaluate(&axe).await;
    for (width, scheme) in [(1100, "light"), (1100, "dark"), (380, "light")] {
        page.picture(width, scheme).await;
        let found = page
            .evaluate("axe.run().then((found) => found.violations)")
            .await;
        let found = found.as_array().expect("a list").iter();
        let serious: Vec<&Value> = found
            .filter(|found| found["impact"] == "serious" || found["impact"] == "critical")
            .collect();
        assert!(serious.is_empty(), "{width} {scheme}: {serious:#?}");
    }
}

#[tokio::test]
async fn only_the_page_served_here_may_act() {
    let app = start_app().await;
    let sidecar = Sidecar::start(&app.url(), ROUTES);
    let admin = sidecar.admin();
    let port = sidecar.admin_addr().port();
    let rows = [
        ("no page", None, 200),
        ("this page", Some(format!("http://127.0.0.1:{port}")), 200),
        ("behind TLS", Some(format!("https://127.0.0.1:{port}")), 200),
        ("another port", Some("http://127.0.0.1:1".into()), 403),
        ("no port", Some("http://127.0.0.1".into()), 403),
        (
            "another name",
            Some(format!("http://localhost:{port}")),
            403,
        ),
        ("another site", Some("https://evil.example".into()), 403),
        (
            "a name that begins so",
            Some(format!("http://127.0.0.1:{port}.evil.example")),
            403,
        ),
        ("a file", Some("null".into()), 403),
        ("nothing", Some(String::new()), 403),
        (
            "another scheme",
            Some(format!("ftp://127.0.0.1:{port}")),
            403,
        ),
    ];
    for (name, origin, expected) in rows {
        let mut request = admin
            .request("POST", "/purge")
            .header("host", &format!("127.0.0.1:{port}"))
            .header("authorization", &format!("Bearer {TOKEN}"))
            .header("content-type", "application/json");
        if let Some(origin) = &origin {
            request = request.header("origin", origin);
        }
        let reply = request.body(r#"{"everything": true}"#).send().await;
        assert_eq!(reply.status, expected, "{name}: {}", reply.text());
    }
    let cross = admin
        .request("POST", "/purge")
        .header("host", &format!("127.0.0.1:{port}"))
        .header("origin", &format!("http://127.0.0.1:{port}"))
        .header("sec-fetch-site", "cross-site")
        .header("authorization", &format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .body(r#"{"everything": true}"#);
    assert_eq!(cross.send().await.status, 403);
}

/// `[admin] read_token`: figures for those who have it or may act, probes and the page itself for all.
#[tokio::test(flavor = "multi_thread")]
async fn figures_are_for_those_who_have_the_token() {
    const READ: &str = "the-token-of-those-who-see";
    let app = start_app().await;
    let toml = format!("[admin]\nread_token = \"{READ}\"\n{ROUTES}");
    let sidecar = Sidecar::start(&app.url(), &toml);
    let admin = sidecar.admin();
    for path in [
        "/metrics",
        "/stats",
        "/history",
        "/shadow",
        "/switch",
        "/events",
        "/observations",
        "/jobs",
        "/jobs/a-run",
    ] {
        assert_eq!(admin.get(path).await.status, 401, "{path}");
        let wrong = [("authorization", "Bearer the-token-of-those-who-sea")];
        assert_eq!(admin.get_with(path, &wrong).await.status, 401, "{path}");
    }
    for token in [READ, TOKEN] {
        let right = format!("Bearer {token}");
        let reply = admin.get_with("/stats", &[("authorization", &right)]).await;
        assert_eq!(reply.status, 200, "{token}");
    }
    for path in ["/healthz", "/readyz", "/", "/dashboard.js"] {
        assert_eq!(admin.get(path).await.status, 200, "{path}");
    }
    let purge = admin
        .request("POST", "/purge")
        .header("authorization", &format!("Bearer {READ}"));
    let purge = purge
        .header("content-type", "application/json")
        .body(r#"{"everything": true}"#);
    assert_eq!(purge.send().await.status, 401, "who may see may not act");
    tell_the_status(&sidecar, READ).await;

    let mut page = Page::open(sidecar.admin_addr(), "/").await;
    page.until(
        "document.getElementById('word').innerText.toLowerCase() === 'write the token below'",
    )
    .await;
    page.write("token", READ).await;
    page.until("document.getElementById('word').innerText.toLowerCase() === 'healthy'")
        .await;
}

/// `pannier status` by the token of those who see alone, and what it ends with where it cannot tell.
async fn tell_the_status(sidecar: &Sidecar, read_token: &str) {
    let admin = sidecar.admin_addr().to_string();
    // Nobody listens there for as long as this is bound.
    let nobody = tokio::net::TcpSocket::new_v4().expect("a socket");
    nobody.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let nowhere = nobody.local_addr().expect("it has one").to_string();
    for (name, admin, variable, expected) in [
        ("who may see", &admin, "PANNIER_ADMIN_READ_TOKEN", 0),
        ("no token", &admin, "UNRELATED", 3),
        ("no answer", &nowhere, "PANNIER_ADMIN_READ_TOKEN", 2),
        ("no address", &"nowhere".to_owned(), "UNRELATED", 3),
    ] {
        let status = tokio::process::Command::new(env!("CARGO_BIN_EXE_pannier"))
            .args(["status", "--admin", admin])
            .env(variable, read_token)
            .output();
        let status = status.await.expect("it runs");
        assert_eq!(status.status.code(), Some(expected), "{name}: {status:?}");
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let app = start_app().await;
    let sidecar = Sidecar::start(&app.url(), ROUTES);
    for path in ["/", "/dashboard.js", "/dashboard.css"] {
        let reply = sidecar.admin().get(path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(
            reply
                .header("content-security-policy")
                .starts_with("default-src 'none'")
        );
        let elsewhere = reply.text().lines().find(|line| leads_elsewhere(line));
        assert_eq!(elsewhere, None, "{path}");
    }
}

/// Whether a line names a URL with a host, with a scheme or without; comments, and what is shown as an example, are none.
fn leads_elsewhere(line: &str) -> bool {
    let is_harmless = |line: &str| {
        line.trim_start().starts_with("//")
            || line.contains("http://www.w3.org/2000/svg")
            || line.contains("`http://${host}`")
            || line.contains("placeholder=\"https://shop.example")
    };
    let marks = ["\"//", "'//", "`//", "(//", "=//", "http://", "https://"];
    !is_harmless(line) && marks.iter().any(|mark| line.contains(mark))
}

#[test]
fn what_leads_elsewhere_is_seen() {
    for (line, expected) in [
        ("<script src=\"//cdn.example/a.js\">", true),
        ("<script src=//cdn.example/a.js>", true),
        ("  background: url(//cdn.example/a.png);", true),
        ("import(`https://cdn.example/a.js`)", true),
        ("  // a comment", false),
        ("const SVG = \"http://www.w3.org/2000/svg\";", false),
        ("<link href=\"dashboard.css\">", false),
    ] {
        assert_eq!(leads_elsewhere(line), expected, "{line}");
    }
}

/// Thresholds of `[alerts]` are told in `/stats`, and are gone when they are no longer exceeded.
#[tokio::test]
async fn thresholds_that_are_exceeded_are_told() {
    let app = start_app().await;
    let sidecar = Sidecar::start(&app.url(), &format!("[alerts]\nkeys = 2\n{ROUTES}"));
    let stats = || async { sidecar.admin().get("/stats").await.value() };
    assert_eq!(stats().await["state"]["word"], "healthy");
    for id in 1..=3 {
        ask(&sidecar, &format!("/board/{id}"), 1).await;
    }
    eventually("the threshold is exceeded", SOON, || async {
        let stats = stats().await;
        let reason = "3 keys are stored ([alerts] keys = 2)";
        stats["state"]["word"] == "warning" && stats["state"]["reasons"][0] == reason
    })
    .await;
    let purge = r#"{"keys": ["board:1"]}"#;
    let purged = sidecar
        .admin()
        .request("POST", "/purge")
        .header("authorization", &format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .body(purge);
    assert_eq!(purged.send().await.status, 200);
    assert_eq!(stats().await["state"]["word"], "healthy");

    let without = Sidecar::start(&app.url(), ROUTES);
    let stats = without.admin().get("/stats").await.value();
    assert_eq!(stats["alerts"], serde_json::json!([]), "nobody has set any");
}

/// Makes the pictures of the README anew: run it with `--run-ignored only`, and look at them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes into deploy/"]
async fn pictures() {
    let (app, redis) = (start_app().await, RedisServer::start());
    let toml = format!(
        "[redis]\nurl = \"{}\"\n[alerts]\nkeys = 3\n{ROUTES}",
        redis.url()
    );
    let sidecar = Sidecar::start(&app.url(), &toml);
    let mut page = Page::open(sidecar.admin_addr(), "/").await;
    let load = async {
        loop {
            for path in ["/board/1", "/users/1", "/board/2", "/board/3", "/board/1"] {
                ask(&sidecar, path, fastrand::usize(1..40)).await;
            }
        }
    };
    // Two minutes of the hour.
    let _: Result<(), _> = tokio::time::timeout(Duration::from_secs(130), load).await;
    std::fs::create_dir_all("deploy/dashboard").expect("a folder");
    for (name, width, scheme) in [
        ("light", 1100, "light"),
        ("dark", 1100, "dark"),
        ("phone", 380, "light"),
    ] {
        let picture = page.picture(width, scheme).await;
        std::fs::write(format!("deploy/dashboard/{name}.png"), picture).expect("it is written");
    }
}

/// Jobs are seen under way, ordered and cancelled by whoever has the token.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_run_and_cancelled_on_the_page() {
    let (app, gate) = (start_app().await, Gate::new());
    let held = gate.clone();
    app.on("GET", "/board/2", move |_| Answer::text("x").behind(&held));
    let job = "[[warm]]\nname = \"boards\"\nhost = \"localhost\"\nurls = [\"/board/{1..2}\"]\n";
    let sidecar = Sidecar::start(&app.url(), &format!("{ROUTES}{job}"));
    let mut page = Page::open(sidecar.admin_addr(), "/").await;
    let row = "(document.querySelector('#job-rows tr')?.innerText ?? '')";
    page.until(&format!("{row}.includes('not yet')")).await;
    page.click("#job-rows button").await;
    page.until("document.getElementById('done').innerText.startsWith('Refused')")
        .await;
    assert_eq!(app.seen().len(), 0);
    page.write("token", TOKEN).await;
    page.click("#job-rows button").await;
    page.until("document.getElementById('done').innerText.startsWith('boards runs as ')")
        .await;
    gate.reached(1).await;
    page.until("document.querySelector('#job-rows progress')?.value === 1")
        .await;
    page.until("document.querySelector('#job-rows button')?.innerText === 'Cancel boards'")
        .await;
    page.click("#job-rows button").await;
    page.until("document.getElementById('done').innerText === 'Cancelled boards.'")
        .await;
    page.until(&format!("{row}.includes('cancelled')")).await;
    assert_eq!(page.complaints, [""; 0]);
    gate.open();
}
