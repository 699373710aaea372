//! `[jobs]` and `[[warm]]`: what jobs may ask for, when, and what `check` says of the rest.

use super::*;
use crate::agenda::Source;

const ROUTES: &str = "[[route]]\npath = \"/api/{*rest}\"\nkey = \"{path.rest}\"\nany_host = true\n\
                      [[route]]\nname = \"mine\"\npath = \"/me\"\nkey = \"me:{jwt.sub}\"\n\
                      [jwt]\nsecret = \"0123456789abcdef0123456789abcdef\"\n";

/// With a job that has these lines from line 16 on.
fn with_job(lines: &str) -> String {
    format!("{LEAST}{ROUTES}[[warm]]\nname = \"job\"\non_start = true\n{lines}\n")
}

#[test]
fn a_job_as_it_is_written() {
    let text = with_job(
        "urls = [\"/api/{1..3}\", \"/api/2\"]\nheaders = { accept-language = \"de\" }\nhost = \"https://Shop.example\"\n\
         cron = \"*/30 7-19 * * mon-fri\"\ntimezone = \"Europe/Berlin\"\nready = true\n\
         [[warm]]\nname = \"next\"\nfrom = \"/api/all\"\neach = \"/api/{[].id}\"\nafter = [\"job\"]\nretries = 0\n\
         [jobs]\nhot = 200",
    );
    assert_eq!(warnings(&text, &[]), "");
    let config = config(&text, &[]);
    let [job, next] = config.warms.as_slice() else {
        panic!("two");
    };
    let urls = ["/api/1", "/api/2", "/api/3"].map(str::to_owned).to_vec();
    assert_eq!(job.source, Source::Listed(urls));
    assert_eq!(job.origin, "https://shop.example");
    assert!(job.ready && job.timing.is_some() && !job.follows());
    assert!(next.follows() && next.retries == 0);
    assert_eq!(next.origin, "http://app:3000");
    assert_eq!(
        (config.jobs.hot, config.jobs.ready_within),
        (200, Duration::from_secs(30))
    );
}

#[test]
fn what_no_job_may_be_is_refused_with_its_line_and_a_remedy() {
    let rows = [
        (
            "urls = [\"http://169.254.169.254/latest\"]",
            "test.toml:16: warm.urls: \"http://169.254.169.254/latest\" is no path of the app, and a job asks nobody else; write \"/latest\"",
        ),
        ("urls = [\"//evil/x\"]", "is no path of the app"),
        (
            "urls = [\"/api/{1..10000000}\"]",
            "test.toml:16: warm.urls: it stands for more than 10000 URLs; name what is read most",
        ),
        (
            "urls = [\"/api/a\",\n\"/api/{1..10001}\"]",
            "test.toml:17: warm.urls: it stands for more",
        ),
        (
            "urls = [\"/api/{id}\"]",
            "{id} is neither a range nor a list; write such as {1..50}",
        ),
        ("urls = []", "it is empty"),
        (
            "urls = [\"/a/{1..10000}\", \"/b\", \"/c/{1..10000000}\"]",
            "test.toml:16: warm.urls: it stands for more than 10000 URLs",
        ),
        ("", "test.toml:13: warm.urls: it is missing; write such as"),
        (
            "urls = [\"/api/a\"]\nfrom = \"/api/b\"\neach = \"/api/{[].id}\"",
            "test.toml:17: warm.from: urls is there as well",
        ),
        (
            "urls = [\"/api/a\"]\neach = \"/api/{[].id}\"",
            "warm.each: it makes URLs of what from answers, and there is no from",
        ),
        ("from = \"/api/a\"", "warm.each: it is missing"),
        (
            "from = \"/api/a\"\neach = \"/api/{id}\"",
            "{id} does not say of which list",
        ),
        (
            "from = \"http://evil/\"\neach = \"/api/{[].id}\"",
            "warm.from: \"http://evil/\" is no path",
        ),
        (
            "urls = [\"/api/a\"]\nheaders = { Authorization = \"Bearer x\" }",
            "test.toml:17: warm.headers: authorization says who asks, and a job is nobody",
        ),
        (
            "urls = [\"/api/a\"]\nheaders = { cookie = \"sid=1\" }",
            "cookie says who asks",
        ),
        (
            "urls = [\"/api/a\"]\nheaders = { X-Api-Key = \"k\" }",
            "x-api-key says who asks",
        ),
        (
            "urls = [\"/api/a\"]\nheaders = { x-tenant-code = \"k\" }\n[defaults]\ncredential_headers = [\"x-tenant-code\"]",
            "x-tenant-code says who asks",
        ),
        (
            "urls = [\"/api/a\"]\nheaders = { host = \"x\" }",
            "host is not a job's to send; write host =",
        ),
        (
            "urls = [\"/api/a\"]\nheaders = { range = \"bytes=0-1\" }",
            "range is not a job's to send",
        ),
        (
            "urls = [\"/api/a\"]\nhost = \"ftp://x\"",
            "\"ftp://x\" is no host",
        ),
        (
            "urls = [\"/api/a\"]\nhost = \"ann@x\"",
            "\"ann@x\" is no host",
        ),
        (
            "urls = [\"/api/a\"]\nevery = \"500ms\"",
            "it is under a second",
        ),
        (
            "urls = [\"/api/a\"]\nevery = \"5m\"\ncron = \"* * * * *\"",
            "warm.every: cron is there as well",
        ),
        (
            "urls = [\"/api/a\"]\ncron = \"61 * * * *\"",
            "test.toml:17: warm.cron: \"61 * * * *\" is no cron pattern",
        ),
        (
            "urls = [\"/api/a\"]\ncron = \"0 0 31 2 *\"",
            "no time of \"0 0 31 2 *\" will ever come",
        ),
        (
            "urls = [\"/api/a\"]\ncron = \"* * * * *\"\ntimezone = \"Berlin\"",
            "test.toml:18: warm.timezone: there is no time zone \"Berlin\"; write a name of the IANA database",
        ),
        (
            "urls = [\"/api/a\"]\ntimezone = \"UTC\"",
            "without cron no clock is read",
        ),
        (
            "urls = [\"/api/a\"]\nafter = [\"joob\"]",
            "there is no job \"joob\"; leave it out",
        ),
        (
            "urls = [\"/api/a\"]\nafter = [\"job\"]",
            "it would wait for itself: job after job",
        ),
        (
            "urls = [\"/api/a\"]\nafter = [\"b\"]\n[[warm]]\nname = \"b\"\nurls = [\"/api/b\"]\nafter = [\"job\"]",
            "test.toml:21: warm.after: it would wait for itself: b after job after b",
        ),
        (
            "urls = [\"/api/a\"]\n[[warm]]\nname = \"job\"\nurls = [\"/api/b\"]",
            "another job is named \"job\"",
        ),
        (
            "urls = [\"/api/a\"]\n[[warm]]\nname = \"hot\"\nurls = [\"/api/b\"]",
            "\"hot\" is the job of [jobs] hot",
        ),
        (
            "urls = [\"/api/a\"]\n[[warm]]\nurls = [\"/api/b\"]",
            "warm.name: it is missing",
        ),
        (
            "urls = [\"/api/a\"]\n[[warm]]\nname = \"b\"\nurls = [\"/api/b\"]\nready = true",
            "it does not run at the start",
        ),
        (
            "urls = [\"/me\"]",
            "test.toml:16: warm.urls: mine keeps an answer for each person, and a job is nobody",
        ),
        ("urls = [\"/api/a\"]\nretries = 21", "warm.retries"),
    ];
    for (lines, expected) in rows {
        let found = errors(&with_job(lines)).replace("pannier.toml", "test.toml");
        assert!(found.contains(expected), "{lines}\n  {found}\n  {expected}");
    }
    let many: String = (0..65)
        .map(|n| format!("[[warm]]\nname = \"j{n}\"\nurls = [\"/api/a\"]\non_start = true\n"))
        .collect();
    let found = errors(&format!("{LEAST}{ROUTES}{many}"));
    assert!(
        found.contains("there are more than 64 jobs") && found.lines().count() == 1,
        "{found}"
    );
}

#[test]
fn what_is_unwise_of_a_job_is_told() {
    let rows = [
        (
            "urls = [\"/other\"]",
            "pannier.toml:16: warm.urls: no route matches /other, so that nothing of it would be stored",
        ),
        (
            "from = \"/x\"\neach = \"/other/{[].id}\"",
            "pannier.toml:17: warm.each: no route matches /other/1",
        ),
        (
            "urls = [\"/api/a\"]\n[[warm]]\nname = \"b\"\nurls = [\"/api/b\"]",
            "it runs only when it is asked for",
        ),
        (
            "urls = [\"/hosts\"]\n[[route]]\nname = \"hosts\"\npath = \"/hosts\"",
            "it would be stored for http://app:3000, and hosts keeps an answer for each host; write host =",
        ),
    ];
    for (lines, expected) in rows {
        let found = warnings(&with_job(lines), &[]);
        assert!(
            found.contains(expected) && found.lines().count() == 1,
            "{lines}\n  {found}"
        );
    }
    let text = with_job("urls = [\"/other\"]\n[defaults]\nunmatched = \"rfc9111\"");
    assert_eq!(warnings(&text, &[]), "", "it is stored by its own fields");
}
