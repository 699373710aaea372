//! Histories: three sidecars over one Redis, clients that read and write through any of them, and one fault at
//! a time; then every read is judged by what had been acknowledged before it began (promises I2, I3, I10).
//!
//! A read may be stale inside the bound that is promised for the fault (`history/faults.rs`), and no answer may be
//! torn, wrong or missing. `PANNIER_HISTORY_SECONDS` says how long each fault lasts, `PANNIER_HISTORY_SEED` what
//! comes when, as far as the schedule allows; `PANNIER_HISTORY_REPORT` names a file for the table.

mod app;
mod checker;
mod clients;
mod console;
mod exchange;
mod faults;
mod fleet;
mod recorder;
mod report;
mod trouble;

use std::time::Duration;

use app::VersionedApp;
use checker::Promise;
use clients::Clients;
use faults::{Fault, Kind, PROMISED};
use fleet::{Fleet, SIDECARS, Settings};
use futures_util::future::join_all;
use pannier::clock;
use recorder::Recorder;
use report::{Outcome, publish};
use trouble::{Lag, Several, Trouble};

use crate::support::eventually;
use crate::support::redis::RedisServer;
use crate::support::redis_cluster::Cluster;
use crate::support::redis_sentinels::Watched;
use crate::support::slow_line::SlowLine;

const LONG: Duration = Duration::from_secs(30);
/// Load before the fault: something is stored.
const BEFORE: Duration = Duration::from_millis(300);
/// Without writes, between bursts of them and at the end: longer than what tracked routes promise of a fleet that is
/// well, so that what was missed for good is outside of it.
const SILENCE: Duration = Duration::from_millis(1200);
/// The same where there is time; longer than all that hangs on beats.
const LONG_SILENCE: Duration = Duration::from_millis(2500);
/// Writes and hits: with fewer, a machine that is busy has tried nothing.
const ENOUGH: usize = 50;
/// A sidecar that has not found Redis by then does not.
const FOUND_BY: Duration = Duration::from_secs(8);

fn setting(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| {
        value.parse().unwrap_or_else(|_| panic!("{name}: {value}"))
    })
}

/// One history.
async fn run(fault: Fault, purges: bool) -> Outcome {
    let seed = setting("PANNIER_HISTORY_SEED", 1);
    let lasts = setting("PANNIER_HISTORY_SECONDS", 2);
    let redis = RedisServer::start();
    let several = tokio::task::block_in_place(|| match fault.kind() {
        Kind::Single => Several::Not,
        Kind::Cluster => Several::Cluster(Cluster::start()),
        Kind::Sentinel => Several::Sentinel(Watched::start()),
    });
    let url = match &several {
        Several::Not => redis.url(),
        Several::Cluster(cluster) => cluster.url(),
        Several::Sentinel(watched) => watched.url(),
    };
    let lines = join_all([(); SIDECARS].map(|()| SlowLine::to(redis.port()))).await;
    let lines: [SlowLine; SIDECARS] = lines.try_into().ok().expect("one for each");
    let settings = Settings {
        redis: lines.each_ref().map(|line| match fault.is_of_the_line() {
            true => line.url(),
            false => url.clone(),
        }),
        outage: fault.outage(),
        timeout: fault.timeout(),
        ttl: fault.ttl(),
        purges,
    };
    let app = VersionedApp::start(seed).await;
    let fleet = Fleet::start(app.url(), &settings).await;
    let silence = if lasts < 10 { SILENCE } else { LONG_SILENCE };
    let clients = Clients::start(app, fleet, seed, fault.writes(), silence);
    let shared = clients.shared().clone();
    eventually("Redis answers", LONG, || async {
        shared.recorder.redis_is_back().is_some()
    })
    .await;
    tokio::time::sleep(BEFORE).await;
    let lag = Lag::measure();
    let mut trouble = Trouble {
        redis,
        several,
        lines,
        shared: shared.clone(),
        random: fastrand::Rng::with_seed(seed),
        lasts: Duration::from_secs(lasts),
        turns: Vec::new(),
        is_quiet: false,
    };
    let happening = tokio::task::spawn_blocking(move || {
        trouble.happen(fault);
        trouble
    });
    // It ends with the fleet.
    let _trouble = happening.await.expect("no panic");
    watch_what_follows(&shared.recorder).await;
    clients.stop().await;
    Outcome::of(fault, &shared.recorder, lag.worst())
}

/// Returns when Redis has been found again, or will not be, and there is enough to judge.
async fn watch_what_follows(recorder: &Recorder) {
    recorder.watch_for_redis();
    let watched = clock::monotonic();
    while recorder.redis_is_back().is_none() && clock::monotonic() - watched < FOUND_BY {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    eventually("it was tried often enough", LONG, || async {
        recorder.lock().has(ENOUGH)
    })
    .await;
}

/// A history that keeps what is promised.
async fn hold(fault: Fault) {
    let outcome = run(fault, true).await;
    publish(&outcome.line());
    outcome
        .slowest()
        .iter()
        .for_each(|slowest| publish(slowest));
    let faults = outcome.faults();
    if !outcome.verdict.violations.is_empty() || !faults.is_empty() {
        publish(&outcome.details());
    }
    assert_eq!(faults, Vec::<String>::new(), "{}", outcome.line());
}

#[tokio::test(flavor = "multi_thread")]
async fn calm() {
    hold(Fault::Calm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn distant() {
    hold(Fault::Distant).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookkeeping_deleted() {
    hold(Fault::BookkeepingDeleted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookkeeping_of_the_wrong_type() {
    hold(Fault::BookkeepingOfTheWrongType).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eviction() {
    hold(Fault::Eviction).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flush() {
    hold(Fault::Flush).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_data() {
    hold(Fault::OlderData).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_data_in_the_same_run() {
    hold(Fault::OlderDataInTheSameRun).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_empty() {
    hold(Fault::RestartedEmpty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_back() {
    hold(Fault::KilledAndBack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hung() {
    hold(Fault::Hung).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_replicas() {
    hold(Fault::TooFewReplicas).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cannot_save() {
    hold(Fault::CannotSave).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only() {
    hold(Fault::ReadOnly).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_paused() {
    hold(Fault::WritesPaused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_killed() {
    hold(Fault::ConnectionsKilled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_clients() {
    hold(Fault::TooManyClients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow() {
    hold(Fault::Slow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent() {
    hold(Fault::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sidecar_frozen() {
    hold(Fault::SidecarFrozen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sidecar_killed() {
    hold(Fault::SidecarKilled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_data_and_sidecar_killed() {
    hold(Fault::OlderDataAndSidecarKilled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn app_fails() {
    hold(Fault::AppFails).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rude_clients() {
    hold(Fault::RudeClients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_primary_killed() {
    hold(Fault::ClusterPrimaryKilled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_failover() {
    hold(Fault::ClusterFailover).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_slot_moves() {
    hold(Fault::ClusterSlotMoves).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel_primary_killed() {
    hold(Fault::SentinelPrimaryKilled).await;
}

/// One after the other, for a table in one piece.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: each fault has a test of its own"]
async fn every_fault_in_turn() {
    tabulate(|_| true).await;
}

/// The part of the table in which servers die or are replaced, of each kind of Redis.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: each fault has a test of its own"]
async fn every_topology_in_turn() {
    let of_one = [Fault::KilledAndBack, Fault::Hung, Fault::ConnectionsKilled];
    tabulate(|fault| of_one.contains(&fault) || fault.kind() != Kind::Single).await;
}

async fn tabulate(is_wanted: impl Fn(Fault) -> bool) {
    publish(&report::header());
    let mut faults = Vec::new();
    let mut reads = 0;
    for promised in PROMISED.iter().filter(|promised| is_wanted(promised.fault)) {
        let outcome = run(promised.fault, true).await;
        publish(&outcome.line());
        outcome
            .slowest()
            .iter()
            .for_each(|slowest| publish(slowest));
        reads += outcome.recorded.reads.len();
        let found = outcome.faults();
        faults.extend(
            found
                .into_iter()
                .map(|found| format!("{}: {found}", promised.name)),
        );
        if !outcome.verdict.violations.is_empty() {
            publish(&outcome.details());
        }
    }
    publish(&format!("{reads} reads"));
    assert_eq!(faults, Vec::<String>::new());
}

/// The whole of it finds what it is there to find.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_does_not_purge_is_caught() {
    let outcome = run(Fault::Calm, false).await;
    for promise in Promise::ALL {
        let stale = outcome.verdict.staleness(promise).len();
        assert!(stale > 50, "{promise:?}: {}", outcome.line());
    }
    let faults = outcome.faults();
    assert_eq!(faults, ["stale outside the bounds"]);
}
