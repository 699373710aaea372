//! Who asks: by a decision that is kept, or by the check of `[auth]`, which one request makes for all that bring the
//! same credentials.

use std::sync::Arc;

use super::check;
use super::checks::{Checked, Leader, Role};
use super::sources::Sources;
use crate::auth::{Digest, Verdict};
use crate::clock;
use crate::config::{Auth, Outage};
use crate::entry::Priority;
use crate::gate::Busy;
use crate::politeness::FetchOrigin;
use crate::proxy::request::context::{Asker, RequestContext};
use crate::proxy::request::variables;
use crate::store::{CheckTicket, Mark, Store};

/// What is known already.
pub fn recall(store: &Store, context: &RequestContext) -> Option<Asker> {
    let since = store.mark();
    let Some(digest) = context.credentials_digest() else {
        return Some(of_nobody(since));
    };
    let outage = outage_of(context);
    let verdict = store.recall_decision(&digest, outage, context.arrived)?;
    Some(Asker {
        verdict,
        digest: Some(digest),
        since,
    })
}

/// Asks the app, or waits for the check that another request makes.
pub(super) async fn find_out(sources: &Arc<Sources>, context: &RequestContext) -> Asker {
    ask(sources, context, Joining::ChecksUnderWay).await
}

/// Whether the app still says what the request was planned by, so that what it has answered meanwhile was for the same
/// person in the same role: a session may have become another's since, or a role have changed, without a word.
pub(in crate::proxy) async fn is_confirmed(
    sources: &Arc<Sources>,
    context: &RequestContext,
) -> bool {
    let checked = context
        .asker
        .as_ref()
        .filter(|asker| asker.digest.is_some());
    match checked {
        Some(asker) => ask(sources, context, Joining::Nobody).await.verdict == asker.verdict,
        None => true,
    }
}

/// Whose check may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joining {
    /// Any that no purge has overtaken.
    ChecksUnderWay,
    /// None that has begun already.
    Nobody,
}

async fn ask(sources: &Arc<Sources>, context: &RequestContext, joining: Joining) -> Asker {
    let since = sources.store.mark();
    let digest = context.credentials_digest();
    let (Some(digest), Some(auth)) = (digest, &context.live.config.auth) else {
        return of_nobody(since);
    };
    let failed = || Asker {
        verdict: Verdict::Failed,
        digest: Some(digest),
        since,
    };
    // What was said before a purge is not for whoever comes after it.
    let is_overtaken =
        |mark| joining == Joining::Nobody || sources.store.is_overtaken(&digest, mark);
    let mut result = match sources
        .checks
        .enter(digest, since, auth.max_checks, is_overtaken)
    {
        Role::Waiter(result) => result,
        Role::Leader(leader, result) => {
            lead(sources, context, auth, digest, leader);
            result
        }
        Role::Full => {
            sources
                .metrics
                .auth_checks
                .with_label_values(&["full"])
                .inc();
            return failed();
        }
    };
    let said = async {
        let said = result.wait_for(Option::is_some).await;
        said.ok().and_then(|said| said.clone())
    };
    // The check has the same limit, and that of Redis beside it.
    let longest = auth.timeout + redis_timeout(context);
    let said = tokio::time::timeout(longest, said).await;
    let Some(checked) = said.ok().flatten() else {
        return failed();
    };
    if checked.redis_is_late {
        context.note_redis_is_late();
    }
    checked.asker
}

/// Makes the check in a task of its own: whoever waits for it may be more than the client that came first.
fn lead(
    sources: &Arc<Sources>,
    context: &RequestContext,
    auth: &Auth,
    digest: Digest,
    leader: Leader,
) {
    let (request, auth) = (check::request(context, auth), auth.clone());
    let (live, pool) = (context.live.clone(), context.pool);
    let (sources, outage) = (sources.clone(), outage_of(context));
    let was_late = context.redis_is_late();
    tokio::spawn(async move {
        let since = leader.mark;
        let ticket = match was_late {
            true => CheckTicket::without_redis(digest, since),
            false => sources.store.begin_check(digest, since).await,
        };
        let redis_is_late = ticket.is_redis_late();
        let asked = clock::monotonic();
        let upstream = live.upstream_of(pool);
        let turn = live.gates.limit.pass(FetchOrigin::Auth, Priority::High);
        let verdict = match turn.await {
            Ok(()) => {
                live.gates.count(FetchOrigin::Auth);
                check::ask(upstream, &auth, request).await
            }
            Err(Busy) => Verdict::Failed,
        };
        let took = clock::monotonic() - asked;
        sources.metrics.auth_seconds.observe(took.as_secs_f64());
        let result = verdict.as_str();
        sources
            .metrics
            .auth_checks
            .with_label_values(&[result])
            .inc();
        let decision = verdict.clone().kept(asked, &auth);
        sources.store.keep_decision(ticket, decision, outage);
        let asker = Asker {
            verdict,
            digest: Some(digest),
            since,
        };
        leader.end(Checked {
            asker,
            redis_is_late,
        });
    });
}

fn of_nobody(since: Mark) -> Asker {
    Asker {
        verdict: Verdict::Nobody,
        digest: None,
        since,
    }
}

fn outage_of(context: &RequestContext) -> Option<Outage> {
    let matched = variables::match_route(
        &context.live,
        &context.parts.method,
        context.parts.uri.path(),
    );
    context
        .live
        .settings(matched.map(|(index, _)| index))
        .outage
}

fn redis_timeout(context: &RequestContext) -> std::time::Duration {
    let redis = context.live.config.redis.as_ref();
    redis.map_or_else(Default::default, |redis| redis.timeout)
}
