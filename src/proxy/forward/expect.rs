//! `Expect: 100-continue` (RFC 9110 §10.1.1): the app is asked before the client sends its body.
//!
//! The body is held back until the app says 100. Then hyper's server says it to the client, since it
//! does so when the body is first asked for. An app that answers instead is heard out, and the client
//! gets that answer with its body never sent. An app that says nothing gets the body after [`WAIT`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Sleep;

use crate::body::{Body, BoxError};
use crate::proxy::request::admit::Refusal;
use crate::proxy::request::present::Present;

/// The longest wait for an app that neither says 100 nor answers: many do neither before they have read
/// the body, and a sender need not wait for ever.
const WAIT: Duration = Duration::from_secs(1);

/// Refuses what nobody here can expect.
pub(in crate::proxy) fn check(parts: &Parts, present: Present) -> Result<(), Refusal> {
    if !present.has(Present::EXPECT) {
        return Ok(());
    }
    let known = parts.headers.get_all(EXPECT).iter().all(is_continue);
    // In HTTP/1.0 it means nothing.
    if known || parts.version == Version::HTTP_10 {
        return Ok(());
    }
    Err(Refusal {
        status: StatusCode::EXPECTATION_FAILED,
        why: "an expectation other than 100-continue",
    })
}

fn is_continue(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(b"100-continue")
}

/// Whether the app has yet to say that it wants a request's body; none if the client did not ask.
#[derive(Clone, Debug, Default)]
pub(in crate::proxy) struct Expectation(Option<Arc<Gate>>);

#[derive(Debug)]
struct Gate {
    state: Mutex<GateState>,
    body: AtomicWaker,
    /// Whether the client's connection can be told to end.
    http1: bool,
}

/// How far an expectation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GateState {
    /// The body waits for the app's word.
    Held,
    /// It flows.
    Open,
    /// The app has answered without it: the client's end is let go.
    Refused,
    /// That answer is complete: the app's connection, on which a body is owed, ends.
    Over,
}

/// Holds `body` back if the client waits for a 100 before it sends it.
pub(in crate::proxy) fn hold(parts: &Parts, body: Body) -> (Body, Expectation) {
    let expected = parts.version != Version::HTTP_10 && parts.headers.contains_key(EXPECT);
    if !expected || !body.is_streamed() {
        return (body, Expectation::default());
    }
    let gate = Arc::new(Gate {
        state: Mutex::new(GateState::Held),
        body: AtomicWaker::new(),
        http1: parts.version == Version::HTTP_11,
    });
    let held = HeldBody {
        body: Some(body),
        gate: gate.clone(),
        sleep: None,
    };
    (Body::stream(held), Expectation(Some(gate)))
}

impl Expectation {
    /// Whether the client expects nothing.
    pub(in crate::proxy) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The app wants the body. False: nobody asked.
    pub(in crate::proxy) fn meet(&self) -> bool {
        if let Some(gate) = &self.0 {
            gate.step(GateState::Held, GateState::Open);
        }
        self.0.is_some()
    }

    /// The app's final answer on its way to the client. If the body was not let go by then, it never
    /// will be, and the client is told that the connection ends: what it sent next could be either.
    pub(in crate::proxy) fn answered(&self, response: Response<Body>) -> Response<Body> {
        let Some(gate) = self
            .0
            .as_ref()
            .filter(|gate| gate.step(GateState::Held, GateState::Refused))
        else {
            return response;
        };
        let mut response = response.map(|body| body.guarded(Over(gate.clone())));
        if gate.http1 {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Gate {
    fn step(&self, from: GateState, to: GateState) -> bool {
        let mut state = self.state.lock();
        let stepped = *state == from;
        if stepped {
            *state = to;
        }
        drop(state);
        if stepped {
            self.body.wake();
        }
        stepped
    }
}

/// Held by an answer that refused the body.
#[derive(Debug)]
struct Over(Arc<Gate>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.step(GateState::Refused, GateState::Over);
    }
}

/// The app answered before it was sent the body.
#[derive(Debug, thiserror::Error)]
#[error("the app answered without waiting for the body")]
struct Unwanted;

/// A body behind its gate.
#[derive(Debug)]
struct HeldBody {
    body: Option<Body>,
    gate: Arc<Gate>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl HeldBody {
    /// Waits until the gate opens, for good or after [`WAIT`].
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unwanted>> {
        self.gate.body.register(cx.waker());
        let state = *self.gate.state.lock();
        match state {
            GateState::Held => {
                let sleep = self
                    .sleep
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(WAIT)));
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.gate.step(GateState::Held, GateState::Open);
                self.poll_gate(cx)
            }
            GateState::Open => Poll::Ready(Ok(())),
            GateState::Refused => {
                // Ending the stream here would look like a body of no bytes.
                self.body = None;
                Poll::Pending
            }
            GateState::Over => Poll::Ready(Err(Unwanted)),
        }
    }
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if *this.gate.state.lock() != GateState::Open {
            match this.poll_gate(cx) {
                Poll::Ready(Ok(())) => this.sleep = None,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Pending => return Poll::Pending,
            }
        }
        match this.body.as_mut() {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::{BodyExt, Full};

    use super::*;

    fn parts(version: Version, values: &[&str]) -> Parts {
        let mut request = Request::builder().version(version);
        for value in values {
            request = request.header(EXPECT, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_may_be_expected() {
        let rows: &[(&str, Version, &[&str], bool)] = &[
            ("nothing", Version::HTTP_11, &[], true),
            ("100", Version::HTTP_11, &["100-continue"], true),
            ("any case", Version::HTTP_11, &["100-Continue"], true),
            ("another", Version::HTTP_11, &["200-ok"], false),
            (
                "another besides",
                Version::HTTP_11,
                &["100-continue", "x"],
                false,
            ),
            ("a list", Version::HTTP_11, &["100-continue, x"], false),
            ("another in HTTP/1.0", Version::HTTP_10, &["x"], true),
        ];
        for (name, version, values, admitted) in rows {
            let parts = parts(*version, values);
            let checked = check(&parts, Present::among(&parts.headers));
            assert_eq!(checked.is_ok(), *admitted, "{name}");
        }
    }

    fn upload() -> Body {
        Body::stream(Full::new(Bytes::from_static(b"body")))
    }

    #[tokio::test(start_paused = true)]
    async fn the_body_waits_for_the_word_and_not_for_ever() {
        let asking = parts(Version::HTTP_11, &["100-continue"]);
        let (body, expectation) = hold(&asking, upload());
        let reading = tokio::spawn(body.collect());
        tokio::task::yield_now().await;
        assert!(!reading.is_finished());
        assert!(expectation.meet());
        assert_eq!(reading.await.unwrap().unwrap().to_bytes(), "body");

        let (body, _expectation) = hold(&asking, upload());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "body");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_before_the_word_ends_the_body_when_it_is_over() {
        let (body, expectation) = hold(&parts(Version::HTTP_11, &["100-continue"]), upload());
        let answer = expectation.answered(Response::new(upload()));
        assert_eq!(answer.headers()[CONNECTION], "close");
        let reading = tokio::spawn(body.collect());
        tokio::time::sleep(WAIT * 2).await;
        assert!(!reading.is_finished(), "the app is still being listened to");
        expectation.meet();
        assert!(!reading.is_finished(), "the word comes too late");
        drop(answer);
        assert!(reading.await.unwrap().is_err());
    }

    #[test]
    fn who_expects_nothing_waits_for_nothing() {
        for (name, parts, body) in [
            ("no field", parts(Version::HTTP_11, &[]), upload()),
            (
                "HTTP/1.0",
                parts(Version::HTTP_10, &["100-continue"]),
                upload(),
            ),
            (
                "no body",
                parts(Version::HTTP_11, &["100-continue"]),
                Body::empty(),
            ),
        ] {
            let (_, expectation) = hold(&parts, body);
            assert!(expectation.is_none() && !expectation.meet(), "{name}");
            let answer = expectation.answered(Response::new(Body::empty()));
            assert!(answer.headers().is_empty(), "{name}");
        }
    }
}
