use super::*;

type Fields<'a> = &'a [(&'a str, &'a str)];

#[test]
fn what_browsers_copy_is_read() {
    #[rustfmt::skip]
    let rows: &[(&str, &str, &str, &str, Fields)] = &[
        ("Chrome",
            "curl 'https://app.test/api/products/7?ref=mail' \\\n  -H 'accept: application/json' \\\n  \
             -H 'accept-language: de-DE,de;q=0.9' \\\n  -b '_ga=GA1.1; session=abc' \\\n  -H 'priority: u=1, i' \\\n  \
             -H 'user-agent: Mozilla/5.0 (X11)' \\\n  --compressed",
            "GET", "https://app.test/api/products/7?ref=mail",
            &[("accept", "application/json"), ("accept-language", "de-DE,de;q=0.9"), ("priority", "u=1, i"),
              ("user-agent", "Mozilla/5.0 (X11)"), ("Cookie", "_ga=GA1.1; session=abc")]),
        ("Firefox", "curl 'http://a/b' --compressed -H 'Cookie: a=1' -X POST --data-raw '{\"a\":1}' -H 'Content-Type: x/y'",
            "POST", "http://a/b", &[("Cookie", "a=1"), ("Content-Type", "x/y"), ("Content-Length", "7")]),
        ("what bash escapes", r"curl $'http://a/\'b\u00e9\x21\101\n' -H $'x: it\'s'", "GET", "http://a/'bé!A\n",
            &[("x", "it's")]),
        ("double quotes", "curl \"http://a/\\\"b\\$c\\d\" -H \"x: a b\"", "GET", "http://a/\"b$c\\d", &[("x", "a b")]),
        ("flags glued", "curl -XDELETE -Hx:1 -sSkL http://a/", "DELETE", "http://a/", &[("x", "1")]),
        ("flags with =", "curl --request=PUT --url=http://a/ --header='x: 1'", "PUT", "http://a/", &[("x", "1")]),
        ("head", "curl -I http://a/", "HEAD", "http://a/", &[]),
        ("data", "curl http://a/ -d a=1 -d b=2", "POST", "http://a/",
            &[("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "7")]),
        ("data in the query", "curl -G http://a/?x=1 -d a=1", "GET", "http://a/?x=1&a=1", &[]),
        ("who asks", "curl -u user:pass -A me -e http://b/ a/c", "GET", "http://a/c",
            &[("Authorization", "Basic dXNlcjpwYXNz"), ("User-Agent", "me"), ("Referer", "http://b/")]),
        ("a fragment", "/usr/bin/curl 'http://a/b#c'", "GET", "http://a/b", &[]),
        ("fields of HTTP/2, and none", "curl http://a/ -H ':authority: a' -H 'x;' -H 'Accept:'", "GET", "http://a/",
            &[("x", "")]),
        ("backslashes", "curl http://a/\\?b\\&c", "GET", "http://a/?b&c", &[]),
    ];
    for (name, command, method, url, headers) in rows {
        let read = parse(command).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found: Vec<(&str, &str)> = read
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            (read.method.as_str(), read.url.as_str()),
            (*method, *url),
            "{name}"
        );
        assert_eq!(found, *headers, "{name}");
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let rows = [
        ("wget http://a/", "does not begin with curl"),
        ("", "does not begin with curl"),
        ("curl", "0 URLs"),
        ("curl http://a/ http://b/", "2 URLs"),
        ("curl http://a/ --frobnicate", "--frobnicate is not known"),
        ("curl -Zq http://a/", "-Z is not known"),
        ("curl 'http://a/", "quote ' is not closed"),
        ("curl http://a/ -H", "--header has no value"),
        ("curl http://a/ -H x", "has no colon"),
        ("curl http://a/ -b jar.txt", "names a file"),
        ("curl http://a/ | jq .", "'|' outside of quotes"),
        ("curl http://a/?b&c", "'&' outside of quotes"),
        (r"curl $'\udead'", "no character"),
    ];
    for (command, expected) in rows {
        let error = parse(command).expect_err(command).to_string();
        assert!(error.contains(expected), "{command}: {error}");
    }
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(command in "curl [-a-zHXdb '\"$\\\\nux0-9=:/&é\n]{0,40}") {
        let _ = parse(&command);
    }

    /// As a browser quotes it.
    #[test]
    fn what_is_quoted_comes_back(value in "[ -~]{0,30}") {
        let quoted = value.replace('\'', r"'\''");
        let words = split_words(&format!("curl '{quoted}'")).expect("words");
        proptest::prop_assert_eq!(words, ["curl", &value]);
    }
}
