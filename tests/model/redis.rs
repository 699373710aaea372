//! One Redis: what it holds under one shard's names, and the commands and scripts as they change it.

use std::collections::VecDeque;

use super::settings::Flaw;
use super::sidecar::Known;

/// Which of the two sidecars.
pub(crate) type Who = usize;
/// Of the app's answer: rises with each write.
pub(crate) type Version = u8;

/// A name that connections are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    Entry,
    Lease,
    Generation,
}

/// What is held of an answer of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) version: Version,
    /// It was purged softly: the app is asked before it answers anybody.
    pub(crate) is_stale: bool,
}

impl Held {
    pub(crate) fn fresh(version: Version) -> Held {
        Held {
            version,
            is_stale: false,
        }
    }

    pub(crate) fn stale(self) -> Held {
        Held {
            is_stale: true,
            ..self
        }
    }

    /// Whether it answers as it is, although a version came since.
    pub(crate) fn answers_before(self, version: Version) -> bool {
        !self.is_stale && self.version < version
    }
}

/// Something that is evicted or removed behind everybody's back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Loss {
    Entry,
    Lease,
    Generation,
    Index,
    Leases,
    Tags,
    Fences,
    Numbers,
    Landed,
}

impl Loss {
    pub(crate) const ALL: [Loss; 9] = [
        Loss::Entry,
        Loss::Lease,
        Loss::Generation,
        Loss::Index,
        Loss::Leases,
        Loss::Tags,
        Loss::Fences,
        Loss::Numbers,
        Loss::Landed,
    ];
}

/// What a snapshot holds. `None`: missing; a structure that is empty still holds its sentinel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Data {
    /// `:g`.
    pub(crate) generation: Option<u8>,
    /// `:e:`, under the mark of its generation.
    pub(crate) entry: Option<(u8, Held)>,
    /// `:l:`, the generation and the token.
    lease: Option<(u8, u8)>,
    /// `:ix`: whether it lists the key.
    index: Option<bool>,
    /// `:lx`: whether it lists the key.
    leases: Option<bool>,
    /// `:tx`: whether it lists the key.
    tags: Option<bool>,
    /// `:tp`: the number of the last purge of the tag.
    fences: Option<u8>,
    /// `sq` of `:by`.
    numbers: Option<u8>,
    /// `:pl`.
    landed: Option<[u8; 2]>,
}

impl Data {
    /// The entry, unless it is void.
    pub(crate) fn valid_entry(&self) -> Option<Held> {
        let (generation, held) = self.entry?;
        (Some(generation) == self.generation).then_some(held)
    }

    /// Whether purges have happened here that `older` lacks.
    pub(crate) fn has_purges_beyond(&self, older: &Data) -> bool {
        (self.generation, self.numbers) != (older.generation, older.numbers)
    }

    fn is_whole(&self) -> bool {
        self.generation.is_some()
            && self.index.is_some()
            && self.leases.is_some()
            && self.tags.is_some()
            && self.fences.is_some()
            && self.numbers.is_some()
            && self.landed.is_some()
    }
}

/// One connection to it. What was sent is carried out in order, and so are replies and invalidations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Connection {
    pub(crate) is_up: bool,
    pub(crate) sent: VecDeque<Sent>,
    pub(crate) coming: VecDeque<Message>,
    /// Names it is told of, as bits.
    tracked: u8,
    /// Of a connection that is gone: what may still be carried out, without anybody who hears the reply.
    pub(crate) late: VecDeque<Sent>,
}

impl Connection {
    pub(crate) fn has_purge_to_execute(&self) -> bool {
        self.sent.iter().any(|sent| {
            let Sent { command, .. } = sent;
            matches!(
                command,
                Command::Purge { .. } | Command::Fence | Command::ReadIndex | Command::ReadTags
            )
        })
    }

    pub(crate) fn is_told_of(&self, name: Name) -> bool {
        self.tracked & bit(name) != 0
    }
}

/// A command, and the generation its sender knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sent {
    pub(crate) known: u8,
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Command {
    /// `MGET` of entry and generation.
    Lookup,
    Lease {
        token: u8,
    },
    Put {
        token: u8,
        generation: u8,
        purges: u8,
        version: Version,
    },
    Release {
        token: u8,
    },
    /// `purge.lua`: removes the key, or makes it stale, or nothing; the last of a purge gives it its number. `own`: the last number
    /// that this process knows of its own.
    Purge {
        removes: bool,
        softly: bool,
        lands: bool,
        own: u8,
    },
    /// `fence.lua`.
    Fence,
    ReadIndex,
    ReadTags,
    Beat {
        number: u8,
        own: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Message {
    Invalidate(Name),
    /// All names were dropped, by a flush of any database or by other data in place of these.
    InvalidateAll,
    Reply(Reply),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    Found {
        generation: Option<u8>,
        entry: Option<(u8, Held)>,
    },
    Listed(bool),
    /// Of a script: the generation, and what it returns.
    Script(u8, Returned),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Returned {
    LeaseTaken,
    Leased { purges: u8 },
    Put { is_stored: bool },
    Released,
    Purged { number: Option<u8> },
    Fenced,
    Beaten { number: u8 },
}

/// Who sent a command.
#[derive(Clone, Copy, Debug)]
struct Client {
    process: Who,
    /// It has connected anew since: the old connection is told nothing.
    is_gone: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Redis {
    pub(crate) data: Data,
    pub(crate) connections: [Connection; 2],
    /// The latest generation that has ever begun, which Redis's clock makes the next one exceed.
    clock: u8,
}

impl Redis {
    /// Nothing stored, both connected and told of the generation.
    pub(crate) fn new() -> Redis {
        let connection = Connection {
            is_up: true,
            tracked: bit(Name::Generation),
            ..Connection::default()
        };
        Redis {
            data: Data {
                generation: Some(1),
                entry: None,
                lease: None,
                index: Some(false),
                leases: Some(false),
                tags: Some(false),
                fences: Some(0),
                numbers: Some(0),
                landed: Some([0; 2]),
            },
            connections: [connection.clone(), connection],
            clock: 1,
        }
    }

    /// The first version is stored, and both have read it.
    pub(crate) fn warm() -> Redis {
        let mut redis = Redis::new();
        redis.data.entry = Some((1, Held::fresh(0)));
        redis.data.index = Some(true);
        redis.data.tags = Some(true);
        for connection in &mut redis.connections {
            connection.tracked |= bit(Name::Entry);
        }
        redis
    }

    pub(crate) fn clock(&self) -> u8 {
        self.clock
    }

    /// Carries out the first command that waits on a connection.
    pub(crate) fn execute(&mut self, who: Who, flaw: Option<Flaw>) {
        let sent = self.connections[who].sent.pop_front().expect("enabled");
        let by = Client {
            process: who,
            is_gone: false,
        };
        let reply = self.run(by, sent, flaw);
        self.connections[who]
            .coming
            .push_back(Message::Reply(reply));
    }

    /// Carries out the first command left of a connection that is gone.
    pub(crate) fn execute_late(&mut self, who: Who, flaw: Option<Flaw>) {
        let sent = self.connections[who].late.pop_front().expect("enabled");
        let by = Client {
            process: who,
            is_gone: true,
        };
        self.run(by, sent, flaw);
    }

    /// The connection breaks.
    pub(crate) fn break_off(&mut self, who: Who) {
        let connection = &mut self.connections[who];
        connection.is_up = false;
        connection.tracked = 0;
        connection.coming.clear();
        let sent = std::mem::take(&mut connection.sent);
        connection.late.extend(sent);
    }

    pub(crate) fn lose(&mut self, loss: Loss) {
        let data = &mut self.data;
        match loss {
            Loss::Entry => data.entry = None,
            Loss::Lease => data.lease = None,
            Loss::Generation => data.generation = None,
            Loss::Index => data.index = None,
            Loss::Leases => data.leases = None,
            Loss::Tags => data.tags = None,
            Loss::Fences => data.fences = None,
            Loss::Numbers => data.numbers = None,
            Loss::Landed => data.landed = None,
        }
        match loss {
            Loss::Entry => self.changed(Name::Entry, None),
            Loss::Lease => self.changed(Name::Lease, None),
            Loss::Generation => self.changed(Name::Generation, None),
            _ => {}
        }
    }

    /// Other data take the place of these, in the same run: connections stand, and nothing is tracked any more.
    pub(crate) fn replace(&mut self, data: Data, flaw: Option<Flaw>) {
        self.data = data;
        for connection in self.connections.iter_mut().filter(|it| it.is_up) {
            connection.tracked = 0;
            if flaw != Some(Flaw::FlushIsNotHeard) {
                connection.coming.push_back(Message::InvalidateAll);
            }
        }
    }

    fn run(&mut self, by: Client, sent: Sent, flaw: Option<Flaw>) -> Reply {
        let returned = match sent.command {
            Command::Lookup => {
                self.track(by, &[Name::Entry, Name::Generation]);
                let Data {
                    generation, entry, ..
                } = self.data;
                return Reply::Found { generation, entry };
            }
            Command::ReadIndex => {
                let lists = [self.data.index, self.data.leases];
                return Reply::Listed(lists.contains(&Some(true)));
            }
            Command::ReadTags => return Reply::Listed(self.data.tags == Some(true)),
            _ => self.run_script(by, sent, flaw),
        };
        Reply::Script(self.generation(), returned)
    }

    fn run_script(&mut self, by: Client, sent: Sent, flaw: Option<Flaw>) -> Returned {
        let is_purge = matches!(sent.command, Command::Purge { .. } | Command::Fence);
        if is_purge && flaw == Some(Flaw::PurgeTrustsMissingIndex) {
            self.data.index.get_or_insert(false);
            self.data.tags.get_or_insert(false);
        }
        let has_begun = self.ensure_whole(by, sent.known);
        match sent.command {
            Command::Lease { token } => self.lease(by, token),
            Command::Put {
                token,
                generation,
                purges,
                version,
            } => Returned::Put {
                is_stored: self.put(by, (token, generation, purges), version, flaw),
            },
            Command::Release { token } => self.release(by, token),
            Command::Purge {
                removes,
                softly,
                lands,
                own,
            } => {
                let is_older = self.landed(by) < own && self.generation() == sent.known;
                if is_older && flaw != Some(Flaw::PurgeDoesNotCompareNumbers) {
                    self.begin_generation(by, sent.known);
                }
                match removes {
                    true if softly => self.soften(by, flaw),
                    true => self.remove(by),
                    false => {}
                }
                Returned::Purged {
                    number: lands.then(|| self.land(by)),
                }
            }
            Command::Fence => {
                let number = self.next_number();
                self.data.fences = Some(number);
                Returned::Fenced
            }
            Command::Beat { number, own } => {
                let lacks_own =
                    self.landed(by) < own && flaw != Some(Flaw::BeatDoesNotCompareOwnNumbers);
                let is_older = self.number() < number || lacks_own;
                if !has_begun && self.generation() == sent.known && is_older {
                    self.begin_generation(by, sent.known);
                }
                self.track(by, &[Name::Generation]);
                Returned::Beaten {
                    number: self.number(),
                }
            }
            Command::Lookup | Command::ReadIndex | Command::ReadTags => unreachable!("no scripts"),
        }
    }

    fn ensure_whole(&mut self, by: Client, known: u8) -> bool {
        let is_older = self.data.generation.is_some_and(|it| it < known);
        let is_void = !self.data.is_whole() || is_older;
        if is_void {
            self.begin_generation(by, known);
        }
        is_void
    }

    fn begin_generation(&mut self, by: Client, known: u8) {
        let before = known.max(self.data.generation.unwrap_or(0));
        self.clock = self.clock.max(before) + 1;
        self.data = Data {
            generation: Some(self.clock),
            index: Some(false),
            leases: Some(false),
            tags: Some(false),
            fences: Some(0),
            numbers: Some(0),
            landed: Some([0; 2]),
            ..self.data.clone()
        };
        self.changed(Name::Generation, Some(by));
    }

    fn lease(&mut self, by: Client, token: u8) -> Returned {
        let holder = self.read_lease(by, None);
        self.track(by, &[Name::Entry, Name::Lease]);
        if holder.is_some() {
            return Returned::LeaseTaken;
        }
        self.drop_void_entry(by);
        self.data.lease = Some((self.generation(), token));
        self.changed(Name::Lease, Some(by));
        self.data.leases = Some(true);
        self.track(by, &[Name::Entry, Name::Lease]);
        let purges = self.number();
        Returned::Leased { purges }
    }

    fn put(
        &mut self,
        by: Client,
        (token, generation, purges): (u8, u8, u8),
        version: Version,
        flaw: Option<Flaw>,
    ) -> bool {
        let holder = self.read_lease(by, flaw);
        self.track(by, &[Name::Entry, Name::Lease]);
        if holder != Some(token) && flaw != Some(Flaw::PutIgnoresToken) {
            return false;
        }
        let is_fenced = self.data.fences.is_some_and(|number| number > purges);
        let is_stored = !is_fenced || flaw == Some(Flaw::PutIgnoresTagFence);
        if is_stored {
            let mark = match flaw {
                Some(Flaw::PutIgnoresGeneration) => self.generation(),
                _ => generation,
            };
            self.data.entry = Some((mark, Held::fresh(version)));
            self.changed(Name::Entry, Some(by));
            self.data.index = Some(true);
            self.data.tags = Some(true);
            self.track(by, &[Name::Entry, Name::Lease]);
        }
        self.unlease(by);
        is_stored
    }

    fn release(&mut self, by: Client, token: u8) -> Returned {
        let holder = self.read_lease(by, None);
        self.track(by, &[Name::Lease]);
        if holder == Some(token) {
            self.unlease(by);
        }
        Returned::Released
    }

    fn unlease(&mut self, by: Client) {
        if self.data.lease.take().is_some() {
            self.changed(Name::Lease, Some(by));
        }
        self.data.leases = Some(false);
    }

    fn remove(&mut self, by: Client) {
        if self.data.entry.take().is_some() {
            self.changed(Name::Entry, Some(by));
        }
        self.unlease(by);
        self.data.index = Some(false);
        self.data.tags = Some(false);
    }

    /// As [`Redis::remove`], but what is there stays, and is listed.
    fn soften(&mut self, by: Client, flaw: Option<Flaw>) {
        let Some((_, held)) = &mut self.data.entry else {
            return self.remove(by);
        };
        *held = held.stale();
        if flaw != Some(Flaw::SoftPurgeTellsNobody) {
            self.changed(Name::Entry, Some(by));
        }
        if flaw != Some(Flaw::SoftPurgeLeavesLease) {
            self.unlease(by);
        }
    }

    fn land(&mut self, by: Client) -> u8 {
        let number = self.next_number();
        if let Some(landed) = &mut self.data.landed {
            landed[by.process] = number;
        }
        number
    }

    /// A script that reads an entry removes a void one.
    fn drop_void_entry(&mut self, by: Client) {
        if self.data.valid_entry().is_none() && self.data.entry.take().is_some() {
            self.changed(Name::Entry, Some(by));
        }
    }

    fn read_lease(&mut self, by: Client, flaw: Option<Flaw>) -> Option<u8> {
        let (generation, token) = self.data.lease?;
        if generation == self.generation() || flaw == Some(Flaw::PutIgnoresGeneration) {
            return Some(token);
        }
        self.data.lease = None;
        self.changed(Name::Lease, Some(by));
        None
    }

    fn generation(&self) -> u8 {
        self.data.generation.expect("a script has begun one")
    }

    fn number(&self) -> u8 {
        self.data.numbers.unwrap_or(0)
    }

    fn next_number(&mut self) -> u8 {
        let number = self.number() + 1;
        self.data.numbers = Some(number);
        number
    }

    fn landed(&self, by: Client) -> u8 {
        self.data.landed.map_or(0, |landed| landed[by.process])
    }

    fn track(&mut self, by: Client, names: &[Name]) {
        if !by.is_gone {
            let tracked = &mut self.connections[by.process].tracked;
            names.iter().for_each(|name| *tracked |= bit(*name));
        }
    }

    /// Tells all that track the name, but for whoever changed it; nobody tracks it afterwards.
    fn changed(&mut self, name: Name, by: Option<Client>) {
        for (who, connection) in self.connections.iter_mut().enumerate() {
            let is_own = by.is_some_and(|by| by.process == who && !by.is_gone);
            if connection.tracked & bit(name) != 0 && !is_own {
                connection.coming.push_back(Message::Invalidate(name));
            }
            connection.tracked &= !bit(name);
        }
    }

    pub(crate) fn send(&mut self, who: Who, known: Known, command: Command) {
        let known = known.generation;
        self.connections[who]
            .sent
            .push_back(Sent { known, command });
    }
}

fn bit(name: Name) -> u8 {
    1 << name as u8
}
