//! A stored part made whole by asking for what it lacks (RFC 9111 §3.4).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::gather::{Gathering, check_body};
use super::{Answer, Arrival, Fill, Filling, Wish};
use crate::entry::Variant;
use crate::http_cache::{Reason, RequestHead, Stored, ranges, storable};

impl Filling {
    /// The answer to a request for `rest`: joins it with `part`. If they are not of one piece, the
    /// whole is asked for.
    pub(super) async fn complete(
        self: Box<Self>,
        arrival: Box<Arrival>,
        part: Arc<Variant>,
        rest: Range<u64>,
    ) {
        let status = arrival.response.status();
        match status {
            StatusCode::PARTIAL_CONTENT => match self.fill.joined(*arrival, &part, &rest).await {
                Ok((stored, body)) => self.completed(stored, body, status).await,
                Err(reason) => {
                    tracing::debug!(reason = reason.as_str(), "the rest does not fit its part");
                    self.anew().await;
                }
            },
            // Shorter than it was.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                drop(arrival);
                self.anew().await;
            }
            _ => self.whole(arrival, None, false, false).await,
        }
    }

    /// Asks for the whole, since what is stored of it is of no use.
    pub(super) async fn anew(self: Box<Self>) {
        match self.fill.ask(None, &Wish::Whole).await {
            Ok(arrival) => self.whole(arrival, None, false, false).await,
            Err((status, reason)) => self.fail(status, reason).await,
        }
    }

    async fn completed(mut self: Box<Self>, stored: Stored, body: Bytes, status: StatusCode) {
        let variant = Arc::new(self.fill.variant(stored, body.clone()));
        self.fill.reply(Answer::Completed {
            variant: variant.clone(),
            status,
        });
        self.keep(variant, body).await;
    }
}

impl Fill {
    async fn joined(
        &self,
        arrival: Arrival,
        part: &Variant,
        rest: &Range<u64>,
    ) -> Result<(Stored, Bytes), Reason> {
        let quest = &self.quest;
        let rule = quest.asked.live.rule(quest.lookup.rule);
        let mut fields = quest.asked.parts.headers.clone();
        ranges::add_rest(&mut fields, &part.stored, rest);
        let head = RequestHead {
            headers: &fields,
            ..quest.fill_head()
        };
        let stored = storable(&head, &arrival.exchange(), rule.policy)?;
        check_body(&arrival.response, rule.max_body())?;
        let (_, body, length) = self.returned(arrival.response);
        // Nobody is sent the rest alone.
        let mut gathering = Gathering::new(body, rule.max_body(), length, &stored);
        let bytes = gathering.whole().await?;
        let whole = ranges::combined((&part.stored, &part.body), (&stored, &bytes));
        whole
            .filter(|(stored, _)| stored.part.is_none())
            .ok_or(Reason::Partial)
    }
}
