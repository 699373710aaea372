//! Keys and certificates, inline and in files beside the config.

use super::*;
use crate::config::Outage;

/// A P-256 public key.
const PUBLIC_KEY: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEy4vNcPmHbAN4EnKoQtDCsWjbWRID
TXFtiTms3YlmlxzUUjhwG/JuIRoYRf4oka1whiLrjuv1A8YZApi+sXp1cg==
-----END PUBLIC KEY-----
";

/// The same key as JWKS.
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a",
"x":"y4vNcPmHbAN4EnKoQtDCsWjbWRIDTXFtiTms3Ylmlxw",
"y":"1FI4cBvybiEaGEX-KJGtcIYi647r9QPGGQKYvrF6dXI"}]}"#;

/// A self-signed certificate.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBcDCCARegAwIBAgIUWZYSCSK2gfm6GLeQS3hOAIgtj68wCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIxMTM0MzU0WhgPMjEyNjEwMjgxMzQzNTRa
MA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7CE3fyT1
4yRaetTnpf13lbSE8jvWVfiWU17E/woHA9HdXPdOfPhlW/0LKClWAY0Mm23R/SZx
M2VZAu6PnW6/h6NTMFEwHQYDVR0OBBYEFC+TbwaZx4j69xQKgJ8o7z4vaSiCMB8G
A1UdIwQYMBaAFC+TbwaZx4j69xQKgJ8o7z4vaSiCMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDRwAwRAIgREZkYIu4EzyuPD7MEHonJTtZa/BYhw9SAeaNN5qc
+9sCIDw1yVshvlzX2/JXezeKvgX3H5cYZmo7+irW2ZvaFfcF
-----END CERTIFICATE-----
";

/// Loads `text` from a folder that holds the files.
fn load(text: &str, files: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).expect("a file");
    }
    let file = folder.path().join("pannier.toml");
    std::fs::write(&file, text).expect("a file");
    Config::load(&file, &Env::default())
}

fn jwt(keys: &str, files: &[(&str, &str)]) -> Result<Jwt, String> {
    let loaded = load(&format!("{LEAST}[jwt]\n{keys}"), files);
    let config = loaded.map_err(|errors| errors.to_string())?.config;
    Ok(config.jwt.expect("in the file"))
}

#[test]
fn verifying_keys() {
    // The next key in the file may be of another family.
    const ANY_PUBLIC: &str = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA";
    let inline = format!("public_key = \"\"\"\n{PUBLIC_KEY}\"\"\"\n");
    let chosen = "jwks_file = \"keys.json\"\nalgorithms = [\"ES256\"]\n";
    let cases = [
        ("inline", inline.as_str(), "ES256 ES384"),
        ("file", "public_key_file = \"key.pem\"\n", ANY_PUBLIC),
        ("JWKS", "jwks_file = \"keys.json\"\n", ANY_PUBLIC),
        ("secret", "secret_file = \"secret\"\n", "HS256 HS384 HS512"),
        ("chosen", chosen, "ES256"),
    ];
    for (name, keys, algorithms) in cases {
        let secret = "a secret of more than thirty-two bytes\n";
        let files = [
            ("key.pem", PUBLIC_KEY),
            ("keys.json", JWKS),
            ("secret", secret),
        ];
        let jwt = jwt(keys, &files);
        let accepted = jwt.map(|jwt| jwt.algorithms.join(" "));
        assert_eq!(accepted.as_deref(), Ok(algorithms), "{name}");
    }
}

#[test]
fn keys_that_cannot_verify() {
    let secret = r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#;
    let confused = "jwks_file = \"keys.json\"\nalgorithms = [\"HS256\"]\n";
    let none = "jwks_file = \"keys.json\"\nalgorithms = []\n";
    let cases = [
        (
            "missing file",
            "public_key_file = \"none.pem\"\n",
            "cannot be read",
        ),
        (
            "no PEM",
            "public_key_file = \"keys.json\"\n",
            "BEGIN PUBLIC KEY",
        ),
        (
            "short secret",
            "secret_file = \"short\"\n",
            "32 random bytes",
        ),
        ("empty set", "jwks_file = \"none.json\"\n", "public keys"),
        ("no JWKS", "jwks_file = \"key.pem\"\n", "JWKS document"),
        (
            "secret in JWKS",
            "jwks_file = \"secret.json\"\n",
            "public keys",
        ),
        // RFC 8725 §2.1: the public key would serve as a shared secret.
        ("confused", confused, "HS256 does not go with this key"),
        ("empty list", none, "no token could be accepted"),
    ];
    for (name, keys, expected) in cases {
        let files = [
            ("key.pem", PUBLIC_KEY),
            ("keys.json", JWKS),
            ("secret.json", secret),
            ("none.json", "{\"keys\":[]}"),
            ("short", "secret\n"),
        ];
        let shown = jwt(keys, &files).expect_err(name);
        assert!(shown.contains(expected), "{name}: {shown}");
    }
}

#[test]
fn where_keys_are_fetched() {
    for (case, url, shown) in [
        (
            "https",
            "https://login.example.com/jwks.json?v=1",
            "https://login.example.com/jwks.json?v=1",
        ),
        (
            "a port",
            "https://login:8443/keys",
            "https://login:8443/keys",
        ),
        (
            "this machine",
            "http://127.0.0.1:80/keys",
            "http://127.0.0.1:80/keys",
        ),
        (
            "this machine by name",
            "http://localhost/keys",
            "http://localhost/keys",
        ),
        ("its IPv6", "http://[::1]:80/keys", "http://[::1]:80/keys"),
    ] {
        let jwt = jwt(&format!("jwks_url = \"{url}\"\njwks_stale = \"5m\"\n"), &[]).expect(case);
        assert_eq!(jwt.origin.to_string(), shown, "{case}");
        let KeyOrigin::Url(url) = jwt.origin else {
            panic!("{case}: no URL");
        };
        assert_eq!(url.stale, Duration::from_secs(300));
        assert!(
            !jwt.algorithms.iter().any(|name| name.starts_with("HS")),
            "{case}"
        );
    }
    for (case, keys, expected) in [
        (
            "plain",
            "jwks_url = \"http://login.example.com/keys\"",
            "this machine alone",
        ),
        ("no URL", "jwks_url = \"login\"", "has no scheme"),
        (
            "another scheme",
            "jwks_url = \"ftp://login/keys\"",
            "ftp:// is not supported",
        ),
        (
            "a password",
            "jwks_url = \"https://a:b@login/keys\"",
            "before the @",
        ),
        (
            "a bad port",
            "jwks_url = \"https://login:0/keys\"",
            "from 1 to 65535",
        ),
        (
            "two keys",
            "jwks_url = \"https://login/keys\"\njwks_file = \"keys.json\"",
            "are given at once",
        ),
        (
            "a secret's",
            "jwks_url = \"https://login/keys\"\nalgorithms = [\"HS256\"]",
            "does not go with this key",
        ),
        (
            "idle stale",
            "jwks_file = \"keys.json\"\njwks_stale = \"5m\"",
            "add jwks_url",
        ),
        (
            "idle authority",
            "jwks_file = \"keys.json\"\njwks_ca_file = \"ca.pem\"",
            "add jwks_url",
        ),
        (
            "authority",
            "jwks_url = \"https://login/keys\"\njwks_ca_file = \"keys.json\"",
            "holds no certificate",
        ),
        (
            "authority of http",
            "jwks_url = \"http://[::1]/keys\"\njwks_ca_file = \"ca.pem\"",
            "write https:// in jwks_url",
        ),
    ] {
        let files = [("keys.json", JWKS), ("ca.pem", CERTIFICATE)];
        let shown = jwt(&format!("{keys}\n"), &files).expect_err(case);
        assert!(shown.contains(expected), "{case}: {shown}");
    }
}

#[test]
fn certificate_authorities() {
    let text = "[upstream]\nurl = \"https://app\"\nca_file = \"ca.pem\"\n\
                [redis]\nurl = \"rediss://r\"\nca_file = \"ca.pem\"\n";
    let config = load(text, &[("ca.pem", CERTIFICATE)])
        .expect("a config")
        .config;
    let ca_file = config.upstream.ca_file.expect("given");
    assert!(ca_file.is_absolute() && ca_file.ends_with("ca.pem"));
    let tls = config.redis.expect("given").access.tls.expect("rediss");
    assert_eq!(tls.ca_file, Some(ca_file));
    let errors = load(text, &[("ca.pem", PUBLIC_KEY)]).expect_err("no certificate");
    assert_eq!(errors.all().len(), 2, "{errors}");
    assert!(
        errors.to_string().contains("holds no certificate"),
        "{errors}"
    );
}

#[test]
fn the_journal_is_beside_the_file_and_its_folder_is_there() {
    let table = |path: &str| format!("{LEAST}[redis]\nurl = \"redis://r\"\njournal = \"{path}\"\n");
    let config = load(&table("journal"), &[]).expect("a config").config;
    let journal = config.redis.expect("given").journal.expect("given");
    assert!(journal.is_absolute() && journal.ends_with("journal"));
    assert!(!journal.exists(), "it is made at the start");
    load(&table("journal"), &[("journal", "")]).expect("it is there already");
    for (case, path) in [("no folder", "none/journal"), ("a folder", ".")] {
        let errors = load(&table(path), &[]).expect_err(case).to_string();
        for expected in [
            ":5: redis.journal: ",
            "cannot be written (",
            "in a folder that is there",
        ] {
            assert!(errors.contains(expected), "{case}: {expected}: {errors}");
        }
    }
}

#[test]
fn what_memory_does_without_redis() {
    let table = |more: &str| format!("{LEAST}[redis]\nurl = \"redis://r\"\n{more}");
    let redis = parse(&table("")).expect("a config").config.redis;
    let redis = redis.expect("given");
    let second = Duration::from_secs(1);
    assert_eq!((redis.staleness, redis.outage_ttl), (second, 30 * second));
    assert_eq!(redis.outage, Outage::Serve);
    let text = table("staleness = \"100ms\"\noutage = \"pass\"\n");
    let redis = parse(&text).expect("a config").config.redis;
    assert_eq!(redis.map(|redis| redis.outage), Some(Outage::Pass));
    let shown = errors(&table("staleness = \"99ms\"\n"));
    assert!(
        shown.contains("redis.staleness") && shown.contains("write 100ms or more"),
        "{shown}"
    );
}

#[test]
fn redis_urls() {
    let cases = [
        ("plain", "redis://r", true),
        ("everything", "rediss://me:p%40ss@r:6380/2", true),
        ("cluster", "redis-cluster://r:1?node=s:2", true),
        ("cluster with TLS", "rediss-cluster://r:1", true),
        (
            "sentinel",
            "redis-sentinel://r:1?sentinelServiceName=main",
            true,
        ),
        ("sentinel without name", "redis-sentinel://r:1", false),
        ("no host", "redis://", false),
        ("bad port", "redis://r:port", false),
        ("bad database", "redis://r/x", false),
        ("host alone", "r:6379", false),
    ];
    for (name, url, right) in cases {
        let loaded = parse(&format!("{LEAST}[redis]\nurl = \"{url}\"\n"));
        assert_eq!(loaded.is_ok(), right, "{name}: {loaded:?}");
    }
}

/// Who else is on the machine must not read secrets.
#[cfg(unix)]
#[test]
fn secrets_that_all_may_read_are_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let made = made.expect("a certificate");
    let secret = "s".repeat(32);
    let rows: [(&str, String, u32, u32, &[&str]); 5] = [
        ("key", String::new(), 0o600, 0o644, &["listen.tls_key"]),
        (
            "config",
            format!(
                "[admin]\ntoken = \"{secret}\"\n[jwt]\nsecret = \"{secret}\"\n[redis]\nurl = \"redis://u:p@r\"\n"
            ),
            0o644,
            0o600,
            &["admin.token", "jwt.secret", "redis.url"],
        ),
        (
            "from variables",
            "[admin]\ntoken = \"${SECRET}\"\n[jwt]\nsecret = \"${SECRET}\"\n".to_owned(),
            0o644,
            0o600,
            &[],
        ),
        (
            "without secrets",
            "[redis]\nurl = \"redis://r\"\n".to_owned(),
            0o644,
            0o600,
            &[],
        ),
        (
            "neither for others",
            format!("[admin]\ntoken = \"{secret}\"\n"),
            0o640,
            0o640,
            &[],
        ),
    ];
    for (name, tables, of_config, of_key, expected) in rows {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let listen = "[listen]\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n";
        for (file, content, mode) in [
            ("cert.pem", made.cert.pem(), 0o644),
            ("key.pem", made.signing_key.serialize_pem(), of_key),
            ("p.toml", format!("{LEAST}{listen}{tables}"), of_config),
        ] {
            std::fs::write(path(file), content).expect("a file");
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path(file), permissions).expect("its owner");
        }
        let env = Env::from_pairs([("SECRET", secret.as_str())]);
        let loaded = Config::load(&path("p.toml"), &env).expect("a config");
        let shown: Vec<String> = loaded.warnings.iter().map(Warning::to_string).collect();
        assert_eq!(shown.len(), expected.len(), "{name}: {shown:?}");
        for key in expected {
            let told = shown.iter().any(|warning| {
                warning.contains(&format!("{key}: ")) && warning.contains("every user")
            });
            assert!(told, "{name}, {key}: {shown:?}");
            assert!(!shown.concat().contains(&secret), "{name}");
        }
    }
}

/// Editors of old save other encodings, and doubled keys come by copying.
#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pannier.toml");
    let shown = |bytes: &[u8]| {
        std::fs::write(&file, bytes).expect("a file");
        let loaded = Config::load(&file, &Env::default());
        let shown = loaded.expect_err("an error").to_string();
        shown.replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(
        shown(b"[upstream]\nurl = \"http://app\"\n# Gr\xfc\xdfe\n"),
        "pannier.toml:3: this line is not UTF-8; save the file as UTF-8"
    );
    assert_eq!(
        shown(b"\xff\xfe[\0u\0"),
        "pannier.toml:1: this line is not UTF-8; save the file as UTF-8"
    );
    assert_eq!(
        shown(b"[upstream]\nurl = \"http://app\"\nmax_fills = 3\nurl = \"http://b\"\n"),
        "pannier.toml:4: url: the key is there twice; keep one of them"
    );
    assert_eq!(
        shown(b"[upstream]\nurl = \"http://app\"\n[log]\n[upstream]\n"),
        "pannier.toml:4: upstream: the key is there twice; keep one of them"
    );
    assert_eq!(
        shown(b"[route]\npath = \"/a\"\n[route]\nname = \"b\"\n"),
        "pannier.toml:3: route: the key is there twice; write [[route]], in double brackets"
    );
}
