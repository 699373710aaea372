//! `[log] access`: a line for each answer, and the id by which one request is found in every log.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::header::{REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use crate::config::LogFormat;

/// What gateways, apps and their logs know a request by.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// W3C Trace Context; it passes as it came.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// An answer as the log tells it.
pub(super) struct Line<'l> {
    pub(super) parts: &'l Parts,
    pub(super) client: IpAddr,
    pub(super) status: StatusCode,
    pub(super) rule: Option<&'l str>,
    pub(super) reason: &'static str,
    pub(super) took: Duration,
    /// The wall clock.
    pub(super) now: SystemTime,
}

/// Gives a request an id that has none: what is asked of the app for it, and the answer, carry it.
pub(super) fn name_request(fields: &mut HeaderMap) {
    if !fields.contains_key(REQUEST_ID) {
        let id = format!("{:032x}", fastrand::u128(..));
        let id = HeaderValue::from_str(&id).expect("hexadecimal digits are visible");
        fields.insert(REQUEST_ID, id);
    }
}

impl Line<'_> {
    pub(super) fn write(&self, format: LogFormat) {
        match format {
            LogFormat::Text => tracing::info!(target: "pannier::access", "{}", self.combine()),
            LogFormat::Json => tracing::info!(
                target: "pannier::access",
                request_id = self.field(&REQUEST_ID),
                http.request.method = %self.parts.method,
                url.path = self.parts.uri.path(),
                url.query = self.parts.uri.query(),
                network.protocol.version = self.version(),
                http.response.status_code = self.status.as_u16(),
                http.server.request.duration = self.took.as_secs_f64(),
                client.address = %self.client,
                user_agent.original = self.field(&USER_AGENT),
                trace_id = self.trace_id(),
                pannier.rule = self.rule.unwrap_or("-"),
                pannier.reason = self.reason,
            ),
        }
    }

    /// As the Combined Log Format has it, the length left open since most bodies are yet to be sent; behind it what only
    /// Pannier knows.
    fn combine(&self) -> String {
        let quoted = |name| escape(self.field(name).unwrap_or("-"));
        format!(
            "{} - - [{}] \"{} {} HTTP/{}\" {} - \"{}\" \"{}\" rule={} reason={} ms={:.3} request_id={} trace_id={}",
            self.client,
            date(self.now),
            self.parts.method,
            escape(&self.parts.uri.to_string()),
            self.version(),
            self.status.as_u16(),
            quoted(&REFERER),
            quoted(&USER_AGENT),
            self.rule.unwrap_or("-"),
            self.reason,
            self.took.as_secs_f64() * 1e3,
            quoted(&REQUEST_ID),
            self.trace_id().unwrap_or("-"),
        )
    }

    fn field(&self, name: &HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// Of `traceparent`: `00-TRACE-PARENT-FLAGS` (W3C Trace Context §3.2).
    fn trace_id(&self) -> Option<&str> {
        let id = self.field(&TRACEPARENT)?.split('-').nth(1)?;
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then_some(id)
    }

    fn version(&self) -> &'static str {
        match self.parts.version {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        }
    }
}

/// Within quotes.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// `29/Nov/2026:09:15:00 +0000`, made of the date of RFC 9110 §5.6.7: `Sun, 29 Nov 2026 09:15:00 GMT`.
fn date(now: SystemTime) -> String {
    let text = httpdate::fmt_http_date(now);
    let part = |from, to| text.get(from..to).unwrap_or_default();
    let (day, month, year, time) = (part(5, 7), part(8, 11), part(12, 16), part(17, 25));
    format!("{day}/{month}/{year}:{time} +0000")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn line<'l>(parts: &'l Parts) -> Line<'l> {
        Line {
            parts,
            client: [10, 0, 0, 7].into(),
            status: StatusCode::OK,
            rule: Some("board"),
            reason: "hit",
            took: Duration::from_micros(71),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_943_700),
        }
    }

    #[test]
    fn a_line_is_in_the_combined_format() {
        let request = Request::builder()
            .uri("/board/7?q=x")
            .header("user-agent", "curl \"8\"")
            .header("x-request-id", "abc")
            .header(
                "traceparent",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            );
        let Ok(request) = request.body(()) else {
            panic!("a request");
        };
        let (parts, ()) = request.into_parts();
        assert_eq!(
            line(&parts).combine(),
            "10.0.0.7 - - [29/Nov/2026:09:15:00 +0000] \"GET /board/7?q=x HTTP/1.1\" 200 - \"-\" \"curl \\\"8\\\"\" \
             rule=board reason=hit ms=0.071 request_id=abc trace_id=4bf92f3577b34da6a3ce929d0e0e4736"
        );
    }

    #[test]
    fn an_id_is_made_where_there_is_none_and_what_is_no_trace_is_none() {
        let mut fields = HeaderMap::new();
        name_request(&mut fields);
        let made = fields[REQUEST_ID].clone();
        assert_eq!(made.len(), 32);
        name_request(&mut fields);
        assert_eq!(fields[REQUEST_ID], made, "what is there stays");
        for wrong in [
            "",
            "00",
            "00-xyz-1-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-1-01",
        ] {
            let request = Request::builder()
                .header("traceparent", wrong)
                .body(())
                .unwrap();
            let (parts, ()) = request.into_parts();
            assert_eq!(line(&parts).trace_id(), None, "{wrong}");
        }
    }
}
