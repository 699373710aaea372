//! The app, Redis and two sidecars; what may happen next, and what is promised.

use std::hash::{Hash, Hasher};

use super::explorer::Model;
use super::redis::{Connection, Data, Held, Loss, Message, Name, Redis, Reply, Version, Who};
use super::settings::{Bounds, Flaw, Returns, Settings};
use super::sidecar::{
    FillStage, Outcome, Purge, PurgeStage, Sidecar, Step, Supervision, first_step,
};

const BOTH: [Who; 2] = [0, 1];

/// One state of it all.
#[derive(Clone, Hash)]
pub(crate) struct World {
    settings: Fixed,
    left: Bounds,
    app: Version,
    redis: Redis,
    sidecars: [Sidecar; 2],
    snapshot: Option<Data>,
    /// The latest version whose purge has landed and was acknowledged.
    landed: Version,
    /// Redis went back to a state that lacks purges, and nobody who knows has told it: what they covered may be
    /// read until a beat.
    has_gone_back: bool,
    /// What an answer has broken.
    broken: Option<&'static str>,
}

/// The same in all states.
#[derive(Clone)]
struct Fixed(Settings);

impl Hash for Fixed {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// The app takes a write.
    Write(Who),
    /// Its purge enters journal and fences.
    Fence(Who),
    /// Another key is purged.
    PurgeOther(Who),
    /// It removes from memory, and is sent.
    Purge(Who),
    /// It is not answered in time.
    Timeout(Who),
    /// It is sent again.
    Resend(Who),
    BeginFill(Who),
    /// The app is asked, and answers.
    Fetch(Who),
    /// What was fetched is handed in.
    Commit(Who),
    /// What Redis has taken enters memory.
    Keep(Who),
    LookUp(Who),
    /// What was found enters memory.
    Remember(Who),
    Beat(Who),
    /// Redis carries out a command.
    Execute(Who),
    /// Redis carries out a command of a connection that is gone.
    ExecuteLate(Who),
    /// A reply or an invalidation arrives.
    Deliver(Who),
    Break(Who),
    Connect(Who),
    Lose(Loss),
    Save,
    GoBack,
}

impl World {
    /// Nothing is stored; or the first version is, and both sidecars remember it.
    pub(crate) fn begin(settings: Settings) -> Vec<World> {
        let of = |redis, memory| World {
            settings: Fixed(settings),
            left: settings.bounds,
            app: 0,
            redis,
            sidecars: BOTH.map(|who| Sidecar::new(who, memory)),
            snapshot: None,
            landed: 0,
            has_gone_back: false,
            broken: None,
        };
        vec![
            of(Redis::new(), None),
            of(Redis::warm(), Some(Held::fresh(0))),
        ]
    }

    fn flaw(&self) -> Option<Flaw> {
        self.settings.0.flaw
    }

    fn actions_of(&self, who: Who, actions: &mut Vec<Action>) {
        let (sidecar, left) = (&self.sidecars[who], &self.left);
        let connection = &self.redis.connections[who];
        let is_resending = matches!(sidecar.supervision, Supervision::Resending { .. });
        let is_supervised = sidecar.has_session && sidecar.supervision == Supervision::Idle;
        let stage = sidecar.purge.map(|purge| purge.stage);
        let is_asked = matches!(stage, Some(PurgeStage::Asked(_)));
        let fill = sidecar.fill.map(|fill| fill.stage);
        let can_begin_fill = left.fills[who] > 0 && fill.is_none();
        let can_read = left.reads[who] > 0 && sidecar.read.is_none();
        let is_pending = sidecar.pending.is_some();
        let rows = [
            (
                Action::Write(who),
                left.writes[who] > 0 && stage.is_none() && !is_pending,
            ),
            (Action::Fence(who), stage == Some(PurgeStage::Written)),
            (
                Action::Purge(who),
                stage == Some(PurgeStage::Fenced) && !is_resending,
            ),
            (
                Action::PurgeOther(who),
                left.others[who] > 0 && stage.is_none() && is_supervised && !is_pending,
            ),
            (Action::Timeout(who), is_asked && left.timeouts > 0),
            (
                Action::Resend(who),
                is_pending && is_supervised && !is_asked,
            ),
            (Action::BeginFill(who), can_begin_fill),
            (
                Action::Fetch(who),
                matches!(fill, Some(FillStage::Begun(_))),
            ),
            (
                Action::Commit(who),
                matches!(fill, Some(FillStage::Fetched(..))),
            ),
            (
                Action::Keep(who),
                matches!(fill, Some(FillStage::Stored(..) | FillStage::NotStored(_))),
            ),
            (
                Action::LookUp(who),
                can_read && sidecar.may_look_up(&self.settings.0),
            ),
            (
                Action::Remember(who),
                sidecar.read.is_some_and(|read| read.found.is_some()),
            ),
            (Action::Beat(who), left.beats[who] > 0 && is_supervised),
            (Action::Execute(who), !connection.sent.is_empty()),
            (Action::ExecuteLate(who), !connection.late.is_empty()),
            (Action::Deliver(who), !connection.coming.is_empty()),
            (Action::Break(who), connection.is_up && left.breaks[who] > 0),
            (Action::Connect(who), !connection.is_up),
        ];
        actions.extend(
            rows.iter()
                .filter(|(_, may)| *may)
                .map(|(action, _)| action),
        );
    }

    fn act_in(&mut self, who: Who, act: impl FnOnce(&mut Sidecar, &mut Redis, &Settings)) {
        act(&mut self.sidecars[who], &mut self.redis, &self.settings.0);
    }

    fn write(&mut self, who: Who) {
        self.left.writes[who] -= 1;
        self.app += 1;
        self.sidecars[who].purge = Some(Purge {
            version: self.app,
            stage: PurgeStage::Written,
        });
    }

    fn look_up(&mut self, who: Who) {
        self.left.reads[who] -= 1;
        let floor = self.landed.max(self.sidecars[who].acknowledged);
        let is_excused = self.has_gone_back;
        self.act_in(who, |it, redis, _| it.look_up(redis, floor, is_excused));
    }

    fn begin_fill(&mut self, who: Who) {
        self.left.fills[who] -= 1;
        let token = self.left.fills[who] * 2 + who as u8;
        self.act_in(who, |it, redis, _| it.begin_fill(redis, token));
    }

    fn execute(&mut self, execute: impl FnOnce(&mut Redis, Option<Flaw>)) {
        let before = self.redis.clock();
        let flaw = self.flaw();
        execute(&mut self.redis, flaw);
        // All that was stored is void.
        self.has_gone_back &= self.redis.clock() == before;
    }

    fn deliver(&mut self, who: Who) {
        let message = self.redis.connections[who].coming.pop_front();
        let sidecar = &mut self.sidecars[who];
        match message.expect("enabled") {
            Message::Invalidate(name) => sidecar.invalidate(name),
            Message::InvalidateAll => sidecar.distrust(),
            Message::Reply(reply) => match sidecar.hear(&mut self.redis, reply, &self.settings.0) {
                Outcome::Nothing => {}
                Outcome::Landed(version) => self.landed = self.landed.max(version),
                Outcome::Answered { read, held }
                    if !held.answers_before(read.floor) || read.is_excused => {}
                Outcome::Answered { .. } => {
                    self.broken = Some(
                        "an answer from Redis is older than what was acknowledged when it was asked for",
                    )
                }
            },
        }
    }

    fn break_off(&mut self, who: Who) {
        if self.redis.connections[who].is_up {
            self.redis.break_off(who);
            self.sidecars[who].lose_connection();
        }
    }

    /// Other data do not take the place of these between two commands of one purge, unless that is asked for: while
    /// they are put there Redis takes no purges.
    fn may_go_back(&self) -> bool {
        let first = first_step(&self.settings.0);
        let is_amid = |who: &Who| match self.sidecars[*who].step_under_way() {
            None | Some(Step::RemoveAndLand) => false,
            Some(step) => step != first || !self.redis.connections[*who].has_purge_to_execute(),
        };
        self.left.returns != Returns::InTheSameRun || !BOTH.iter().any(is_amid)
    }

    fn go_back(&mut self) {
        let returns = std::mem::replace(&mut self.left.returns, Returns::Never);
        let snapshot = self.snapshot.clone().expect("enabled");
        self.has_gone_back |= self.redis.data.has_purges_beyond(&snapshot);
        if returns == Returns::InAnotherRun {
            for who in BOTH {
                self.break_off(who);
                // What had been sent to the other run is not carried out by this one.
                self.redis.connections[who].late.clear();
            }
        }
        self.redis.replace(snapshot, self.settings.0.flaw);
        if self.has_gone_back {
            let reads = self.sidecars.iter_mut().filter_map(|it| it.read.as_mut());
            reads.for_each(|read| read.is_excused = true);
        }
    }

    /// Whether a sidecar is being told of what memory may not hold any more, or is about to ask: it asks for the
    /// generation as soon as it has heard that it changed.
    fn is_being_told(&self, who: Who) -> bool {
        let connection = &self.redis.connections[who];
        let asks = !connection.is_told_of(Name::Generation);
        asks || connection.coming.iter().any(|message| match message {
            Message::Invalidate(name) => *name != Name::Lease,
            Message::InvalidateAll => true,
            Message::Reply(Reply::Script(generation, _)) => {
                *generation > self.sidecars[who].known.generation
            }
            Message::Reply(Reply::Found { generation, .. }) => {
                *generation > Some(self.sidecars[who].known.generation)
            }
            Message::Reply(Reply::Listed(_)) => false,
        })
    }

    fn memory_violation(&self, who: Who) -> Option<&'static str> {
        let sidecar = &self.sidecars[who];
        let memory = sidecar.memory.filter(|held| !held.is_stale)?.version;
        let may_go_back = self.settings.0.bounds.returns != Returns::Never;
        let is_excused = self.has_gone_back || self.is_being_told(who);
        if memory < sidecar.acknowledged && !(may_go_back && is_excused) {
            return Some("memory is older than what this sidecar has acknowledged");
        }
        // Without a session it is trusted for a while, as long as what is promised then.
        if memory < self.landed && sidecar.has_session && !is_excused {
            return Some("memory is older than what has landed, and nothing on its way tells so");
        }
        None
    }

    fn is_quiet(&self) -> bool {
        let is_quiet = |connection: &Connection| {
            let Connection {
                is_up,
                sent,
                coming,
                late,
                ..
            } = connection;
            *is_up && sent.is_empty() && coming.is_empty() && late.is_empty()
        };
        self.sidecars
            .iter()
            .all(|it| it.is_idle() && it.has_session)
            && self.redis.connections.iter().all(is_quiet)
    }

    /// All that was sent has arrived, and each sidecar has had a beat.
    fn settled(&self) -> World {
        let mut world = self.clone();
        for who in BOTH {
            world.act_in(who, |it, redis, _| it.beat(redis, false));
            world.execute(|redis, flaw| redis.execute(who, flaw));
            for told in BOTH {
                while !world.redis.connections[told].coming.is_empty() {
                    world.deliver(told);
                }
            }
        }
        world
    }

    /// What is wrong for good in a quiet state.
    fn lasting_violation(&self) -> Option<&'static str> {
        let world = self.settled();
        let is_old = |held: Option<Held>| held.is_some_and(|held| held.answers_before(world.app));
        if is_old(world.redis.data.valid_entry()) {
            return Some("Redis keeps what is older than the last write, after all beats");
        }
        let is_remembered = world.sidecars.iter().any(|sidecar| is_old(sidecar.memory));
        is_remembered.then_some("memory keeps what is older than the last write, after all beats")
    }
}

impl Model for World {
    type Action = Action;

    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for who in BOTH {
            self.actions_of(who, &mut actions);
        }
        if self.left.losses > 0 {
            actions.extend(Loss::ALL.map(Action::Lose));
        }
        if self.left.returns != Returns::Never {
            match self.snapshot {
                None => actions.push(Action::Save),
                Some(_) if self.may_go_back() => actions.push(Action::GoBack),
                Some(_) => {}
            }
        }
        actions
    }

    fn step(&self, action: Action) -> World {
        let mut next = self.clone();
        match action {
            Action::Write(who) => next.write(who),
            Action::Fence(who) => next.act_in(who, |it, _, settings| it.fence(settings.flaw)),
            Action::Purge(who) => next.act_in(who, Sidecar::send_purge),
            Action::PurgeOther(who) => {
                next.left.others[who] -= 1;
                next.act_in(who, Sidecar::purge_other);
            }
            Action::Timeout(who) => {
                next.left.timeouts -= 1;
                next.act_in(who, |it, _, _| it.give_up_purge());
            }
            Action::Resend(who) => next.act_in(who, |it, redis, settings| {
                it.resend(redis, settings, false);
            }),
            Action::BeginFill(who) => next.begin_fill(who),
            Action::Fetch(who) => next.sidecars[who].fetch(self.app),
            Action::Commit(who) => next.act_in(who, Sidecar::commit),
            Action::Keep(who) => next.act_in(who, |it, _, settings| it.keep(settings.flaw)),
            Action::LookUp(who) => next.look_up(who),
            Action::Remember(who) => {
                next.act_in(who, |it, _, settings| it.remember(settings.flaw));
            }
            Action::Beat(who) => {
                next.left.beats[who] -= 1;
                next.act_in(who, |it, redis, _| it.beat(redis, false));
            }
            Action::Execute(who) => next.execute(|redis, flaw| redis.execute(who, flaw)),
            Action::ExecuteLate(who) => next.execute(|redis, flaw| redis.execute_late(who, flaw)),
            Action::Deliver(who) => next.deliver(who),
            Action::Break(who) => {
                next.left.breaks[who] -= 1;
                next.break_off(who);
            }
            Action::Connect(who) => {
                next.redis.connections[who].is_up = true;
                next.act_in(who, |it, redis, _| it.beat(redis, true));
            }
            Action::Lose(loss) => {
                next.left.losses -= 1;
                next.redis.lose(loss);
            }
            Action::Save => next.snapshot = Some(next.redis.data.clone()),
            Action::GoBack => next.go_back(),
        }
        next
    }

    fn violation(&self) -> Option<String> {
        let of_memory = || BOTH.iter().find_map(|who| self.memory_violation(*who));
        let lasting = || self.is_quiet().then(|| self.lasting_violation()).flatten();
        let violation = self.broken.or_else(of_memory).or_else(lasting);
        violation.map(str::to_owned)
    }
}
