//! The endpoints: their paths, and the methods each takes.

use http::Method;

use super::dashboard::Part;
use super::refusal::Refusal;

/// What answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Health,
    Ready,
    Metrics,
    Stats,
    Shadow,
    History,
    Dashboard(Part),
    Events,
    Switch,
    Purge,
    Explain,
    Rollback,
    Refresh,
    Observations,
    Jobs,
    Job,
    RunJob,
}

impl Endpoint {
    /// Whether it tells what the sidecar does and stores. The page is the same everywhere, and probes have no token; what
    /// acts has the other token asked for.
    pub(super) fn shows_figures(self) -> bool {
        matches!(
            self,
            Endpoint::Metrics
                | Endpoint::Stats
                | Endpoint::History
                | Endpoint::Events
                | Endpoint::Shadow
                | Endpoint::Observations
                | Endpoint::Switch
                | Endpoint::Jobs
                | Endpoint::Job
        )
    }
}

/// Path, methods as in `Allow`, endpoint; those of the same methods side by side.
const ENDPOINTS: [(&str, &str, Endpoint); 19] = [
    ("/healthz", "GET, HEAD", Endpoint::Health),
    ("/readyz", "GET, HEAD", Endpoint::Ready),
    ("/metrics", "GET, HEAD", Endpoint::Metrics),
    ("/stats", "GET, HEAD", Endpoint::Stats),
    ("/shadow", "GET, HEAD", Endpoint::Shadow),
    ("/observations", "GET, HEAD", Endpoint::Observations),
    ("/history", "GET, HEAD", Endpoint::History),
    ("/jobs", "GET, HEAD", Endpoint::Jobs),
    ("/", "GET, HEAD", Endpoint::Dashboard(Part::Page)),
    (
        "/dashboard.css",
        "GET, HEAD",
        Endpoint::Dashboard(Part::Style),
    ),
    (
        "/dashboard.js",
        "GET, HEAD",
        Endpoint::Dashboard(Part::Script),
    ),
    ("/events", "GET", Endpoint::Events),
    ("/switch", "GET, HEAD, POST", Endpoint::Switch),
    ("/jobs/{id}", "GET, HEAD, DELETE", Endpoint::Job),
    ("/purge", "POST", Endpoint::Purge),
    ("/explain", "POST", Endpoint::Explain),
    ("/refresh", "POST", Endpoint::Refresh),
    ("/jobs/{name}/run", "POST", Endpoint::RunJob),
    ("/rollback", "POST", Endpoint::Rollback),
];

/// The endpoint at `path`, if it takes `method` (RFC 9110 §15.5.5, §15.5.6).
pub(super) fn find(method: &Method, path: &str) -> Result<Endpoint, Refusal> {
    let found = ENDPOINTS.iter().find(|(at, _, _)| is_at(at, path));
    let (_, allow, endpoint) = found.ok_or_else(|| Refusal::NotFound {
        endpoints: list_all(),
    })?;
    if split_methods(allow).any(|allowed| allowed == method.as_str()) {
        Ok(*endpoint)
    } else {
        Err(Refusal::Method { allow })
    }
}

/// Whether `path` is the one of the table, in which a name in braces stands for any segment.
fn is_at(at: &str, path: &str) -> bool {
    let (mut expected, mut given) = (at.split('/'), path.split('/'));
    loop {
        match (expected.next(), given.next()) {
            (None, None) => return true,
            (Some(name), Some(segment)) if name.starts_with('{') && !segment.is_empty() => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

fn split_methods(allow: &str) -> impl Iterator<Item = &str> {
    allow.split(", ")
}

/// Every path, under the first of its methods.
fn list_all() -> String {
    let by_methods = ENDPOINTS.chunk_by(|(_, one, _), (_, other, _)| one == other);
    let groups = by_methods.map(|group| {
        let (_, allow, _) = group.first().expect("no group is empty");
        let methods = split_methods(allow).filter(|method| *method != "HEAD");
        let methods: Vec<&str> = methods.collect();
        let paths: Vec<&str> = group.iter().map(|(path, _, _)| *path).collect();
        format!("{} {}", methods.join(" and "), paths.join(", "))
    });
    groups.collect::<Vec<_>>().join(", and ")
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn requests_find_their_endpoint() {
        let cases = [
            ("GET", "/healthz", Ok(Endpoint::Health)),
            ("HEAD", "/healthz", Ok(Endpoint::Health)),
            ("GET", "/readyz", Ok(Endpoint::Ready)),
            ("GET", "/metrics", Ok(Endpoint::Metrics)),
            ("GET", "/stats", Ok(Endpoint::Stats)),
            ("POST", "/purge", Ok(Endpoint::Purge)),
            ("POST", "/explain", Ok(Endpoint::Explain)),
            ("GET", "/switch", Ok(Endpoint::Switch)),
            ("POST", "/switch", Ok(Endpoint::Switch)),
            ("POST", "/rollback", Ok(Endpoint::Rollback)),
            ("GET", "/rollback", Err(StatusCode::METHOD_NOT_ALLOWED)),
            ("GET", "/explain", Err(StatusCode::METHOD_NOT_ALLOWED)),
            ("GET", "/purge", Err(StatusCode::METHOD_NOT_ALLOWED)),
            ("HEAD", "/purge", Err(StatusCode::METHOD_NOT_ALLOWED)),
            ("get", "/stats", Err(StatusCode::METHOD_NOT_ALLOWED)),
            ("POST", "/metrics", Err(StatusCode::METHOD_NOT_ALLOWED)),
            ("GET", "/", Ok(Endpoint::Dashboard(Part::Page))),
            ("POST", "/", Err(StatusCode::METHOD_NOT_ALLOWED)),
            ("GET", "/events", Ok(Endpoint::Events)),
            ("HEAD", "/events", Err(StatusCode::METHOD_NOT_ALLOWED)),
            ("GET", "/index.html", Err(StatusCode::NOT_FOUND)),
            ("GET", "/stats/", Err(StatusCode::NOT_FOUND)),
            ("GET", "//stats", Err(StatusCode::NOT_FOUND)),
            ("GET", "/jobs", Ok(Endpoint::Jobs)),
            ("GET", "/jobs/0a1b", Ok(Endpoint::Job)),
            ("DELETE", "/jobs/0a1b", Ok(Endpoint::Job)),
            ("DELETE", "/jobs", Err(StatusCode::METHOD_NOT_ALLOWED)),
            ("POST", "/jobs/board/run", Ok(Endpoint::RunJob)),
            ("POST", "/jobs//run", Err(StatusCode::NOT_FOUND)),
            ("GET", "/jobs/", Err(StatusCode::NOT_FOUND)),
            ("GET", "/jobs/a/b", Err(StatusCode::NOT_FOUND)),
        ];
        for (method, path, expected) in cases {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let found = find(&method, path).map_err(|refusal| refusal.status());
            assert_eq!(found, expected, "{method} {path}");
        }
    }

    #[test]
    fn who_finds_none_is_told_of_all() {
        let refusal = find(&Method::GET, "/index.html").unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "there are: GET /healthz, /readyz, /metrics, /stats, /shadow, /observations, /history, /jobs, /, \
             /dashboard.css, /dashboard.js, and GET /events, and GET and POST /switch, and GET and DELETE /jobs/{id}, and POST \
             /purge, /explain, /refresh, /jobs/{name}/run, /rollback"
        );
    }
}
