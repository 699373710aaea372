//! Where Redis is, and who is let in.

use super::*;

fn redis(keys: &str) -> Redis {
    let text = format!("{LEAST}[redis]\n{keys}");
    config(&text, &[]).redis.expect("given")
}

fn login(user: Option<&str>, password: &str) -> RedisLogin {
    RedisLogin {
        user: user.map(str::to_owned),
        password: Some(RedisPassword::Text(password.to_owned())),
    }
}

fn named(redis: &Redis) -> String {
    let named = redis.servers.named().iter().map(ToString::to_string);
    named.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_url_and_its_parts_are_the_same() {
    for (name, url, parts) in [
        ("a name", "url = \"redis://h\"\n", "host = \"h\"\n"),
        (
            "all of it",
            "url = \"rediss://app:p%40s@h:7000/3\"\n",
            "host = \"h\"\nport = 7000\nuser = \"app\"\npassword = \"p@s\"\ndatabase = 3\ntls = true\n",
        ),
        (
            "an address of IPv6",
            "url = \"redis://[::1]:7000\"\n",
            "host = \"::1\"\nport = 7000\n",
        ),
        (
            "a login beside the URL",
            "url = \"redis://app:secret@h\"\n",
            "url = \"redis://h\"\nuser = \"app\"\npassword = \"secret\"\n",
        ),
        (
            "a cluster",
            "url = \"redis-cluster://:a@h:1?node=i:2\"\n",
            "nodes = [\"i:2\", \"h:1\"]\npassword = \"a\"\n",
        ),
        (
            "sentinels",
            "url = \"rediss-sentinel://:a@h:26379/2?sentinelServiceName=m&node=i:1&sentinelUsername=u&sentinelPassword=b\"\n",
            "sentinels = [\"i:1\", \"h\"]\nmaster = \"m\"\npassword = \"a\"\nsentinel_user = \"u\"\n\
             sentinel_password = \"b\"\ndatabase = 2\ntls = true\n",
        ),
    ] {
        let (by_url, by_parts) = (redis(url), redis(parts));
        assert_eq!(by_url.servers, by_parts.servers, "{name}");
        assert_eq!(by_url.access, by_parts.access, "{name}");
        assert_eq!(by_url.database, by_parts.database, "{name}");
    }
    let variables = [
        ("PANNIER_REDIS_SENTINELS", "a:1, b"),
        ("PANNIER_REDIS_MASTER", "main"),
        ("PANNIER_REDIS_PASSWORD", "secret"),
    ];
    let redis = config(LEAST, &variables).redis.expect("by its sentinels");
    assert_eq!(named(&redis), "a:1 b:26379");
    assert_eq!(redis.access.login, login(None, "secret"));
    assert!(!format!("{redis:?} {:?}", redis.access).contains("secret"));
}

#[test]
fn contradictions_are_refused() {
    for (name, keys, expected) in [
        (
            "two places",
            "url = \"redis://a\"\nhost = \"b\"\n",
            "redis.host: url and host are given at once; give exactly one of url, host, nodes, sentinels",
        ),
        (
            "two ports",
            "url = \"redis://a:1\"\nport = 2\n",
            "redis.port: url says that itself; write it into url, or host = \"…\" and port without url",
        ),
        (
            "two logins",
            "url = \"redis://:a@r\"\npassword = \"b\"\n",
            "redis.password: url has a login of its own",
        ),
        (
            "a URL as a host",
            "host = \"redis://a\"\n",
            "redis.host: it is a URL; write url = \"redis://a\"",
        ),
        (
            "a port in the host",
            "host = \"a:1\"\n",
            "redis.host: it has a port; write the name or address alone, and port = 6379",
        ),
        (
            "a port of many",
            "nodes = [\"a\"]\nport = 1\n",
            "redis.port: each server has its own; write it behind each host of nodes",
        ),
        (
            "a cluster's database",
            "nodes = [\"a\"]\ndatabase = 1\n",
            "redis.database: a cluster has no numbered databases",
        ),
        (
            "no node",
            "nodes = []\n",
            "redis.nodes: it names none; write such as nodes = [\"10.0.0.5:6379\"",
        ),
        (
            "a login in a node",
            "nodes = [\"u:p@a:1\"]\n",
            "is not a host and port; write such as \"10.0.0.5:6379\"",
        ),
        (
            "which primary",
            "sentinels = [\"a\"]\n",
            "redis.master: it is missing; write the name that the sentinels have",
        ),
        (
            "no sentinels",
            "host = \"a\"\nmaster = \"m\"\n",
            "redis.master: there are no sentinels; add sentinels = [\"host:26379\"]",
        ),
        (
            "two passwords",
            "host = \"a\"\npassword = \"b\"\npassword_file = \"/proc/version\"\n",
            "password and password_file are given at once",
        ),
        (
            "a user alone",
            "host = \"a\"\nuser = \"b\"\n",
            "redis.user: Redis lets no user in without a password",
        ),
        (
            "no such file",
            "host = \"a\"\npassword_file = \"/nonexistent\"\n",
            "redis.password_file: /nonexistent cannot be read",
        ),
        (
            "an empty file",
            "host = \"a\"\npassword_file = \"/dev/null\"\n",
            "redis.password_file: /dev/null is empty",
        ),
        (
            "a key without TLS",
            "host = \"a\"\ncert_file = \"c\"\n",
            "redis.cert_file: key_file is missing",
        ),
    ] {
        let shown = errors(&format!("{LEAST}[redis]\n{keys}"));
        assert!(shown.contains(expected), "{name}: {shown}");
        assert!(shown.starts_with("pannier.toml:"), "{name}: {shown}");
    }
}

#[test]
fn certificates_need_tls_and_go_together() {
    let made =
        || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let (own, other) = (made(), made());
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, pem: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).expect("a file");
        path.display().to_string()
    };
    let cert = write("cert.pem", own.cert.pem());
    let key = write("key.pem", own.signing_key.serialize_pem());
    let wrong = write("other.pem", other.signing_key.serialize_pem());
    let keys = |more: &str, key: &str| {
        format!("host = \"a\"\n{more}cert_file = \"{cert}\"\nkey_file = \"{key}\"\n")
    };
    let tls = redis(&keys("tls = true\n", &key)).access.tls;
    let client = tls.and_then(|tls| tls.client).expect("given");
    assert_eq!(client.cert_file, Path::new(&cert));
    assert_eq!(client.key_file, Path::new(&key));
    for (name, keys, expected) in [
        (
            "off",
            keys("", &key),
            "redis.cert_file: TLS is off; add tls = true",
        ),
        (
            "mixed up",
            keys("tls = true\n", &wrong),
            "does not belong to",
        ),
    ] {
        let shown = errors(&format!("{LEAST}[redis]\n{keys}"));
        assert!(shown.contains(expected), "{name}: {shown}");
    }
}

#[test]
fn what_a_reload_does_not_take_is_named() {
    let before = config(&format!("{LEAST}[redis]\nurl = \"redis://:a@r\"\n"), &[]);
    let after = config(
        &format!("{LEAST}[redis]\nhost = \"r\"\npassword = \"b\"\n"),
        &[],
    );
    assert!(
        before.needs_restart(&after).is_empty(),
        "the login is taken"
    );
    assert!(before.needs_restart(&before).is_empty());
    let by_tls = config(&format!("{LEAST}[redis]\nurl = \"rediss://r/1\"\n"), &[]);
    assert_eq!(
        before.needs_restart(&by_tls),
        ["redis.database", "redis.tls"]
    );
}
