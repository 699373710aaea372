//! What is legal, or nearly, and was not meant; and Redis as the environment has it.

use super::*;
use crate::config::{Network, Networks, UntrustedForwarded};

#[test]
fn slips_are_told() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "a budget of nothing",
            "[budget]\nmax = \"1MB\"\n",
            "pannier.toml:3: budget: it changes nothing, as there is no [redis]",
        ),
        (
            "more than the machine has",
            "[memory]\nmax = \"999999GiB\"\n",
            "pannier.toml:4: memory.max: it is more than the ",
        ),
        (
            "no lifetime",
            "[[route]]\npath = \"/a\"\nttl = \"0s\"\n",
            "pannier.toml:5: route.ttl: an answer that states no lifetime",
        ),
        (
            "no lifetime for any",
            "[defaults]\nttl = \"0s\"\n[[route]]\npath = \"/a\"\n",
            "pannier.toml:4: defaults.ttl: an answer that states no lifetime",
        ),
        (
            "a purge of all",
            "[[route]]\npath = \"/a\"\n[[purge]]\nname = \"w\"\npath = \"/a\"\nkeys = [\"*\"]\n",
            "pannier.toml:8: purge.keys: each write that w matches purges all that is stored",
        ),
        (
            "an @ in the password",
            "[redis]\nurl = \"redis://:p@ss@h\"\n",
            "percent-encode the password: @ as %40",
        ),
        (
            "anybody says who it is",
            "[listen]\nproxy_protocol = true\n",
            "pannier.toml:4: listen.proxy_protocol: whoever reaches the port is believed",
        ),
        (
            "a kind of gateway that nobody is",
            "[listen]\ntrusted_proxies = [\"10.0.0.1\", \"unix\"]\n",
            "pannier.toml:4: listen.trusted_proxies: \"unix\" names nobody",
        ),
        (
            "everybody is trusted",
            "[listen]\ntrusted_proxies = [\"10.0.0.1\", \"::/0\"]\n",
            "listen.trusted_proxies: whoever reaches the port is believed",
        ),
        (
            "a host of nobody",
            "[listen]\nforwarded_host = true\n",
            "listen.forwarded_host: it changes nothing",
        ),
    ];
    for (name, text, expected) in cases {
        let shown = warnings(&format!("{LEAST}{text}"), &[]);
        assert!(shown.contains(expected), "{name}: {shown}");
        assert!(!shown.contains("p@ss"), "{name}: {shown}");
    }
    let fine = "[redis]\nurl = \"redis://:p%40ss@h\"\n[budget]\nmax = \"1MB\"\n[[route]]\npath = \"/b\"\n\
                ttl = \"0s\"\nenabled = false\n";
    assert_eq!(warnings(&format!("{LEAST}{fine}"), &[]), "");
}

#[test]
fn mistakes_are_refused() {
    let cases = [
        (
            "a star in a path",
            "[[route]]\npath = \"/a/*\"\n",
            "route.path: the * in \"/a/*\" is no wildcard; write \"/a/{*rest}\"",
        ),
        (
            "a star in a purge's path",
            "[[purge]]\npath = \"/a/*/b\"\nkeys = [\"a\"]\n",
            "write \"/a/{name}/b\"",
        ),
        (
            "# in the password",
            "[redis]\nurl = \"redis://default:12#34@h:6379\"\n",
            "redis.url: its password has a #, at which the address would end; percent-encode the password: # as %23",
        ),
        (
            "/ in the password",
            "[redis]\nurl = \"redis://:12/34@h\"\n",
            "its password has a /",
        ),
        (
            "? in the password",
            "[redis]\nurl = \"redis://:12?34@h\"\n",
            "its password has a ?",
        ),
        (
            "@ and #",
            "[redis]\nurl = \"redis://u:1@2#34@h\"\n",
            "its password has a #",
        ),
        (
            "a database in the query",
            "[redis]\nurl = \"redis://h?db=3\"\n",
            "it says \"db\", which Pannier does not know; write the number behind the host",
        ),
        (
            "? behind an @",
            "[redis]\nurl = \"redis://u:a@b?c34@h\"\n",
            "its password has a ?",
        ),
        (
            "? and = in the password",
            "[redis]\nurl = \"redis://u:p?x=34@h\"\n",
            "its password has a ?",
        ),
        (
            "a database of a cluster",
            "[redis]\nurl = \"redis-cluster://h/3\"\n",
            "it names the database 3, and a cluster has none but 0",
        ),
        (
            "sentinels without a name",
            "[redis]\nurl = \"redis-sentinel://h:26379\"\n",
            "?sentinelServiceName=mymaster",
        ),
        (
            "several sentinels",
            "[redis]\nurl = \"redis-sentinel://h:1,i:1/0?sentinelServiceName=m\"\n",
            "write sentinels = [",
        ),
        (
            "several nodes",
            "[redis]\nurl = \"redis-cluster://h:1,i:1\"\n",
            "write nodes = [",
        ),
        (
            "a list",
            "[[route]]\npath = \"/a\"\ntags = [\"item:{response.items[0].id}\"]\n",
            "write items[] for each of its members",
        ),
        (
            "a place in a list",
            "[[purge]]\npath = \"/a\"\nkeys = [\"item:{body.items.0.id}\"]\n",
            "write items[] for each of its members",
        ),
        (
            "no network",
            "[listen]\ntrusted_proxies = [\"10.0.0.0/33\"]\n",
            "\"10.0.0.0/33\" is neither an address nor a network",
        ),
    ];
    for (name, text, expected) in cases {
        let shown = errors(&format!("{LEAST}{text}"));
        assert!(shown.contains(expected), "{name}: {shown}");
        assert!(!shown.contains("34@"), "{name}: {shown}");
    }
    let sentinel = "[redis]\nurl = \"redis-sentinel://h:26379/0?sentinelServiceName=m&sentinelPassword=p@s\"\n";
    assert_eq!(warnings(&format!("{LEAST}{sentinel}"), &[]), "");
    let ignored = "[redis]\nurl = \"rediss://h?ssl_cert_reqs=none\"\n";
    let warned = warnings(&format!("{LEAST}{ignored}"), &[]);
    assert!(
        warned.contains("it says \"ssl_cert_reqs\", which nobody reads"),
        "{warned}"
    );
}

#[test]
fn who_names_gateways_drops_what_others_say() {
    let cases = [
        ("", UntrustedForwarded::Pass),
        ("trusted_proxies = []\n", UntrustedForwarded::Pass),
        ("trusted_proxies = [\"::1\"]\n", UntrustedForwarded::Drop),
        (
            "trusted_proxies = [\"::1\"]\nuntrusted_forwarded = \"pass\"\n",
            UntrustedForwarded::Pass,
        ),
        ("untrusted_forwarded = \"drop\"\n", UntrustedForwarded::Drop),
    ];
    for (keys, expected) in cases {
        let config = config(&format!("{LEAST}[listen]\n{keys}"), &[]);
        assert_eq!(config.listen.untrusted_forwarded, expected, "{keys}");
    }
    let trusted = [("PANNIER_LISTEN_TRUSTED_PROXIES", "10.0.0.0/8, ::1")];
    let networks = ["10.0.0.0/8", "::1"].map(|text| text.parse::<Network>().expect("one"));
    let networks: Networks = networks.into_iter().collect();
    assert_eq!(config(LEAST, &trusted).listen.trusted_proxies, networks);
}

/// As deployments have it for the app.
#[test]
fn redis_of_the_environment() {
    let own = format!("{LEAST}[redis]\nurl = \"redis://own\"\n");
    type Variables<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(&str, &str, Variables<'_>, Option<&str>)] = &[
        ("none", LEAST, &[], None),
        ("a URL", LEAST, &[("REDIS_URL", "redis://a:1")], Some("a:1")),
        ("an empty URL", LEAST, &[("REDIS_URL", "")], None),
        (
            "the file's own",
            &own,
            &[("REDIS_URL", "redis://a"), ("REDIS_ENABLED", "false")],
            Some("own:6379"),
        ),
        (
            "Pannier's variable",
            LEAST,
            &[
                ("REDIS_URL", "redis://a"),
                ("PANNIER_REDIS_URL", "redis://b"),
            ],
            Some("b:6379"),
        ),
        (
            "switched off",
            LEAST,
            &[("REDIS_URL", "redis://a"), ("REDIS_ENABLED", "False")],
            None,
        ),
        ("a host", LEAST, &[("REDIS_HOST", "h")], Some("h:6379")),
        (
            "in parts",
            LEAST,
            &[
                ("REDIS_HOST", "h"),
                ("REDIS_PORT", "7000"),
                ("REDIS_PASSWORD", "p@s#s/ä"),
                ("REDIS_ENABLED", "true"),
            ],
            Some("p@s#s/ä h:7000"),
        ),
        (
            "a service of Kubernetes",
            LEAST,
            &[("REDIS_HOST", "::1"), ("REDIS_PORT", "tcp://10.0.0.1:6379")],
            Some("[::1]:6379"),
        ),
        ("a port alone", LEAST, &[("REDIS_PORT", "7000")], None),
    ];
    for (name, text, variables, expected) in cases {
        let loaded = parse_with(text, variables).expect("a config");
        let found = loaded.config.redis.map(|redis| {
            let server = redis.servers.named()[0].to_string();
            match redis.access.login.password {
                Some(RedisPassword::Text(password)) => format!("{password} {server}"),
                _ => server,
            }
        });
        assert_eq!(found.as_deref(), *expected, "{name}");
        let of_environment = expected.is_some() && *text == LEAST && !name.starts_with("Pannier");
        let notice = loaded.notice.unwrap_or_default();
        assert_eq!(
            notice.starts_with("Redis is taken from"),
            of_environment,
            "{name}: {notice}"
        );
        assert!(!notice.contains("p@s"), "{name}: {notice}");
    }
    let switched_off = [("REDIS_HOST", "h"), ("REDIS_ENABLED", "0")];
    let notice = parse_with(LEAST, &switched_off).expect("a config").notice;
    assert!(notice.expect("it says so").contains("memory only"));
    let wrong = parse_with(LEAST, &[("REDIS_URL", "http://a")]);
    let wrong = wrong.expect_err("no Redis").to_string();
    assert!(
        wrong.starts_with("REDIS_URL: redis.url: it is not a Redis URL"),
        "{wrong}"
    );
}
