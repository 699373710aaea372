//! One sidecar: what it remembers, and what is under way in it (at most one of each kind).

use super::redis::{Command, Held, Name, Redis, Reply, Returned, Version, Who};
use super::settings::{Flaw, PurgeBy, Settings};

/// What it knows of the latest generation (`lineage`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Known {
    pub(crate) generation: u8,
    /// The highest purge number seen.
    number: u8,
    /// The number of the own last purge.
    pub(crate) own: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sidecar {
    who: Who,
    pub(crate) memory: Option<Held>,
    pub(crate) has_session: bool,
    pub(crate) known: Known,
    /// The last write that was acknowledged through it.
    pub(crate) acknowledged: Version,
    pub(crate) read: Option<Read>,
    pub(crate) fill: Option<Fill>,
    pub(crate) purge: Option<Purge>,
    /// A purge that failed, by the version that was written: the journal.
    pub(crate) pending: Option<Version>,
    pub(crate) supervision: Supervision,
    /// The reply to a purge that was given up is still to come.
    ignores_reply: bool,
}

/// A read that memory could not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Read {
    /// What had been acknowledged when it began, through this sidecar and landed through any.
    pub(crate) floor: Version,
    /// Nothing is promised: Redis went back to an older state.
    pub(crate) is_excused: bool,
    /// What it covers was purged or invalidated since it began.
    is_fenced: bool,
    session_stands: bool,
    /// What was found, on its way into memory; before: no reply yet.
    pub(crate) found: Option<Held>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fill {
    /// The store's fence since it began.
    is_fenced: bool,
    pub(crate) stage: FillStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FillStage {
    Leasing {
        token: u8,
    },
    /// It may ask the app.
    Begun(Option<HeldLease>),
    /// The app has answered.
    Fetched(Option<HeldLease>, Version),
    /// The put is under way; what was invalidated since keeps it out of memory.
    Putting(Version, AfterPut),
    /// Redis has it, memory may have it.
    Stored(Version, AfterPut),
    /// Redis does not have it: memory may, while Redis cannot be used.
    NotStored(Version),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AfterPut {
    is_fenced: bool,
    session_stands: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HeldLease {
    token: u8,
    generation: u8,
    purges: u8,
}

/// A write's purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Purge {
    /// 0: of another key.
    pub(crate) version: Version,
    pub(crate) stage: PurgeStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PurgeStage {
    /// The app has taken the write.
    Written,
    /// It is in the journal and in both fences.
    Fenced,
    /// Memory is purged, and this is asked of Redis.
    Asked(Step),
}

/// The commands of a purge, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    FenceTag,
    ReadIndex,
    ReadTags,
    RemoveListed,
    RemoveAndLand,
    Land,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Supervision {
    Idle,
    /// A beat is under way; in a recovery, the session begins after it.
    Beating {
        recovers: bool,
    },
    /// What is pending is sent again; in a recovery, the session begins after it.
    Resending {
        step: Step,
        version: Version,
        recovers: bool,
    },
}

/// What a reply brought about that concerns more than the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Nothing,
    /// A read is answered.
    Answered {
        read: Read,
        held: Held,
    },
    /// The purge of this version has landed.
    Landed(Version),
}

impl Sidecar {
    pub(crate) fn new(who: Who, memory: Option<Held>) -> Sidecar {
        Sidecar {
            who,
            memory,
            has_session: true,
            known: Known {
                generation: 1,
                ..Known::default()
            },
            acknowledged: 0,
            read: None,
            fill: None,
            purge: None,
            pending: None,
            supervision: Supervision::Idle,
            ignores_reply: false,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.read.is_none()
            && self.fill.is_none()
            && self.purge.is_none()
            && self.pending.is_none()
            && self.supervision == Supervision::Idle
    }

    /// Of the purge that is being sent.
    pub(crate) fn step_under_way(&self) -> Option<Step> {
        match (self.purge, self.supervision) {
            (
                Some(Purge {
                    stage: PurgeStage::Asked(step),
                    ..
                }),
                _,
            ) => Some(step),
            (_, Supervision::Resending { step, .. }) => Some(step),
            _ => None,
        }
    }

    /// A purge that has not landed covers the key.
    fn is_covered(&self, settings: &Settings) -> bool {
        let is_entered = |it: Purge| it.stage != PurgeStage::Written && it.version > 0;
        let is_covered = self.pending.is_some() || self.purge.is_some_and(is_entered);
        is_covered && settings.flaw != Some(Flaw::PendingPurgeDoesNotCover)
    }

    /// Whether a read may ask Redis.
    pub(crate) fn may_look_up(&self, settings: &Settings) -> bool {
        // By a tag it is known to be covered when the entry is there.
        self.has_session && (settings.purge_by == PurgeBy::Tag || !self.is_covered(settings))
    }

    pub(crate) fn look_up(&mut self, redis: &mut Redis, floor: Version, is_excused: bool) {
        self.read = Some(Read {
            floor,
            is_excused,
            is_fenced: false,
            session_stands: true,
            found: None,
        });
        redis.send(self.who, self.known, Command::Lookup);
    }

    /// What a read has found enters memory, if nothing has come between.
    pub(crate) fn remember(&mut self, flaw: Option<Flaw>) {
        let read = self.read.take().expect("enabled");
        let after = AfterPut {
            is_fenced: read.is_fenced,
            session_stands: read.session_stands,
        };
        self.put_in_memory(read.found, after, flaw);
    }

    fn put_in_memory(&mut self, held: Option<Held>, after: AfterPut, flaw: Option<Flaw>) {
        let is_current = !after.is_fenced || flaw == Some(Flaw::MemoryIgnoresInvalidations);
        let is_within = after.session_stands || flaw == Some(Flaw::MemoryIgnoresSession);
        if is_current && is_within {
            self.memory = held;
        }
    }

    pub(crate) fn begin_fill(&mut self, redis: &mut Redis, token: u8) {
        let stage = match self.has_session {
            true => {
                redis.send(self.who, self.known, Command::Lease { token });
                FillStage::Leasing { token }
            }
            false => FillStage::Begun(None),
        };
        let is_fenced = false;
        self.fill = Some(Fill { is_fenced, stage });
    }

    pub(crate) fn fetch(&mut self, version: Version) {
        let fill = self.fill.as_mut().expect("enabled");
        let FillStage::Begun(lease) = fill.stage else {
            unreachable!("enabled")
        };
        fill.stage = FillStage::Fetched(lease, version);
    }

    /// The fill hands in what it fetched.
    pub(crate) fn commit(&mut self, redis: &mut Redis, settings: &Settings) {
        let mut fill = self.fill.take().expect("enabled");
        let FillStage::Fetched(lease, version) = fill.stage else {
            unreachable!("enabled")
        };
        let is_refused = fill.is_fenced || self.is_covered(settings) && self.has_session;
        match lease {
            Some(HeldLease { token, .. }) if is_refused => {
                redis.send(self.who, self.known, Command::Release { token });
                return;
            }
            None if fill.is_fenced => return,
            Some(lease) if self.has_session => {
                let put = Command::Put {
                    token: lease.token,
                    generation: lease.generation,
                    purges: lease.purges,
                    version,
                };
                redis.send(self.who, self.known, put);
                let after = AfterPut {
                    is_fenced: false,
                    session_stands: true,
                };
                fill.stage = FillStage::Putting(version, after);
            }
            _ => fill.stage = FillStage::NotStored(version),
        }
        self.fill = Some(fill);
    }

    /// What a fill has fetched enters memory, if nothing has come between.
    pub(crate) fn keep(&mut self, flaw: Option<Flaw>) {
        let fill = self.fill.take().expect("enabled");
        match fill.stage {
            FillStage::Stored(version, after) => {
                self.put_in_memory(Some(Held::fresh(version)), after, flaw);
            }
            FillStage::NotStored(version) if !self.has_session && !fill.is_fenced => {
                self.memory = Some(Held::fresh(version));
            }
            _ => {}
        }
    }

    /// The purge enters the journal and the fences.
    pub(crate) fn fence(&mut self, flaw: Option<Flaw>) {
        let purge = self.purge.as_mut().expect("enabled");
        purge.stage = PurgeStage::Fenced;
        if flaw != Some(Flaw::PurgeDoesNotFence) {
            self.fence_what_is_under_way();
        }
    }

    /// Memory is purged, then Redis.
    pub(crate) fn send_purge(&mut self, redis: &mut Redis, settings: &Settings) {
        self.memory = match settings.flaw {
            Some(Flaw::SoftPurgeForgetsMemory) => self.memory,
            _ => self.memory.map(Held::stale).filter(|_| settings.softly),
        };
        let purge = self.purge.expect("enabled");
        if !self.has_session {
            return self.fail_purge();
        }
        let stage = PurgeStage::Asked(self.ask(redis, first_step(settings), settings));
        self.purge = Some(Purge { stage, ..purge });
    }

    pub(crate) fn purge_other(&mut self, redis: &mut Redis, settings: &Settings) {
        self.purge = Some(Purge {
            version: 0,
            stage: PurgeStage::Asked(self.ask(redis, Step::Land, settings)),
        });
    }

    /// It is acknowledged, and stays in the journal.
    fn fail_purge(&mut self) {
        let Purge { version, .. } = self.purge.take().expect("enabled");
        if version > 0 {
            self.pending = Some(version);
        }
        self.acknowledged = self.acknowledged.max(version);
    }

    /// Redis has not answered in time.
    pub(crate) fn give_up_purge(&mut self) {
        self.ignores_reply = true;
        self.fail_purge();
    }

    pub(crate) fn resend(&mut self, redis: &mut Redis, settings: &Settings, recovers: bool) {
        let version = self.pending.expect("enabled");
        let step = self.ask(redis, first_step(settings), settings);
        self.supervision = Supervision::Resending {
            step,
            version,
            recovers,
        };
    }

    fn ask(&self, redis: &mut Redis, step: Step, settings: &Settings) -> Step {
        redis.send(self.who, self.known, self.command_of(step, settings));
        step
    }

    fn command_of(&self, step: Step, settings: &Settings) -> Command {
        let own = self.known.own;
        match step {
            Step::FenceTag => Command::Fence,
            Step::ReadIndex => Command::ReadIndex,
            Step::ReadTags => Command::ReadTags,
            Step::RemoveListed | Step::RemoveAndLand | Step::Land => Command::Purge {
                removes: step != Step::Land,
                softly: settings.softly,
                lands: step != Step::RemoveListed,
                own,
            },
        }
    }

    pub(crate) fn beat(&mut self, redis: &mut Redis, recovers: bool) {
        let Known { number, own, .. } = self.known;
        redis.send(self.who, self.known, Command::Beat { number, own });
        self.supervision = Supervision::Beating { recovers };
    }

    /// The connection is gone, and with it the session and all replies.
    pub(crate) fn lose_connection(&mut self) {
        self.has_session = false;
        self.ignores_reply = false;
        self.supervision = Supervision::Idle;
        self.read = self.read.filter(|read| read.found.is_some());
        if let Some(read) = &mut self.read {
            read.session_stands = false;
        }
        if matches!(
            self.purge,
            Some(Purge {
                stage: PurgeStage::Asked(_),
                ..
            })
        ) {
            self.fail_purge();
        }
        if let Some(fill) = &mut self.fill {
            match &mut fill.stage {
                FillStage::Leasing { .. } => fill.stage = FillStage::Begun(None),
                FillStage::Putting(version, _) => fill.stage = FillStage::NotStored(*version),
                FillStage::Stored(_, after) => after.session_stands = false,
                _ => {}
            }
        }
    }

    fn begin_session(&mut self, flaw: Option<Flaw>) {
        if flaw != Some(Flaw::MemoryOutlivesConnection) {
            self.memory = None;
        }
        self.has_session = true;
    }

    pub(crate) fn invalidate(&mut self, name: Name) {
        match name {
            Name::Entry => {
                self.fence_what_enters_memory();
                self.memory = None;
            }
            Name::Lease => {
                if let Some(fill) = &mut self.fill {
                    fill.is_fenced = true;
                }
            }
            Name::Generation => self.distrust(),
        }
    }

    pub(crate) fn distrust(&mut self) {
        self.fence_what_is_under_way();
        self.memory = None;
    }

    fn fence_what_is_under_way(&mut self) {
        self.fence_what_enters_memory();
        if let Some(fill) = &mut self.fill {
            fill.is_fenced = true;
        }
    }

    fn fence_what_enters_memory(&mut self) {
        if let Some(read) = &mut self.read {
            read.is_fenced = true;
        }
        if let Some(Fill {
            stage: FillStage::Putting(_, after) | FillStage::Stored(_, after),
            ..
        }) = &mut self.fill
        {
            after.is_fenced = true;
        }
    }

    /// Whether what was found is not void.
    fn note_generation(&mut self, found: u8) -> bool {
        if found > self.known.generation {
            self.distrust();
            self.known = Known {
                generation: found,
                ..Known::default()
            };
        }
        found == self.known.generation
    }

    pub(crate) fn hear(&mut self, redis: &mut Redis, reply: Reply, settings: &Settings) -> Outcome {
        let is_of_purge = matches!(
            reply,
            Reply::Listed(_) | Reply::Script(_, Returned::Fenced | Returned::Purged { .. })
        );
        if is_of_purge && std::mem::take(&mut self.ignores_reply) {
            return Outcome::Nothing;
        }
        match reply {
            Reply::Found { generation, entry } => self.find(generation, entry, settings),
            Reply::Listed(is_listed) => {
                let step = match is_listed {
                    true => Step::RemoveListed,
                    false => Step::Land,
                };
                self.go_on_with_purge(redis, step, settings);
                Outcome::Nothing
            }
            Reply::Script(generation, returned) => {
                self.note_generation(generation);
                self.hear_of_script(redis, generation, returned, settings)
            }
        }
    }

    fn find(
        &mut self,
        generation: Option<u8>,
        entry: Option<(u8, Held)>,
        settings: &Settings,
    ) -> Outcome {
        let ignores = settings.flaw == Some(Flaw::ReadIgnoresGeneration);
        let is_known = generation.is_some_and(|found| self.note_generation(found)) || ignores;
        let valid = entry.filter(|(mark, _)| is_known && (Some(*mark) == generation || ignores));
        // Looked at now: a later generation has just fenced it.
        let (Some(mut read), Some((_, held))) = (self.read.take(), valid) else {
            return Outcome::Nothing;
        };
        if self.is_covered(settings) {
            return Outcome::Nothing;
        }
        read.found = Some(held);
        self.read = Some(read);
        Outcome::Answered { read, held }
    }

    fn hear_of_script(
        &mut self,
        redis: &mut Redis,
        generation: u8,
        returned: Returned,
        settings: &Settings,
    ) -> Outcome {
        match returned {
            Returned::LeaseTaken => self.fill = None,
            Returned::Leased { purges } => self.hold_lease(generation, purges),
            Returned::Put { is_stored } => {
                let stored = self.fill.take().filter(|_| is_stored);
                self.fill = stored.map(|fill| match fill.stage {
                    FillStage::Putting(version, after) => Fill {
                        stage: FillStage::Stored(version, after),
                        ..fill
                    },
                    _ => fill,
                });
            }
            Returned::Released => {}
            Returned::Fenced => self.go_on_with_purge(redis, Step::ReadTags, settings),
            Returned::Purged { number: None } => self.go_on_with_purge(redis, Step::Land, settings),
            Returned::Purged {
                number: Some(number),
            } => {
                if generation == self.known.generation {
                    self.known.own = self.known.own.max(number);
                }
                return self.land(redis, settings);
            }
            Returned::Beaten { number } => {
                if generation == self.known.generation {
                    self.known.number = self.known.number.max(number);
                }
                let recovers = self.supervision == Supervision::Beating { recovers: true };
                self.supervision = Supervision::Idle;
                if recovers {
                    self.go_on_with_recovery(redis, settings);
                }
            }
        }
        Outcome::Nothing
    }

    /// What is purged from here on fences the fill; what was purged before the lease does not matter.
    fn hold_lease(&mut self, generation: u8, purges: u8) {
        let Some(fill) = &mut self.fill else { return };
        let FillStage::Leasing { token } = fill.stage else {
            return;
        };
        let lease = HeldLease {
            token,
            generation,
            purges,
        };
        *fill = Fill {
            is_fenced: false,
            stage: FillStage::Begun(Some(lease)),
        };
    }

    fn go_on_with_recovery(&mut self, redis: &mut Redis, settings: &Settings) {
        match self.pending {
            Some(_) => self.resend(redis, settings, true),
            None => self.begin_session(settings.flaw),
        }
    }

    fn go_on_with_purge(&mut self, redis: &mut Redis, next: Step, settings: &Settings) {
        if let Supervision::Resending { step, .. } = &mut self.supervision {
            *step = next;
        } else if let Some(purge) = &mut self.purge {
            purge.stage = PurgeStage::Asked(next);
        } else {
            return;
        }
        self.ask(redis, next, settings);
    }

    /// The purge under way has landed.
    fn land(&mut self, redis: &mut Redis, settings: &Settings) -> Outcome {
        if let Supervision::Resending {
            version, recovers, ..
        } = self.supervision
        {
            self.supervision = Supervision::Idle;
            self.pending = self.pending.filter(|pending| *pending > version);
            if recovers {
                self.go_on_with_recovery(redis, settings);
            }
            return Outcome::Landed(version);
        }
        let Some(Purge { version, .. }) = self.purge.take() else {
            return Outcome::Nothing;
        };
        if settings.purge_by == PurgeBy::Tag {
            self.fence_what_enters_memory();
        }
        self.acknowledged = self.acknowledged.max(version);
        Outcome::Landed(version)
    }
}

pub(crate) fn first_step(settings: &Settings) -> Step {
    match settings.purge_by {
        PurgeBy::Key => Step::RemoveAndLand,
        PurgeBy::Pattern => Step::ReadIndex,
        PurgeBy::Tag => Step::FenceTag,
    }
}
