//! What a fill is asked for, and what its client gets of it.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Response, StatusCode};
use tokio::sync::oneshot;

use crate::body::{Body, Droppable};
use crate::entry::Variant;
use crate::http_cache::Reason;
use crate::proxy::cache::coalesce::Leader;
use crate::store::Mark;

/// What to ask for, and for whom.
pub(in crate::proxy::cache) struct FillOptions {
    /// What is stored and stale.
    pub(in crate::proxy::cache) stale: Stale,
    /// The duty to those who wait; `None`: nobody waits.
    pub(in crate::proxy::cache) leader: Option<Leader>,
    /// Whether to take the key's lease.
    pub(in crate::proxy::cache) leasing: Leasing,
    /// What to ask the app for.
    pub(in crate::proxy::cache) mode: FetchMode,
    /// Hears of the end; `None`: nobody but the client does.
    pub(in crate::proxy::cache) report: Option<Report>,
}

/// Whoever hears whether an answer is stored, once that is known; nothing if the fill broke down.
pub(in crate::proxy) type Report = oneshot::Sender<Result<(), Reason>>;

/// What is stored and stale.
#[derive(Clone, Default)]
pub(in crate::proxy::cache) struct Stale {
    /// To be validated.
    pub(in crate::proxy::cache) variant: Option<Arc<Variant>>,
    /// Whether it may be served if the app fails (RFC 5861 §4).
    pub(in crate::proxy::cache) on_error: bool,
    /// A moment before it was read.
    pub(in crate::proxy::cache) since: Mark,
}

/// What the app is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy::cache) enum FetchMode {
    /// The whole response, whatever the client's conditions are.
    Full,
    /// The whole response, unless the client has it: its conditions go to the app, whose 304 is then
    /// the client's (RFC 9111 §4.3.2).
    Conditional,
    /// What the client asks, its range included.
    AsClient,
    /// What a stored part lacks to be whole (RFC 9111 §3.4).
    MissingRange(Range<u64>),
}

/// How a fill deals with the lease of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy::cache) enum Leasing {
    /// Takes it, or waits for the answer of whoever has it.
    Wait,
    /// As `Wait`, without a look before, unless something is stored: then that is to be looked at first.
    UnlessStored,
    /// Takes it if it is free.
    Try,
    /// Takes it if it is free; else the app is not asked, since its answer is wanted for the store alone.
    Only,
    /// Takes it if it is free and nothing newer is stored than what came then: else the fleet renews it already.
    Renew(SystemTime),
    /// Leaves it: Redis is not to be waited for, or the answer is not one to share.
    Never,
}

impl Leasing {
    /// After a look into Redis: whoever was not answered should not wait for it a second time.
    pub(in crate::proxy::cache) fn after<T, E>(looked: &Result<T, E>) -> Leasing {
        match looked {
            Ok(_) => Leasing::Wait,
            Err(_) => Leasing::Never,
        }
    }

    /// For a fill that waits for nobody, where there may be a lease.
    pub(in crate::proxy::cache) fn without_waiting(self) -> Leasing {
        match self {
            Leasing::Never => Leasing::Never,
            _ => Leasing::Try,
        }
    }
}

/// What the client that caused a fill gets.
pub(in crate::proxy::cache) enum FillAnswer {
    /// The app's answer, as it comes.
    Streamed {
        /// Head and body.
        response: Response<Body>,
        /// What is known of storing it.
        fate: Fate,
        /// The freshness left, in seconds, of what may be stored.
        ttl: Option<i64>,
        /// The app's status.
        status: StatusCode,
    },
    /// The app confirmed what is stored (304).
    Confirmed {
        /// Brought up to date.
        variant: Arc<Variant>,
        /// Fields of the 304 that are for this client alone, such as cookies.
        personal: HeaderMap,
    },
    /// The app sent what a stored part lacked (206).
    Completed {
        /// Whole now.
        variant: Arc<Variant>,
        /// What is known of storing it.
        fate: Fate,
    },
    /// Another sidecar stored it meanwhile.
    Found {
        /// From Redis.
        variant: Arc<Variant>,
    },
    /// Another sidecar fetches it: the app was not asked.
    Elsewhere,
    /// It is to be looked for first: the app was not asked.
    Unled,
    /// No answer.
    Failed(StatusCode, Reason),
}

/// What was begun without a look, or was to be, needs one.
pub(in crate::proxy::cache) struct LookFirst;

/// What is known of storing an answer when its head leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy::cache) enum Fate {
    /// It may be stored; whether it is depends on the rest of its body, on Redis and on purges.
    Open,
    /// It is stored, or it is not for this reason.
    Known(Result<(), Reason>),
}

impl FillAnswer {
    /// With what has become known of storing it.
    pub(in crate::proxy::cache) fn known(mut self, stored: Result<(), Reason>) -> FillAnswer {
        if let FillAnswer::Streamed { fate, .. } | FillAnswer::Completed { fate, .. } = &mut self {
            *fate = Fate::Known(stored);
        }
        self
    }

    /// With what has become known of how long `stored` is fresh.
    pub(in crate::proxy::cache) fn of(mut self, stored: &Arc<Variant>) -> FillAnswer {
        match &mut self {
            FillAnswer::Streamed { ttl, .. } => {
                *ttl = Some(stored.stored.ttl(stored.stored.response_time));
            }
            FillAnswer::Completed { variant, .. } => *variant = stored.clone(),
            FillAnswer::Confirmed { .. }
            | FillAnswer::Found { .. }
            | FillAnswer::Elsewhere
            | FillAnswer::Unled
            | FillAnswer::Failed(..) => {}
        }
        self
    }

    /// Keeps `guard` until the client has all of it, or has gone.
    pub(in crate::proxy::cache) fn guarded(self, guard: impl Droppable + 'static) -> FillAnswer {
        match self {
            FillAnswer::Streamed {
                response,
                fate,
                ttl,
                status,
            } => FillAnswer::Streamed {
                response: response.map(|body| body.guarded(guard)),
                fate,
                ttl,
                status,
            },
            at_hand => at_hand,
        }
    }
}
