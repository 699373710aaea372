//! The rights of the README: each is used, no other is, and each that is missing is named.

use std::collections::BTreeSet;
use std::path::Path;

use super::{RULES, app, redis_is, serves_from_redis};
use crate::support::redis::RedisServer;
use crate::support::sidecar::Sidecar;

/// What Pannier sends itself, outside its scripts.
const SENT: [&str; 8] = [
    "client|tracking",
    "eval",
    "evalsha",
    "get",
    "info",
    "mget",
    "script|load",
    "unlink",
];

/// The same of the record of what is to be purged later.
const SENT_LATER: [&str; 3] = ["zadd", "zrem", "zrangebyscore"];

/// What the README says may be added.
const OPTIONAL: [&str; 1] = ["memory"];

/// Without the first of them, and without both, it works, too.
const DISPENSABLE: [&str; 2] = ["script|load", "evalsha"];

/// The words of the README's `ACL SETUSER`.
fn listed() -> Vec<String> {
    let readme = include_str!("../../README.md");
    let (_, command) = readme
        .split_once("ACL SETUSER pannier on")
        .expect("it is there");
    let (command, _) = command.split_once("```").expect("its end");
    command.split_whitespace().map(str::to_owned).collect()
}

fn rights() -> BTreeSet<String> {
    let words = listed().into_iter();
    words
        .filter_map(|word| word.strip_prefix('+').map(str::to_owned))
        .collect()
}

/// The commands that the scripts call.
fn called() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/redis/scripts");
    let mut called = BTreeSet::new();
    for file in folder.read_dir().expect("the scripts") {
        let text = std::fs::read_to_string(file.expect("a script").path()).expect("a text");
        for call in text
            .split("redis.call(")
            .skip(1)
            .chain(text.split("redis.pcall(").skip(1))
        {
            let name = call
                .strip_prefix('\'')
                .and_then(|rest| rest.split('\'').next());
            called.insert(name.expect("its name stands there").to_lowercase());
        }
    }
    called
}

#[test]
fn each_right_is_used_and_no_other() {
    let mut used = called();
    used.extend(SENT.iter().chain(&SENT_LATER).map(|&name| name.to_owned()));
    let optional = OPTIONAL.iter().map(|&name| name.to_owned()).collect();
    let used: BTreeSet<String> = &used - &optional;
    assert_eq!(used, rights());
}

fn set_user(redis: &RedisServer, name: &str, without: &[&str]) {
    set_user_of(redis, "~{pannier}*", name, without);
}

/// Whose keys are called so.
fn set_user_of(redis: &RedisServer, names: &str, name: &str, without: &[&str]) {
    let rights = rights()
        .into_iter()
        .filter(|right| !without.contains(&right.as_str()));
    let rights: Vec<String> = rights.map(|right| format!("+{right}")).collect();
    let start = ["ACL", "SETUSER", name, "reset", "on", ">password", names];
    let words: Vec<&str> = start
        .into_iter()
        .chain(rights.iter().map(String::as_str))
        .collect();
    assert_eq!(redis.cli(&words), "OK");
}

fn config(redis: &RedisServer, user: &str) -> String {
    let port = redis.port();
    format!(
        "[listen]\nworkers = 1\n[redis]\nurl = \"redis://{user}:password@127.0.0.1:{port}\"\ntimeout = \"10s\"\n{RULES}"
    )
}

/// Each is named, all at once, before any command has failed for it.
#[tokio::test(flavor = "multi_thread")]
async fn each_right_that_is_missing_is_named() {
    let (redis, app) = (RedisServer::start(), app().await);
    let sidecars = rights().into_iter().map(|right| {
        let user = right.replace('|', "-");
        set_user(&redis, &user, &[&right]);
        (Sidecar::start(&app.url(), &config(&redis, &user)), right)
    });
    let sidecars: Vec<_> = sidecars.collect();
    for (sidecar, right) in sidecars {
        let admin = sidecar.admin();
        if right == DISPENSABLE[0] {
            redis_is(&admin, &right, |told| told["state"] == "up").await;
            serves_from_redis(&sidecar.client()).await;
            continue;
        }
        redis_is(&admin, &right, |told| {
            let cause = told["cause"].as_str().unwrap_or_default();
            let mut words = cause.split(' ');
            told["state"] == "down" && words.any(|word| word == format!("+{right}"))
        })
        .await;
    }
}

/// Neither list is needed: no script's text is known there, and all are sent.
#[tokio::test(flavor = "multi_thread")]
async fn the_least_of_all_suffices() {
    let (redis, app) = (RedisServer::start(), app().await);
    set_user(&redis, "least", &DISPENSABLE);
    let sidecar = Sidecar::start(&app.url(), &config(&redis, "least"));
    redis_is(&sidecar.admin(), "up", |told| told["state"] == "up").await;
    serves_from_redis(&sidecar.client()).await;
    let refused = redis.cli(&["ACL", "LOG"]);
    let is_command = |line: &str| line == "evalsha" || (line.contains('|') && !line.contains(' '));
    let objects = refused.lines().filter(|line| is_command(line));
    let refused: BTreeSet<&str> = objects.collect();
    let expected = BTreeSet::from(["client|id"]);
    assert_eq!(refused, expected, "no other command was tried");
}

/// What the README adds for a cluster, and nothing else; who lacks it is told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_needs_one_more() {
    let (nodes, app) = (RedisServer::start_cluster_of_three(), app().await);
    for node in &nodes {
        set_user_of(node, "~{pannier.*", "lacking", &[]);
        set_user_of(node, "~{pannier.*", "pannier", &[]);
        node.cli(&["ACL", "SETUSER", "pannier", "+cluster|slots"]);
    }
    let start = |user: &str| {
        let url = nodes[0].cluster_url();
        let url = url.replace("://", &format!("://{user}:password@"));
        let config = format!("[redis]\nurl = \"{url}\"\ntimeout = \"10s\"\n{RULES}");
        Sidecar::start(&app.url(), &config)
    };
    let sidecar = start("pannier");
    redis_is(&sidecar.admin(), "up", |told| told["state"] == "up").await;
    serves_from_redis(&sidecar.client()).await;
    sidecar.client().request("PUT", "/others").send().await;
    for node in &nodes {
        let refused = node.cli(&["ACL", "LOG"]);
        let mut lines = refused.lines();
        let is_refused =
            |line: &str| line.contains('|') && !line.contains(' ') && line != "client|id";
        assert!(!lines.any(is_refused), "{refused}");
    }
    let lacking = start("lacking");
    redis_is(&lacking.admin(), "it is told", |told| {
        let cause = told["cause"].as_str().unwrap_or_default();
        told["state"] == "down" && cause.contains("+cluster|slots")
    })
    .await;
}
