//! curl as a client: HTTP/1.1 and 1.0, HEAD, ranges, conditions, uploads, a kept connection.

use std::net::SocketAddr;

use super::process::{command, run};
use crate::support::app::{Answer, Seen, TestApp};
use crate::support::sidecar::Sidecar;

pub(crate) const BY_THE_RFC: &str = "[defaults]\nunmatched = \"rfc9111\"";

/// What curl got.
pub(crate) struct Got {
    pub(crate) body: Vec<u8>,
    pub(crate) status: u16,
    /// New connections for the last transfer.
    pub(crate) connects: usize,
    pub(crate) cache_status: String,
}

impl Got {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("it is text")
    }

    pub(crate) fn is_hit(&self) -> bool {
        self.cache_status.starts_with("pannier; hit;")
    }
}

/// Runs curl with these options on a path of the sidecar.
pub(crate) async fn curl(options: &[&str], addr: SocketAddr, path: &str) -> Got {
    let heads = tempfile::NamedTempFile::new().expect("room");
    let ended = run(command("curl")
        .args(["--silent", "--show-error", "--dump-header"])
        .arg(heads.path())
        .args(["--write-out", "\n%{http_code} %{num_connects}"])
        .args(options)
        .arg(format!("http://{addr}{path}")))
    .await;
    assert!(ended.success, "curl {options:?} {path}: {}", ended.errors);
    let end = ended.output.iter().rposition(|&byte| byte == b'\n');
    let (body, line) = ended
        .output
        .split_at(end.expect("the format begins with one"));
    let line = String::from_utf8_lossy(&line[1..]).into_owned();
    let (status, connects) = line.split_once(' ').expect("two words");
    let heads = std::fs::read_to_string(heads.path()).expect("heads are text here");
    let mut fields = heads.lines().filter_map(|line| line.split_once(": "));
    let cache_status = fields.rfind(|(name, _)| name.eq_ignore_ascii_case("cache-status"));
    Got {
        status: status.parse().expect("a status"),
        connects: connects.parse().expect("a number"),
        cache_status: cache_status.map_or("", |(_, value)| value).to_owned(),
        body: body.to_vec(),
    }
}

/// An app with one text of ten bytes, with both validators, and parts of it.
async fn app() -> TestApp {
    let app = TestApp::start().await;
    let answer = |seen: &Seen| {
        let validated = |answer: Answer| {
            answer
                .header("etag", "\"v1\"")
                .header("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")
                .header("accept-ranges", "bytes")
                .cache_control("max-age=3600")
        };
        match seen.header("range") {
            "bytes=2-5" => {
                let mut part = validated(Answer::text("2345"));
                part = part.header("content-range", "bytes 2-5/10");
                part.with_status(206)
            }
            _ => validated(Answer::text("0123456789")),
        }
    };
    app.on("GET", "/text", answer);
    app.on("GET", "/part", answer);
    app.on("HEAD", "/head", answer);
    app.on("GET", "/head", answer);
    app.on("PUT", "/upload", |seen| {
        Answer::text(format!("{} bytes", seen.body.len()))
    });
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_a_miss_then_a_hit() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), BY_THE_RFC);
    let first = curl(&[], sidecar.addr(), "/text").await;
    let first = (first.status, first.text().to_owned(), first.is_hit());
    assert_eq!(first, (200, "0123456789".into(), false));
    let second = curl(&[], sidecar.addr(), "/text").await;
    assert_eq!((second.status, second.text()), (200, "0123456789"));
    assert_eq!(app.count("/text"), 1);
    // HTTP/1.0 has no chunks and closes.
    let old = curl(&["--http1.0"], sidecar.addr(), "/text").await;
    assert_eq!((old.status, old.text()), (200, "0123456789"));
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_asks_for_a_head() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), BY_THE_RFC);
    for stored in [false, true] {
        let got = curl(&["--head"], sidecar.addr(), "/head").await;
        let head = got.text().to_ascii_lowercase();
        assert!(head.contains("content-length: 10\r\n"), "{stored}: {head}");
        assert!(head.contains("etag: \"v1\"\r\n"), "{stored}: {head}");
        curl(&[], sidecar.addr(), "/head").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_asks_for_a_range() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), BY_THE_RFC);
    let part = curl(&["--range", "2-5"], sidecar.addr(), "/part").await;
    assert_eq!((part.status, part.text()), (206, "2345"));
    // A part that is stored must not be taken for the whole.
    let whole = curl(&[], sidecar.addr(), "/part").await;
    assert_eq!((whole.status, whole.text()), (200, "0123456789"));
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_asks_for_a_range_of_what_is_stored() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), BY_THE_RFC);
    curl(&[], sidecar.addr(), "/text").await;
    for (range, body) in [("2-5", "2345"), ("8-", "89"), ("-1", "9")] {
        let part = curl(&["--range", range], sidecar.addr(), "/text").await;
        assert_eq!((part.status, part.text()), (206, body), "{range}");
    }
    assert_eq!(app.count("/text"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_asks_on_conditions() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), BY_THE_RFC);
    let folder = tempfile::tempdir().expect("a directory");
    let tag = folder.path().join("tag");
    let tag = tag.to_str().expect("a plain path");
    let first = curl(&["--etag-save", tag], sidecar.addr(), "/text").await;
    assert_eq!(first.status, 200);
    let same = curl(&["--etag-compare", tag], sidecar.addr(), "/text").await;
    assert_eq!((same.status, same.text()), (304, ""));
    for (since, status) in [("1 Jan 2000 00:00:00", 304), ("1 Jan 1990 00:00:00", 200)] {
        let got = curl(&["--time-cond", since], sidecar.addr(), "/text").await;
        assert_eq!(got.status, status, "{since}");
    }
    assert_eq!(app.count("/text"), 1);
}

/// curl waits for 100 a second before it sends on; neither it nor the app may wait for ever.
#[tokio::test(flavor = "multi_thread")]
async fn curl_uploads_after_expect() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), BY_THE_RFC);
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("large");
    std::fs::write(&file, vec![7; 3_000_000]).expect("room");
    let file = file.to_str().expect("a plain path");
    for (name, options) in [
        ("with a length", vec!["--header", "Expect: 100-continue"]),
        ("without Expect", vec!["--header", "Expect:"]),
        ("in chunks", vec!["--header", "Transfer-Encoding: chunked"]),
    ] {
        let mut options = options;
        options.extend(["--upload-file", file]);
        let got = curl(&options, sidecar.addr(), "/upload").await;
        assert_eq!((got.status, got.text()), (200, "3000000 bytes"), "{name}");
        assert_eq!(app.last("/upload").body.len(), 3_000_000, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_keeps_its_connection() {
    let app = app().await;
    let sidecar = Sidecar::start(&app.url(), BY_THE_RFC);
    let first = format!("http://{}/text", sidecar.addr());
    // The last of two transfers on one command line tells how many connections it had to make.
    let got = curl(&["--output", "/dev/null", &first], sidecar.addr(), "/text").await;
    assert_eq!((got.status, got.connects), (200, 0));
    assert_eq!(app.count("/text"), 1);
}
