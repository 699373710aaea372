//! A case: a few exchanges in a row, and what must be seen of each.
//!
//! ```text
//! required("9111 §5.2.2.1", "max-age makes it fresh")
//!     .get().answers(ok().cc("max-age=60"))
//!     .get().hit()
//! ```
//!
//! In field values of both sides `{path}` stands for the case's own path, `{now}`, `{now-60}` and `{now+60}` stand for
//! HTTP dates, and so do `{rfc850:now+60}` and `{asctime:now+60}` in their obsolete forms: a past is
//! made with dates, not by waiting.

use super::app::Received;
use super::client::{Answer, Head};

/// How much a case weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// A shared cache that does otherwise breaks an RFC, or a promise of this one.
    Required,
    /// A cache may do otherwise and be correct, but would be of less use.
    Optimal,
}

/// A named row.
pub(crate) struct Case {
    pub(crate) name: String,
    /// RFC number and section, such as `9111 §4.1`.
    pub(crate) section: &'static str,
    pub(crate) level: Level,
    pub(crate) steps: Vec<Step>,
}

/// One exchange.
pub(crate) struct Step {
    pub(crate) method: &'static str,
    /// What follows the case's own path.
    pub(crate) target: String,
    pub(crate) fields: Fields,
    pub(crate) body: &'static str,
    /// What the app answers if it is asked.
    pub(crate) reply: Reply,
    /// Whether more than a second passes before it.
    pub(crate) later: bool,
    pub(crate) checks: Vec<Check>,
}

/// Fields in order, as text with placeholders.
pub(crate) type Fields = Vec<(String, Vec<u8>)>;

/// A condition with its words.
pub(crate) struct Check {
    pub(crate) what: String,
    pub(crate) holds: Box<dyn Fn(&Seen<'_>) -> bool + Send + Sync>,
}

/// What was seen of one exchange.
pub(crate) struct Seen<'a> {
    pub(crate) answer: &'a Answer,
    /// What the app received from the request on until everything was quiet.
    pub(crate) received: &'a [Received],
    /// The body that the app's script has for each step.
    pub(crate) scripted: &'a [Vec<u8>],
    /// This step's number.
    pub(crate) at: usize,
    /// The last step before this one in which the app sent a GET its body.
    pub(crate) source: Option<usize>,
}

/// What the app answers.
#[derive(Clone, Default)]
pub(crate) struct Reply {
    pub(crate) interim: Vec<(u16, Fields)>,
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) framing: Framing,
    /// In place of the rest if the request has a condition.
    pub(crate) if_conditional: Option<Box<Reply>>,
    pub(crate) undated: bool,
}

/// How the app's body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `Content-Length`.
    #[default]
    Length,
    Chunked,
    /// With the connection.
    Close,
    /// The connection closes ten bytes before the stated length.
    CutLength,
    /// The connection closes without the last chunk.
    CutChunked,
    /// The connection closes and nothing is answered.
    Nothing,
}

pub(crate) fn required(section: &'static str, name: impl Into<String>) -> Case {
    Case::new(section, name.into(), Level::Required)
}

pub(crate) fn optimal(section: &'static str, name: impl Into<String>) -> Case {
    Case::new(section, name.into(), Level::Optimal)
}

/// 200; the body is the step's own unless said.
pub(crate) fn ok() -> Reply {
    reply(200)
}

pub(crate) fn reply(status: u16) -> Reply {
    Reply {
        status,
        ..Reply::default()
    }
}

/// 200 that stays fresh throughout.
pub(crate) fn fresh() -> Reply {
    ok().cc("max-age=3600")
}

/// 200 that is stale at once.
pub(crate) fn stale() -> Reply {
    ok().cc("max-age=10").f("date", "{now-100}")
}

/// 304 to a conditional request; 200 with a body to any other.
pub(crate) fn confirming(confirmation: Reply) -> Reply {
    let mut reply = ok();
    reply.if_conditional = Some(Box::new(confirmation));
    reply
}

impl Reply {
    /// Adds a field.
    pub(crate) fn f(mut self, name: &str, value: &str) -> Reply {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Adds a field with bytes beyond ASCII.
    pub(crate) fn bytes(mut self, name: &str, value: &[u8]) -> Reply {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Adds fields.
    pub(crate) fn fs(self, fields: &[(&str, &str)]) -> Reply {
        let add = |reply: Reply, (name, value): &(&str, &str)| reply.f(name, value);
        fields.iter().fold(self, add)
    }

    /// Adds `Cache-Control`.
    pub(crate) fn cc(self, value: &str) -> Reply {
        self.f("cache-control", value)
    }

    pub(crate) fn body(mut self, body: &str) -> Reply {
        self.body = Some(body.into());
        self
    }

    pub(crate) fn framed(mut self, framing: Framing) -> Reply {
        self.framing = framing;
        self
    }

    /// Without `Date`.
    pub(crate) fn undated(mut self) -> Reply {
        self.undated = true;
        self
    }

    /// An interim answer first.
    pub(crate) fn interim(mut self, status: u16, fields: &[(&str, &str)]) -> Reply {
        let own = |(name, value): &(&str, &str)| ((*name).into(), (*value).into());
        self.interim
            .push((status, fields.iter().map(own).collect()));
        self
    }
}

impl Case {
    fn new(section: &'static str, name: String, level: Level) -> Case {
        Case {
            name,
            section,
            level,
            steps: Vec::new(),
        }
    }

    /// The next exchange.
    pub(crate) fn ask(mut self, method: &'static str) -> Case {
        self.steps.push(Step {
            method,
            target: String::new(),
            fields: Vec::new(),
            body: "",
            reply: ok(),
            later: false,
            checks: Vec::new(),
        });
        self
    }

    pub(crate) fn get(self) -> Case {
        self.ask("GET")
    }

    pub(crate) fn head(self) -> Case {
        self.ask("HEAD")
    }

    /// A first GET, answered so.
    pub(crate) fn stored(self, reply: Reply) -> Case {
        self.get().answers(reply)
    }

    fn step(&mut self) -> &mut Step {
        self.steps.last_mut().expect("an exchange was begun")
    }

    /// The request goes to this suffix of the case's path.
    pub(crate) fn to(mut self, target: &str) -> Case {
        self.step().target = target.into();
        self
    }

    /// A field of the request.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Case {
        self.step().fields.push((name.into(), value.into()));
        self
    }

    /// A field of the request with bytes beyond ASCII.
    pub(crate) fn with_bytes(mut self, name: &str, value: &[u8]) -> Case {
        self.step().fields.push((name.into(), value.into()));
        self
    }

    pub(crate) fn sending(mut self, body: &'static str) -> Case {
        self.step().body = body;
        self
    }

    /// The app's answer, if it is asked.
    pub(crate) fn answers(mut self, reply: Reply) -> Case {
        self.step().reply = reply;
        self
    }

    /// More than a second passes before this exchange.
    pub(crate) fn later(mut self) -> Case {
        self.step().later = true;
        self
    }

    /// Anything else that must hold.
    pub(crate) fn see(
        mut self,
        what: impl Into<String>,
        holds: impl Fn(&Seen<'_>) -> bool + Send + Sync + 'static,
    ) -> Case {
        self.step().checks.push(Check {
            what: what.into(),
            holds: Box::new(holds),
        });
        self
    }
}

/// Where the answer is from.
impl Case {
    /// From the store, without the app; the body is the one that the app sent last.
    pub(crate) fn hit(self) -> Case {
        self.unasked().see("the stored body", |seen| {
            seen.source.is_some_and(|source| seen.is_body_of(source))
        })
    }

    /// The same; the body is that of the numbered step.
    pub(crate) fn hit_of(self, step: usize) -> Case {
        let words = format!("the body of step {step}");
        self.unasked().see(words, move |seen| seen.is_body_of(step))
    }

    /// The app is not asked.
    pub(crate) fn unasked(self) -> Case {
        self.see("the app is not asked", |seen| seen.received.is_empty())
    }

    /// The app is asked.
    pub(crate) fn asked(self) -> Case {
        self.see("the app is asked", |seen| !seen.received.is_empty())
    }

    /// The app is asked, and the body is its new one.
    pub(crate) fn fetched(self) -> Case {
        self.asked()
            .see("the app's new body", |seen| seen.is_body_of(seen.at))
    }

    /// The app is asked with a condition and confirms; the body is the stored one.
    pub(crate) fn validated(self) -> Case {
        self.status(200)
            .see("the app is asked with a condition", |seen| {
                let conditional = seen.received.iter().any(|one| one.head.is_conditional());
                conditional && seen.received.len() == 1
            })
            .see("the stored body", |seen| {
                seen.source.is_some_and(|source| seen.is_body_of(source))
            })
    }

    /// The stored body although it is stale; the app may be asked behind it.
    pub(crate) fn stale(self) -> Case {
        self.see("the stored body, stale", |seen| {
            seen.source.is_some_and(|source| seen.is_body_of(source))
        })
    }
}

/// What the answer is.
impl Case {
    pub(crate) fn status(self, status: u16) -> Case {
        self.see(format!("status {status}"), move |seen| {
            seen.answer.head.status == status
        })
    }

    pub(crate) fn body(self, body: &'static str) -> Case {
        self.see(format!("the body {body:?}"), move |seen| {
            seen.answer.body == body.as_bytes()
        })
    }

    /// The answer breaks off, or there is none.
    pub(crate) fn broken(self) -> Case {
        self.see("an answer that breaks off", |seen| !seen.answer.complete)
    }

    /// All lines of the field, joined.
    pub(crate) fn sees(self, name: &'static str, value: &'static str) -> Case {
        self.see(format!("{name}: {value}"), move |seen| {
            seen.answer.head.joined(name).as_deref() == Some(value)
        })
    }

    pub(crate) fn has(self, name: &'static str) -> Case {
        self.see(format!("the field {name}"), move |seen| {
            seen.answer.head.joined(name).is_some()
        })
    }

    pub(crate) fn lacks(self, name: &'static str) -> Case {
        self.see(format!("no field {name}"), move |seen| {
            seen.answer.head.joined(name).is_none()
        })
    }

    /// `Age`, one line, within these seconds of what it must be on an idle machine.
    pub(crate) fn age(self, least: u64) -> Case {
        self.see(format!("an Age from {least} on"), move |seen| {
            let age = seen.answer.head.joined("age");
            let age = age.and_then(|age| age.parse::<u64>().ok());
            age.is_some_and(|age| (least..least + 30).contains(&age))
        })
    }

    /// Pannier's member of `Cache-Status` has this parameter.
    pub(crate) fn cache_status(self, parameter: &'static str) -> Case {
        self.see(format!("Cache-Status with {parameter}"), move |seen| {
            let lines = seen.answer.head.joined("cache-status").unwrap_or_default();
            let member = lines.rsplit(',').next().unwrap_or_default();
            let mut parameters = member.split(';').map(str::trim);
            parameters.next() == Some("pannier") && parameters.any(|own| own == parameter)
        })
    }
}

/// What the app received.
impl Case {
    /// The last request had the field with this value.
    pub(crate) fn app_saw(self, name: &'static str, value: &'static str) -> Case {
        self.see(format!("the app sees {name}: {value}"), move |seen| {
            let last = seen.received.last();
            last.and_then(|one| one.head.joined(name)).as_deref() == Some(value)
        })
    }

    /// No request had the field.
    pub(crate) fn app_lacked(self, name: &'static str) -> Case {
        self.see(format!("the app does not see {name}"), move |seen| {
            let mut received = seen.received.iter();
            received.all(|one| one.head.joined(name).is_none())
        })
    }

    pub(crate) fn app_method(self, method: &'static str) -> Case {
        self.see(format!("the app is asked by {method}"), move |seen| {
            seen.received.last().is_some_and(|one| one.method == method)
        })
    }
}

impl Seen<'_> {
    pub(crate) fn is_body_of(&self, step: usize) -> bool {
        self.answer.body == self.scripted[step] && self.answer.complete
    }
}

impl Head {
    pub(crate) fn is_conditional(&self) -> bool {
        ["if-none-match", "if-modified-since"]
            .iter()
            .any(|name| self.joined(name).is_some())
    }
}
