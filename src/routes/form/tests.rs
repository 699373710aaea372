use http::HeaderValue;
use serde_json::json;

use super::*;

fn headers(lines: &[&str]) -> HeaderMap {
    let value = |line: &&str| HeaderValue::from_str(line).expect(line);
    HeaderMap::from_iter(lines.iter().map(|line| (CONTENT_TYPE, value(line))))
}

#[test]
fn which_bodies_are_forms() {
    use Form::{Multipart, Unclear, UrlEncoded};
    #[rustfmt::skip]
    let rows: [(&[&str], Option<Form<'_>>); 9] = [
        (&[], None),
        (&["application/json"], None),
        (&["application/x-www-form-urlencoded"], Some(UrlEncoded)),
        (&["Application/X-WWW-Form-URLEncoded ; charset=UTF-8"], Some(UrlEncoded)),
        (&["application/x-www-form-urlencoded;charset=utf-16"], Some(Unclear)),
        (&["multipart/form-data; boundary=a"], Some(Multipart(" boundary=a"))),
        (&["multipart/mixed; boundary=a"], None),
        (&["application/x-www-form-urlencoded", "application/json"], Some(Unclear)),
        (&["application/x-www-form-urlencodedx"], None),
    ];
    for (lines, expected) in rows {
        assert_eq!(Form::of(&headers(lines)), expected, "{lines:?}");
    }
}

#[test]
fn fields_of_urlencoded_bodies() {
    let any = json::unknown;
    let deep = format!("a{}=1", "[b]".repeat(MAX_DEPTH));
    let rows = [
        ("", json!({})),
        ("a=1&b=x+y%26", json!({"a": "1", "b": "x y&"})),
        ("a", json!({"a": ""})),
        (
            "task[project_id]=3&task[id]=4",
            json!({"task": {"project_id": "3", "id": "4"}}),
        ),
        (
            "task.project.id=3",
            json!({"task": {"project": {"id": "3"}}}),
        ),
        ("ids[]=1&ids[]=2", json!({"ids": ["1", "2"]})),
        ("ids%5B%5D=1", json!({"ids": ["1"]})),
        ("ids[0]=1&ids[1]=2", json!({"ids": ["1", "2"]})),
        ("ids=1&ids=2&ids=3", json!({"ids": ["1", "2", "3"]})),
        (
            "t[][id]=1&t[][n]=a&t[][id]=2",
            json!({"t": [{"id": "1", "n": "a"}, {"id": "2"}]}),
        ),
        (
            "t[0].id=1&t[0].n=a&t[1].id=2",
            json!({"t": [{"id": "1", "n": "a"}, {"id": "2"}]}),
        ),
        ("a=1&a[b]=2", json!({"a": any()})),
        ("a[b]=1&a=2", json!({"a": any()})),
        ("a[b]=1&a[]=2", json!({"a": any()})),
        ("a=1&a[]=2&a[]=3", json!({"a": any()})),
        ("a=%FF&b=1", json!({"a": any(), "b": "1"})),
        ("%FF=1&b=2", any()),
        ("a=1;b=2", any()),
        ("a[b=1", any()),
        ("a[b]c=1", any()),
        ("[a]=1", any()),
        (deep.as_str(), any()),
        // What `curl -d` sends as a form.
        (r#"{"id": 3}"#, json!({"id": 3})),
        (r#"{"id": 3, "x": "&id=4&"}"#, any()),
    ];
    for (body, expected) in rows {
        assert_eq!(Form::UrlEncoded.read(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn fields_of_multipart_bodies() {
    let part = |head: &str, text: &str| format!("--X\r\n{head}\r\n\r\n{text}\r\n");
    let named = |name: &str, text: &str| {
        part(
            &format!("Content-Disposition: form-data; name=\"{name}\""),
            text,
        )
    };
    let file = part(
        "content-disposition: form-data; name=\"f\"; filename=\"a.png\"\r\nContent-Type: image/png",
        "\u{fffd}--X",
    );
    let whole = |parts: &[String]| format!("{}--X--\r\n", parts.concat());
    let any = json::unknown;
    #[rustfmt::skip]
    let rows = [
        (whole(&[named("a", "1"), named("ids[]", "2"), file.clone(), named("ids[]", "3")]), json!({"a": "1", "ids": ["2", "3"]})),
        (whole(&[named("a", "1\r\n2")]), json!({"a": "1\r\n2"})),
        (whole(&[named("a", "")]), json!({"a": ""})),
        (whole(&[named("a%22", "1")]), json!({"a\"": "1"})),
        (whole(&[part("Content-Disposition: form-data; name=\"a\"\r\nContent-Type: application/json", "{}")]), json!({"a": any()})),
        (whole(&[part("Content-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain; charset=utf-8", "é")]), json!({"a": "é"})),
        ("--X--".to_owned(), json!({})),
        (named("a", "1"), any()),
        (format!("preamble\r\n{}", whole(&[named("a", "1")])), any()),
        (format!("{}epilogue", whole(&[named("a", "1")])), any()),
        (whole(&[named("a\\", "1")]), any()),
        (whole(&[part("Content-Disposition: form-data; name=a", "1")]), any()),
        (whole(&[part("Content-Disposition: form-data", "1")]), any()),
        (whole(&[part("Content-Disposition: form-data; name=\"a\"; name=\"b\"", "1")]), any()),
        (whole(&[part("Content-Disposition: form-data;\r\n name=\"a\"", "1")]), any()),
        (whole(&[part("Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64", "MQ==")]), any()),
        (whole(&[part("Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"", "1")]), any()),
        (whole(&[part("X: y", "1")]), any()),
    ];
    for (body, expected) in rows {
        assert_eq!(
            Form::Multipart(" boundary=X").read(body.as_bytes()),
            expected,
            "{body}"
        );
    }
    for (length, is_read) in [(70, true), (71, false)] {
        let boundary = "X".repeat(length);
        let body = whole(&[named("a", "1")]).replace("--X", &format!("--{boundary}"));
        let parameters = format!(" boundary={boundary}");
        let read = Form::Multipart(&parameters).read(body.as_bytes());
        assert_eq!(read == json!({"a": "1"}), is_read, "{length}");
    }
    for (parameters, is_read) in [
        ("boundary=\"X\"", true),
        ("charset=utf-8; BOUNDARY=X", true),
        ("boundary=Y", false),
        ("", false),
        ("boundary=X; boundary=Y", false),
        ("boundary=\"X", false),
    ] {
        let read = Form::Multipart(parameters).read(whole(&[named("a", "1")]).as_bytes());
        assert_eq!(read == json!({"a": "1"}), is_read, "{parameters}");
    }
}
