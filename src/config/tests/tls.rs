//! Certificates and keys of the proxy's port.

use std::sync::Arc;

use super::*;

/// A certificate for `localhost` and its key, in PEM.
fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let made = made.expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// Loads a `[listen]` table from a folder that holds the files; the folder's name is taken out of what
/// is reported.
fn load(listen: &str, files: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).expect("a file");
    }
    let file = folder.path().join("p.toml");
    std::fs::write(&file, format!("[listen]\n{listen}{LEAST}")).expect("a file");
    match Config::load(&file, &Env::default()) {
        Ok(loaded) => Ok(loaded.config),
        Err(errors) => {
            let folder = format!("{}/", folder.path().display());
            Err(errors.to_string().replace(&folder, ""))
        }
    }
}

const BOTH: &str = "tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n";

#[test]
fn a_certificate_and_its_key() {
    let (cert, key) = pair();
    let files = [("cert.pem", cert.as_str()), ("key.pem", key.as_str())];
    let tls = load(BOTH, &files).expect("a config").listen.tls;
    let tls = tls.expect("given");
    assert!(tls.cert.is_absolute() && tls.key.is_absolute());
    assert_eq!(tls.server.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
    assert!(!format!("{tls:?}").contains("PRIVATE"), "{tls:?}");
    // One file may hold both.
    let both = [("both.pem", &*format!("{key}{cert}"))];
    let one = "tls_cert = \"both.pem\"\ntls_key = \"both.pem\"\ntls_min_version = \"1.3\"\n";
    assert!(load(one, &both).is_ok());
    // Read again, it may be another.
    let (first, second) = (load(BOTH, &files), load(BOTH, &files));
    assert_ne!(
        first.expect("a config").listen,
        second.expect("a config").listen
    );
}

/// What a rollback brings back is shown with the certificate of now, where that is of the same files.
#[test]
fn a_certificate_that_was_read_later_is_kept() {
    let (cert, key) = pair();
    let files = [("cert.pem", cert.as_str()), ("key.pem", key.as_str())];
    let [mut before, newer] = [(); 2].map(|()| load(BOTH, &files).expect("a config"));
    let resolver = |config: &Config| {
        let tls = config.listen.tls.as_ref();
        tls.expect("given").server.cert_resolver.clone()
    };
    before.keep_certificates_of(&newer);
    assert!(
        !Arc::ptr_eq(&resolver(&before), &resolver(&newer)),
        "of other files"
    );
    let tls = before.listen.tls.as_mut().expect("given");
    let of_newer = newer.listen.tls.as_ref().expect("given");
    (tls.cert, tls.key) = (of_newer.cert.clone(), of_newer.key.clone());
    before.keep_certificates_of(&newer);
    assert!(Arc::ptr_eq(&resolver(&before), &resolver(&newer)));
    let tls = before.listen.tls.expect("given");
    assert_eq!(tls.server.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
}

#[test]
fn what_cannot_serve_is_told_with_file_key_and_remedy() {
    let ((cert, key), (_, other)) = (pair(), pair());
    let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let cut = key.replace("-----END", "----END");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let rows = [
        (
            "no file",
            BOTH,
            vec![("key.pem", key.as_str())],
            "p.toml:2: listen.tls_cert: cert.pem cannot be read (No such file or directory (os error 2)); write the path",
        ),
        (
            "a folder",
            "tls_cert = \".\"\ntls_key = \"key.pem\"\n",
            vec![("key.pem", &key)],
            "p.toml:2: listen.tls_cert: ",
        ),
        (
            "no certificate",
            BOTH,
            vec![("cert.pem", &key), ("key.pem", &key)],
            "p.toml:2: listen.tls_cert: cert.pem holds no certificate; write the path of a PEM file with BEGIN CERTIFICATE",
        ),
        (
            "broken certificate",
            BOTH,
            vec![("cert.pem", broken), ("key.pem", &key)],
            "p.toml:2: listen.tls_cert: the first certificate in cert.pem is broken; write",
        ),
        (
            "no key",
            BOTH,
            vec![("cert.pem", &cert), ("key.pem", &cert)],
            "p.toml:3: listen.tls_key: key.pem holds no private key; write the path of a PEM file with BEGIN PRIVATE KEY",
        ),
        (
            "encrypted key",
            BOTH,
            vec![("cert.pem", &cert), ("key.pem", &encrypted)],
            "p.toml:3: listen.tls_key: the private key in key.pem is encrypted; ",
        ),
        (
            "key cut off",
            BOTH,
            vec![("cert.pem", &cert), ("key.pem", &cut)],
            "p.toml:3: listen.tls_key: key.pem is broken",
        ),
        (
            "another key",
            BOTH,
            vec![("cert.pem", &cert), ("key.pem", &other)],
            "p.toml:3: listen.tls_key: the key in key.pem does not belong to the first certificate in cert.pem; write",
        ),
        (
            "certificate alone",
            "tls_cert = \"cert.pem\"\n",
            vec![("cert.pem", &cert)],
            "p.toml:2: listen.tls_cert: tls_key is missing; write tls_key = \"key.pem\"",
        ),
        (
            "key alone",
            "tls_key = \"key.pem\"\n",
            vec![("key.pem", &key)],
            "p.toml:2: listen.tls_key: tls_cert is missing; write tls_cert = \"cert.pem\"",
        ),
        (
            "old version",
            "tls_min_version = \"1.1\"\n",
            vec![],
            "p.toml:2: listen.tls_min_version: ",
        ),
    ];
    for (name, listen, files, expected) in rows {
        let shown = load(listen, &files).expect_err(name);
        assert!(shown.contains(expected), "{name}: {shown}");
        assert_eq!(shown.lines().count(), 1, "{name}: {shown}");
    }
}

#[test]
fn both_files_are_reported_at_once() {
    let shown = load(BOTH, &[]).expect_err("no files");
    assert_eq!(shown.lines().count(), 2, "{shown}");
}

#[test]
fn the_admin_interface_has_its_own() {
    let (cert, key) = pair();
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("cert.pem", &cert), ("key.pem", &key)] {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    let file = folder.path().join("p.toml");
    let load = |lines: &str| {
        std::fs::write(&file, format!("{LEAST}[admin]\n{lines}")).expect("a file");
        Config::load(&file, &Env::default())
    };
    let config = load(BOTH).expect("a config").config;
    assert_eq!(config.listen.tls, None);
    let tls = config.admin.tls.expect("given");
    assert_eq!(tls.server.alpn_protocols, [&b"http/1.1"[..]]);
    let said = load("tls_cert = \"cert.pem\"\n")
        .expect_err("half of it")
        .to_string();
    assert!(
        said.contains("admin.tls_cert: tls_key is missing"),
        "{said}"
    );
}
