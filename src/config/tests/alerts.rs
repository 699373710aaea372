//! `[alerts]`: thresholds, and where they are posted.

use super::*;

fn alerts(lines: &str) -> Alerts {
    config(&format!("{LEAST}[alerts]\n{lines}"), &[]).alerts
}

#[test]
fn without_the_table_there_are_none_and_with_it_all() {
    assert_eq!(config(LEAST, &[]).alerts, Alerts::default());
    let usual = alerts("");
    assert_eq!((usual.memory_percent, usual.keys), (Some(95), Some(1500)));
    assert_eq!((usual.stale_per_hour, usual.webhook), (Some(1), None));
    let some = alerts("stale_per_hour = 0\nkeys = 7\n");
    assert_eq!((some.stale_per_hour, some.keys), (None, Some(7)));
}

#[test]
fn a_webhook_is_a_url_whose_path_is_a_secret() {
    let url = alerts("webhook = \"https://hooks.example.com/services/T0/secret?x=1\"\n").webhook;
    let url = url.expect("given");
    assert_eq!(url.path, "/services/T0/secret?x=1");
    assert_eq!(url.origin(), "https://hooks.example.com");
    assert!(!format!("{url:?}").contains("secret"), "{url:?}");
    for (text, path) in [
        ("https://h", "/"),
        ("https://h/", "/"),
        ("https://h?token=x", "/?token=x"),
        ("https://h/?token=x", "/?token=x"),
    ] {
        let url = alerts(&format!("webhook = \"{text}\"\n")).webhook;
        let url = url.expect("given");
        assert_eq!(url.path, path, "{text}");
        let request = crate::remote::request(&url, http::Method::POST).body(());
        assert!(request.is_ok(), "{text}: {request:?}");
    }
    for (case, lines, expected) in [
        (
            "no URL",
            "webhook = \"hooks\"",
            "has no scheme; write such as https://hooks",
        ),
        (
            "another scheme",
            "webhook = \"ftp://h/\"",
            "ftp:// is not supported",
        ),
        ("a password", "webhook = \"https://a:b@h/\"", "before the @"),
        (
            "an idle authority",
            "webhook_ca_file = \"ca.pem\"",
            "ca.pem cannot be read",
        ),
    ] {
        let said = errors(&format!("{LEAST}[alerts]\n{lines}\n"));
        assert!(said.contains(expected), "{case}: {said}");
        assert!(
            said.contains("pannier.toml:4: alerts.webhook"),
            "{case}: {said}"
        );
    }
}
