//! The path of a request under fuzzing: bytes in, and what reaches the app must be what a strict reader of HTTP
//! finds in them, no more and nothing else.
//!
//! `PANNIER_FUZZ_SEED` gives other inputs, `PANNIER_FUZZ_SECONDS` goes on until the process has had so many seconds
//! of CPU; with `--no-capture` it then says what it saw.

pub(crate) mod app;
mod grammar;
mod strict;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::eventually;
use crate::support::sidecar::Sidecar;
use app::{Arrivals, StrictApp};
use strict::{Departure, End, Message};

/// Inputs of a run that has no other limit.
const INPUTS: usize = 3_000;
/// Inputs between two looks at what they did.
const BATCH: usize = 500;
/// Batches after which nothing of one arrives any more. What was cut short does so when the app hears of the end, and
/// where the machine has much to do that may be some batches later.
const LATEST: usize = 64;
/// Inputs after which a long run says how it goes.
const TOLD_AFTER: usize = 100_000;
const AT_A_TIME: usize = 32;
/// A client that has heard nothing for so long says no more.
const SILENCE: Duration = Duration::from_millis(25);
/// Turns of a second that the sidecar has for closing. They are counted in running, for a long run may be starved or
/// stopped: all the time that it did not run is one turn.
const TURNS: usize = 60;
/// Faults that are told before a long run ends.
const MOST_FAULTS: usize = 10;

const CONFIG: &str = r#"
[listen]
max_head = "16KiB"
workers = 2
[defaults]
unmatched = "rfc9111"
[[route]]
path = "/r/{id}"
key = "r:{path.id}:{query.a|}"
ttl = "1s"
[[purge]]
path = "/w/{id}"
keys = ["r:{path.id}:*"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_app_gets_what_a_strict_reader_finds_and_nothing_else() {
    let panics = count_panics();
    let app = StrictApp::start().await;
    let sidecar = Sidecar::start(&app.url(), CONFIG);
    let mut random = Rng::with_seed(number("PANNIER_FUZZ_SEED").unwrap_or(9112));
    let seconds = number("PANNIER_FUZZ_SECONDS");
    let (mut judge, mut batches) = (Judge::default(), VecDeque::new());
    loop {
        let inputs: Vec<_> = (0..BATCH).map(|_| Input::new(&mut random)).collect();
        let cases = send_all(&sidecar, inputs, judge.inputs).await;
        judge.inputs += cases.len();
        settle(&sidecar).await;
        batches.push_back(cases);
        judge.hear(app.take_arrivals(), &mut batches);
        if batches.len() > LATEST {
            judge.conclude(batches.pop_front().unwrap_or_default());
        }
        let client = sidecar.client();
        assert_eq!(client.get("/after").await.text(), "ok", "it still answers");
        assert_eq!(panics.load(Ordering::SeqCst), 0, "no worker panics");
        if judge.inputs.is_multiple_of(TOLD_AFTER) {
            judge.tell();
        }
        let is_over = seconds.map_or(judge.inputs >= INPUTS, |most| cpu_seconds() >= most);
        if is_over || judge.faults.len() >= MOST_FAULTS {
            break;
        }
    }
    judge.hear(app.take_arrivals(), &mut batches);
    for cases in batches {
        judge.conclude(cases);
    }
    judge.report();
}

/// What one client sends, and in which pieces.
struct Input {
    bytes: Vec<u8>,
    pause_at: Option<usize>,
}

impl Input {
    fn new(random: &mut Rng) -> Input {
        let bytes = grammar::input(random);
        let pauses = random.u8(..6) == 0;
        let pause_at = pauses.then(|| random.usize(..=bytes.len()));
        Input { bytes, pause_at }
    }
}

/// An input and what came of it.
struct Case {
    bytes: Vec<u8>,
    messages: Vec<Message>,
    end: End,
    answers: Vec<u8>,
    arrived: Vec<Message>,
}

/// By the client's address, which Pannier tells the app with each request.
type Cases = HashMap<IpAddr, Case>;

async fn send_all(sidecar: &Sidecar, inputs: Vec<Input>, first: usize) -> Cases {
    let addr = sidecar.addr();
    let clients = inputs
        .into_iter()
        .zip(first..)
        .map(|(input, number)| async move {
            let from = address(number);
            let answers = converse(addr, from, &input).await;
            let (messages, end) = strict::read_all(&input.bytes);
            let case = Case {
                bytes: input.bytes,
                messages,
                end,
                answers,
                arrived: Vec::new(),
            };
            (from, case)
        });
    futures_util::stream::iter(clients)
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await
}

/// An address of this machine for each input.
fn address(number: usize) -> IpAddr {
    let number = u32::try_from(number % (1 << 23)).expect("small");
    Ipv4Addr::from_bits(0x7f01_0000 + number).into()
}

/// Sends the input and returns all that comes back until the sidecar closes.
async fn converse(addr: SocketAddr, from: IpAddr, input: &Input) -> Vec<u8> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind((from, 0).into())
        .expect("an address of this machine");
    let mut stream = socket.connect(addr).await.expect("it listens");
    let _ = stream.set_nodelay(true);
    let (begin, rest) = input.bytes.split_at(input.pause_at.unwrap_or(0));
    let _ = stream.write_all(begin).await;
    tokio::task::yield_now().await;
    let _ = stream.write_all(rest).await;
    let mut answers = Vec::new();
    if !read_on(&mut stream, &mut answers, SILENCE).await {
        let _ = stream.shutdown().await;
        let closed = in_turns(read_on(&mut stream, &mut answers, Duration::MAX)).await;
        assert!(closed.is_some(), "it stays open: {:?}", shown(&input.bytes));
    }
    answers
}

/// Whether the sidecar closed, rather than being silent for so long.
async fn read_on(stream: &mut TcpStream, answers: &mut Vec<u8>, silence: Duration) -> bool {
    let mut piece = [0; 4096];
    loop {
        match tokio::time::timeout(silence, stream.read(&mut piece)).await {
            Ok(Ok(length @ 1..)) => answers.extend_from_slice(&piece[..length]),
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

/// What comes of it, unless it takes more than the turns.
async fn in_turns<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    for _ in 0..TURNS {
        if let Ok(done) = tokio::time::timeout(Duration::from_secs(1), &mut work).await {
            return Some(done);
        }
    }
    None
}

/// Returns when all that was sent has been answered or given up.
async fn settle(sidecar: &Sidecar) {
    let admin = sidecar.admin();
    let what = "all connections have ended";
    let settled = in_turns(eventually(what, Duration::MAX, || async {
        let metrics = admin.get("/metrics").await;
        let ended = |line: &str| metrics.text().lines().any(|other| other == line);
        ended("pannier_connections 0") && ended("pannier_fills 0")
    }))
    .await;
    assert!(settled.is_some(), "not in {TURNS} turns: {what}");
}

/// What has been seen so far.
#[derive(Default)]
struct Judge {
    inputs: usize,
    /// By the strict reader, in what was sent.
    found: usize,
    refused: usize,
    cut: usize,
    arrived: usize,
    arrived_cut: usize,
    answered: usize,
    /// Requests that reached the app though they depart from the grammar.
    explained: BTreeMap<Departure, usize>,
    faults: Vec<String>,
}

impl Judge {
    /// Sorts what reached the app by the input that it is of.
    fn hear(&mut self, arrivals: Arrivals, batches: &mut VecDeque<Cases>) {
        for (why, bytes) in arrivals.refused {
            self.note(format!("the app got {why}: {}", shown(&bytes)));
        }
        for message in arrivals.messages {
            let from = client_of(&message);
            if from.is_some_and(|from| from.is_loopback() && from == IpAddr::from([127, 0, 0, 1])) {
                // Of the client that asks whether it still answers.
                continue;
            }
            let mut latest_first = batches.iter_mut().rev();
            let case = from.and_then(|from| latest_first.find_map(|cases| cases.get_mut(&from)));
            match case {
                Some(case) => case.arrived.push(message),
                None => self.note(format!("nobody sent {message}")),
            }
        }
    }

    fn conclude(&mut self, cases: Cases) {
        for case in cases.into_values() {
            self.found += case.messages.len();
            self.refused += usize::from(matches!(case.end, End::Refused(_)));
            self.cut += usize::from(case.end == End::Cut);
            self.arrived += case.arrived.len();
            self.answered += count(&case.answers, b"HTTP/1.1 200 ");
            if let Err(why) = self.check(&case) {
                let found: Vec<_> = case.messages.iter().map(Message::to_string).collect();
                let arrived: Vec<_> = case.arrived.iter().map(Message::to_string).collect();
                self.note(format!(
                    "{why}\n  sent:     {}\n  found:    {}, {:?}\n  arrived:  {}\n  answered: {}",
                    shown(&case.bytes),
                    found.join(" | "),
                    case.end,
                    arrived.join(" | "),
                    shown(&case.answers),
                ));
            }
        }
    }

    /// At once: a long run may not come to its end.
    fn note(&mut self, fault: String) {
        println!("{fault}\n");
        self.faults.push(fault);
    }

    /// Each request that arrived is one that was found, and each that was found arrived once at most.
    fn check(&mut self, case: &Case) -> Result<(), String> {
        let mut found: Vec<&Message> = case.messages.iter().collect();
        found.retain(|message| message.fault.is_none());
        let most = found.len();
        let (whole, cut): (Vec<_>, Vec<_>) = case.arrived.iter().partition(|message| message.whole);
        self.arrived_cut += cut.len();
        for arrived in whole.into_iter().chain(cut) {
            check_form(arrived)?;
            let of = found.iter().position(|found| is_of(arrived, found));
            let of = of.ok_or_else(|| format!("not what was sent: {arrived}"))?;
            for departure in &found.remove(of).departures {
                *self.explained.entry(*departure).or_default() += 1;
            }
        }
        let answers = count(&case.answers, b"HTTP/1.1 200 ");
        match answers <= most {
            true => Ok(()),
            false => Err(format!("{answers} answers for {most} requests")),
        }
    }

    fn tell(&self) {
        println!(
            "{} inputs, {} s of CPU: {} requests found, {} inputs refused, {} cut short; \
             {} requests at the app, {} of them cut short; {} answered 200",
            self.inputs,
            cpu_seconds(),
            self.found,
            self.refused,
            self.cut,
            self.arrived,
            self.arrived_cut,
            self.answered,
        );
        for (departure, times) in &self.explained {
            println!("{times} × {departure:?}: {}", departure.reason());
        }
    }

    fn report(self) {
        self.tell();
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n\n"));
        assert!(
            self.arrived > self.inputs / 10,
            "most inputs are no requests at all"
        );
    }
}

/// Who sent it: the last address that Pannier added.
fn client_of(message: &Message) -> Option<IpAddr> {
    let chain = message.values("x-forwarded-for").next()?;
    let last = chain.rsplit(|byte| *byte == b',').next()?;
    std::str::from_utf8(last).ok()?.trim().parse().ok()
}

/// The app's request is well-formed in all but characters of its target, with one host and one framing.
fn check_form(arrived: &Message) -> Result<(), String> {
    let only_raw = |departure: &Departure| *departure == Departure::RawTarget;
    let hosts = arrived.values("host").count();
    let framings = ["content-length", "transfer-encoding"].map(|name| arrived.values(name).count());
    let vias = arrived
        .values("via")
        .filter(|via| via.ends_with(b" pannier"))
        .count();
    let well = arrived.fault.is_none()
        && arrived.departures.iter().all(only_raw)
        && arrived.minor == 1
        && hosts == 1
        && framings.iter().sum::<usize>() <= 1
        && vias == 1;
    match well {
        true => Ok(()),
        false => Err(format!("not well-formed: {arrived}")),
    }
}

/// Whether the app's request is the one that was sent, as far as it came.
fn is_of(arrived: &Message, sent: &Message) -> bool {
    let body = match arrived.whole {
        true => sent.whole && arrived.body == sent.body,
        false => sent.body.starts_with(&arrived.body),
    };
    // Who names none, in HTTP/1.0, means the app's own.
    let is_host = |host: &str| {
        sent.host()
            .is_none_or(|sent| sent.eq_ignore_ascii_case(host))
    };
    let is_known = |(name, value): &(String, Vec<u8>)| {
        name == "host"
            || ADDED.contains(&name.as_str())
            || sent.values(name).any(|sent| sent == value)
    };
    body && arrived.method == sent.method
        && is_target(&arrived.target, &sent.origin_form())
        && arrived.host().is_some_and(|host| is_host(&host))
        && arrived.fields.iter().all(is_known)
}

/// As it was sent, or with the characters encoded that hyper refuses.
fn is_target(arrived: &str, sent: &str) -> bool {
    let (path, query) = match sent.find('?') {
        Some(at) => sent.split_at(at),
        None => (sent, ""),
    };
    let [open, close] = [("<", "%3C"), (">", "%3E")];
    let encode = |text: &str, third: (&str, &str)| {
        let codes = [open, close, third].into_iter();
        codes.fold(text.to_owned(), |text, (raw, code)| text.replace(raw, code))
    };
    arrived == sent || arrived == encode(path, ("`", "%60")) + &encode(query, ("\"", "%22"))
}

/// Fields that Pannier writes itself.
const ADDED: &[&str] = &[
    "connection",
    "content-length",
    "max-forwards",
    "te",
    "transfer-encoding",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

fn count(bytes: &[u8], what: &[u8]) -> usize {
    bytes
        .windows(what.len())
        .filter(|part| *part == what)
        .count()
}

/// How many panics the workers of sidecars in this process had.
fn count_panics() -> Arc<AtomicUsize> {
    let panics = Arc::new(AtomicUsize::new(0));
    let (count, usual) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        if thread
            .name()
            .is_some_and(|name| name.starts_with("pannier"))
        {
            count.fetch_add(1, Ordering::SeqCst);
        }
        usual(panic);
    }));
    panics
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// Of this process, of all its threads.
fn cpu_seconds() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("it runs");
    let (_, after_the_name) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = after_the_name.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
    (ticks(11) + ticks(12)) / 100
}

/// Without the long rows of one letter.
fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    text.replace(&"x".repeat(50), "…")
}
