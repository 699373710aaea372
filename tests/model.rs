//! The protocol of two sidecars over one Redis as a model: every interleaving of what is under way, for one key.
//!
//! The state holds the app's version of the key, what Redis stores of its shard and which connection it tells of
//! what (`model/redis.rs`, after the scripts and client tracking), and what each sidecar remembers and has under
//! way (`model/sidecar.rs`, after `store`): a write with its purge, a fill, a read, what the supervisor asks. Each
//! step of each is an action of its own, each command waits until Redis carries it out, each reply until it
//! arrives; on one connection they keep their order. Redis may lose any structure, go back to an older state, and
//! connections may break; what was sent over one may still be carried out when the next one stands. All states
//! are visited, so what is promised is not missed by chance; what is not modelled is time, and so how long memory
//! is trusted without a connection (`history`).
//!
//! Promised in each state (`World::violation`):
//! - memory is never older than what its own sidecar has acknowledged, pending or not;
//! - memory is older than what has landed only while the sidecar is being told of it, or is about to ask;
//! - no answer of Redis is older than what was acknowledged by this sidecar, or landed by any, when it was asked for;
//! - when all has arrived and each sidecar has had a beat, nothing older than the last write is left anywhere.
//!
//! What a soft purge has made stale is held to none of these, since the app is asked before it answers anybody; what is
//! not stale is, so that no soft purge may be missed either.
//!
//! The second and third have one exception: when Redis has gone back to a state that lacks purges, until somebody
//! who knows begins another generation. The last one has none.
//!
//! The explorer is our own: the crate `stateright` would bring a web server and a second hash table into the tree
//! for what sixty lines do. `PANNIER_MODEL_LARGE=1` goes further, for minutes in a debug build.

mod explorer;
mod redis;
mod settings;
mod sidecar;
mod world;

use explorer::{Exploration, explore};
use settings::{Bounds, Flaw, PurgeBy, Returns, Settings};
use world::World;

/// One write, through the first sidecar.
const WRITE: Bounds = Bounds {
    writes: [1, 0],
    others: [0, 0],
    fills: [0, 0],
    reads: [0, 0],
    beats: [0, 0],
    losses: 0,
    returns: Returns::Never,
    breaks: [0, 0],
    timeouts: 0,
};

/// A write while the other sidecar reads and fills.
const RACE: Bounds = Bounds {
    fills: [0, 1],
    reads: [0, 1],
    ..WRITE
};

const ALL: [PurgeBy; 3] = [PurgeBy::Key, PurgeBy::Pattern, PurgeBy::Tag];

fn visit(bounds: Bounds, purge_by: PurgeBy, softly: bool, flaw: Option<Flaw>) -> Exploration {
    explore(World::begin(Settings {
        bounds,
        purge_by,
        softly,
        flaw,
    }))
}

/// Nothing is wrong in any state; says how many there are.
fn hold(name: &str, bounds: Bounds, purges: &[PurgeBy]) {
    hold_by(name, bounds, purges, false);
}

/// The same where purges leave what they find, and make it stale.
fn hold_softly(name: &str, bounds: Bounds, purges: &[PurgeBy]) {
    hold_by(name, bounds, purges, true);
}

fn hold_by(name: &str, bounds: Bounds, purges: &[PurgeBy], softly: bool) {
    let how = if softly { "soft purge" } else { "purge" };
    for purge_by in purges {
        let found = visit(bounds, *purge_by, softly, None);
        println!("{name}, {how} by {purge_by:?}: {} states", found.states);
        let trace = found.trace.join(", ");
        assert_eq!(
            found.violation, None,
            "{name}, {how} by {purge_by:?}: {trace}"
        );
    }
}

/// `flaw` is found, and nothing is wrong without it.
fn catch(flaw: Flaw, bounds: Bounds, purge_by: PurgeBy, expected: &str) {
    catch_by(flaw, bounds, purge_by, false, expected);
}

fn catch_softly(flaw: Flaw, bounds: Bounds, purge_by: PurgeBy, expected: &str) {
    catch_by(flaw, bounds, purge_by, true, expected);
}

fn catch_by(flaw: Flaw, bounds: Bounds, purge_by: PurgeBy, softly: bool, expected: &str) {
    hold_by("without a flaw", bounds, &[purge_by], softly);
    let found = visit(bounds, purge_by, softly, Some(flaw));
    let violation = found.violation.unwrap_or_default();
    println!("{flaw:?}, {} states: {violation}", found.states);
    println!("  {}", found.trace.join(", "));
    assert!(violation.contains(expected), "{flaw:?}: {violation:?}");
}

#[test]
fn a_write_races_with_fills_and_reads() {
    hold("a race", RACE, &ALL);
    let own = Bounds {
        fills: [1, 0],
        reads: [1, 0],
        ..WRITE
    };
    hold("a race in one sidecar", own, &ALL);
    let two = Bounds {
        fills: [0, 2],
        ..WRITE
    };
    hold("two fills", two, &ALL);
}

#[test]
fn both_fill() {
    let bounds = Bounds {
        fills: [1, 1],
        ..WRITE
    };
    hold("both fill", bounds, &ALL);
}

#[test]
fn both_write() {
    let bounds = Bounds {
        writes: [1, 1],
        ..RACE
    };
    hold("both write", bounds, &[PurgeBy::Key]);
}

#[test]
fn redis_loses_something() {
    let fills = Bounds {
        fills: [0, 1],
        losses: 1,
        ..WRITE
    };
    hold("a loss, a fill", fills, &ALL);
    let reads = Bounds {
        reads: [1, 1],
        losses: 1,
        ..WRITE
    };
    hold("a loss, reads", reads, &ALL);
}

#[test]
fn connections_break() {
    let other = Bounds {
        breaks: [0, 1],
        ..RACE
    };
    hold("the reader's connection breaks", other, &ALL);
    let own = Bounds {
        breaks: [1, 0],
        ..RACE
    };
    hold("the writer's connection breaks", own, &[PurgeBy::Key]);
}

#[test]
fn a_purge_is_not_answered_in_time() {
    let bounds = Bounds {
        reads: [1, 1],
        fills: [1, 0],
        timeouts: 1,
        ..WRITE
    };
    hold("a timeout", bounds, &[PurgeBy::Key]);
}

#[test]
fn redis_goes_back_in_the_same_run() {
    let reads = Bounds {
        reads: [1, 1],
        returns: Returns::InTheSameRun,
        ..WRITE
    };
    hold("back, reads", reads, &ALL);
    let fills = Bounds {
        fills: [0, 1],
        returns: Returns::InTheSameRun,
        ..WRITE
    };
    hold("back, a fill", fills, &[PurgeBy::Key]);
    let others = Bounds {
        others: [1, 2],
        returns: Returns::InTheSameRun,
        ..WRITE
    };
    hold("back, further purges", others, &[PurgeBy::Key]);
}

#[test]
fn redis_goes_back_in_another_run() {
    let bounds = Bounds {
        reads: [0, 1],
        returns: Returns::InAnotherRun,
        ..WRITE
    };
    hold("restarted older, a read", bounds, &ALL);
    let bounds = Bounds {
        fills: [0, 1],
        returns: Returns::InAnotherRun,
        ..WRITE
    };
    hold("restarted older, a fill", bounds, &[PurgeBy::Key]);
}

#[test]
fn soft_purges_race_with_fills_and_reads() {
    hold_softly("a race", RACE, &ALL);
    let own = Bounds {
        fills: [1, 0],
        reads: [1, 0],
        ..WRITE
    };
    hold_softly("a race in one sidecar", own, &ALL);
    let fills = Bounds {
        fills: [1, 1],
        ..WRITE
    };
    hold_softly("both fill", fills, &ALL);
}

#[test]
fn soft_purges_outlast_trouble() {
    let loss = Bounds {
        reads: [1, 1],
        losses: 1,
        ..WRITE
    };
    hold_softly("a loss, reads", loss, &ALL);
    let breaks = Bounds {
        breaks: [0, 1],
        ..RACE
    };
    hold_softly("the reader's connection breaks", breaks, &ALL);
    let timeout = Bounds {
        reads: [1, 1],
        fills: [1, 0],
        timeouts: 1,
        ..WRITE
    };
    hold_softly("a timeout", timeout, &[PurgeBy::Key]);
    let back = Bounds {
        reads: [1, 1],
        returns: Returns::InTheSameRun,
        ..WRITE
    };
    hold_softly("back, reads", back, &ALL);
}

#[test]
fn all_at_once() {
    if std::env::var_os("PANNIER_MODEL_LARGE").is_none() {
        return;
    }
    let both = Bounds {
        fills: [1, 1],
        reads: [1, 1],
        writes: [1, 1],
        ..WRITE
    };
    hold("both do all", both, &[PurgeBy::Key]);
    let loss = Bounds {
        losses: 1,
        beats: [0, 1],
        ..RACE
    };
    hold("a race and a loss", loss, &ALL);
    let back = Bounds {
        beats: [1, 1],
        returns: Returns::InTheSameRun,
        ..RACE
    };
    hold("a race and back", back, &ALL);
    let lossy = Bounds {
        losses: 1,
        returns: Returns::InAnotherRun,
        ..RACE
    };
    hold("a race, a loss and back", lossy, &[PurgeBy::Pattern]);
    let breaks = Bounds {
        breaks: [1, 1],
        ..RACE
    };
    hold("a race, all connections break", breaks, &ALL);
}

const TOLD: &str = "nothing on its way tells so";
const OWN: &str = "what this sidecar has acknowledged";
const ANSWER: &str = "an answer from Redis is older";
const LASTING: &str = "after all beats";

#[test]
fn flaws_of_the_lease_are_caught() {
    catch(Flaw::PutIgnoresToken, RACE, PurgeBy::Key, TOLD);
    catch(Flaw::PutIgnoresTagFence, RACE, PurgeBy::Tag, TOLD);
    let loss = Bounds {
        fills: [0, 1],
        losses: 1,
        ..WRITE
    };
    let flaw = Flaw::PutIgnoresGeneration;
    catch(flaw, loss, PurgeBy::Pattern, LASTING);
    let own = Bounds {
        fills: [1, 0],
        ..WRITE
    };
    catch(Flaw::PurgeDoesNotFence, own, PurgeBy::Key, OWN);
}

#[test]
fn flaws_of_the_generation_are_caught() {
    let loss = Bounds {
        reads: [0, 1],
        losses: 1,
        ..WRITE
    };
    let flaw = Flaw::ReadIgnoresGeneration;
    catch(flaw, loss, PurgeBy::Pattern, ANSWER);
    let flaw = Flaw::PurgeTrustsMissingIndex;
    catch(flaw, loss, PurgeBy::Pattern, TOLD);
    let back = Bounds {
        others: [1, 0],
        returns: Returns::InTheSameRun,
        ..WRITE
    };
    let flaw = Flaw::BeatDoesNotCompareOwnNumbers;
    catch(flaw, back, PurgeBy::Key, LASTING);
    let flaw = Flaw::PurgeDoesNotCompareNumbers;
    catch(flaw, back, PurgeBy::Key, LASTING);
}

#[test]
fn flaws_of_memory_are_caught() {
    catch(Flaw::MemoryIgnoresInvalidations, RACE, PurgeBy::Key, TOLD);
    let breaks = Bounds {
        breaks: [0, 1],
        reads: [0, 1],
        ..WRITE
    };
    catch(Flaw::MemoryOutlivesConnection, breaks, PurgeBy::Key, TOLD);
    catch(Flaw::MemoryIgnoresSession, breaks, PurgeBy::Key, TOLD);
    let timeout = Bounds {
        reads: [1, 0],
        timeouts: 1,
        ..WRITE
    };
    let flaw = Flaw::PendingPurgeDoesNotCover;
    catch(flaw, timeout, PurgeBy::Key, OWN);
    let back = Bounds {
        returns: Returns::InTheSameRun,
        ..WRITE
    };
    catch(Flaw::FlushIsNotHeard, back, PurgeBy::Key, LASTING);
}

#[test]
fn flaws_of_soft_purges_are_caught() {
    let (tells, leaves) = (Flaw::SoftPurgeTellsNobody, Flaw::SoftPurgeLeavesLease);
    for purge_by in ALL {
        catch_softly(tells, RACE, purge_by, TOLD);
    }
    catch_softly(leaves, RACE, PurgeBy::Key, LASTING);
    let flaw = Flaw::SoftPurgeForgetsMemory;
    catch_softly(flaw, WRITE, PurgeBy::Key, OWN);
    // What is caught of hard ones is of soft ones as well.
    catch_softly(Flaw::PutIgnoresToken, RACE, PurgeBy::Key, TOLD);
    let back = Bounds {
        returns: Returns::InTheSameRun,
        ..WRITE
    };
    catch_softly(Flaw::FlushIsNotHeard, back, PurgeBy::Key, LASTING);
}

/// What is not promised: other data in the same run, put in place between two commands of one purge.
#[test]
fn a_purge_by_pattern_does_not_notice_other_data_amid_it() {
    let bounds = Bounds {
        returns: Returns::InTheSameRunAmidPurges,
        ..WRITE
    };
    let found = visit(bounds, PurgeBy::Pattern, false, None);
    assert!(found.violation.is_some_and(|it| it.contains(LASTING)));
    hold("amid a purge", bounds, &[PurgeBy::Key]);
}
