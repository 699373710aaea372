//! The app of a subject: answers each case's request by the script of the step it is at, byte by byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use pannier::clock;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::case::{Case, Fields, Framing, Reply};
use super::client::{Head, read_body, read_head};

/// A request as the app received it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

/// The running app; dropping it stops it.
pub(crate) struct App {
    addr: SocketAddr,
    stage: Arc<Stage>,
    accepting: JoinHandle<()>,
}

struct Stage {
    scripts: Vec<Vec<Reply>>,
    acts: Vec<Mutex<Act>>,
}

/// Where a case is.
#[derive(Default)]
struct Act {
    step: usize,
    received: Vec<Received>,
    /// The last step in which a GET was sent a whole body.
    source: Option<usize>,
}

/// What to answer.
struct Line {
    reply: Reply,
    case: usize,
    step: usize,
}

impl App {
    pub(crate) async fn start(cases: &[Case]) -> App {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let replies = |case: &Case| case.steps.iter().map(|step| step.reply.clone()).collect();
        let stage = Arc::new(Stage {
            scripts: cases.iter().map(replies).collect(),
            acts: cases.iter().map(|_| Mutex::default()).collect(),
        });
        let shared = stage.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream, shared.clone()));
            }
        });
        App {
            addr,
            stage,
            accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The case is at this step from now on.
    pub(crate) fn advance(&self, case: usize, step: usize) {
        self.stage.act(case).step = step;
    }

    /// What the case's requests brought since the last call, and the last step with a body.
    pub(crate) fn take(&self, case: usize) -> (Vec<Received>, Option<usize>) {
        let mut act = self.stage.act(case);
        (std::mem::take(&mut act.received), act.source)
    }

    /// The body each step's script has.
    pub(crate) fn scripted(&self, case: usize) -> Vec<Vec<u8>> {
        let script = self.stage.scripts[case].iter().enumerate();
        script.map(|(step, reply)| body(reply, step)).collect()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The path of a case.
pub(crate) fn path(case: usize) -> String {
    format!("/{case}/x")
}

/// A field value of a case with path and dates filled in.
pub(crate) fn filled(value: &[u8], case: usize) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(value) else {
        return value.to_vec();
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, (inside, after))) = rest
        .split_once('{')
        .and_then(|(before, tail)| Some((before, tail.split_once('}')?)))
    {
        out.push_str(before);
        match inside {
            "path" => out.push_str(&path(case)),
            _ => out.push_str(&date(inside).unwrap_or_else(|| format!("{{{inside}}}"))),
        }
        rest = after;
    }
    out.push_str(rest);
    out.into_bytes()
}

impl Stage {
    fn act(&self, case: usize) -> std::sync::MutexGuard<'_, Act> {
        self.acts[case].lock().expect("nothing panics under it")
    }

    /// Notes the request and says what to answer.
    fn play(&self, received: Received) -> Option<Line> {
        let case = received.target.split('/').nth(1)?.parse::<usize>().ok()?;
        let script = self.scripts.get(case)?;
        let mut act = self.act(case);
        let step = act.step;
        let mut reply = &script[step];
        if received.head.is_conditional()
            && let Some(confirmation) = &reply.if_conditional
        {
            reply = confirmation;
        }
        let whole = !matches!(
            reply.framing,
            Framing::Nothing | Framing::CutLength | Framing::CutChunked
        );
        if received.method == "GET" && has_body(reply.status) && whole {
            act.source = Some(step);
        }
        act.received.push(received);
        Some(Line {
            reply: reply.clone(),
            case,
            step,
        })
    }
}

async fn connection(mut stream: TcpStream, stage: Arc<Stage>) {
    let mut buffer = Vec::new();
    while let Some((line, head)) = read_head(&mut stream, &mut buffer).await {
        let body = read_body(&mut stream, &mut buffer, &head, false).await;
        let mut words = line.split(' ').map(str::to_owned);
        let received = Received {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            head,
            body: body.bytes,
        };
        let is_head = received.method == "HEAD";
        let Some(line) = stage.play(received) else {
            return;
        };
        let (bytes, closes) = written(&line, is_head);
        if stream.write_all(&bytes).await.is_err() || closes {
            return;
        }
    }
}

/// The answer's bytes, and whether the connection ends with them.
fn written(line: &Line, is_head: bool) -> (Vec<u8>, bool) {
    let Line { reply, case, step } = line;
    let mut out = Vec::new();
    if reply.framing == Framing::Nothing {
        return (out, true);
    }
    for (status, fields) in &reply.interim {
        out.extend_from_slice(format!("HTTP/1.1 {status} Interim\r\n").as_bytes());
        write_fields(&mut out, fields, *case);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("HTTP/1.1 {} Answer\r\n", reply.status).as_bytes());
    if !reply.undated && !has_field(reply, "date") {
        write_fields(&mut out, &vec![("Date".into(), b"{now}".into())], *case);
    }
    write_fields(&mut out, &reply.fields, *case);
    let body = body(reply, *step);
    let bodiless = !has_body(reply.status);
    let framing = match reply.framing {
        _ if bodiless => String::new(),
        Framing::Length if has_field(reply, "content-length") => String::new(),
        Framing::Length => format!("Content-Length: {}\r\n", body.len()),
        Framing::CutLength => format!("Content-Length: {}\r\n", body.len() + 10),
        Framing::Chunked | Framing::CutChunked => "Transfer-Encoding: chunked\r\n".into(),
        Framing::Close | Framing::Nothing => "Connection: close\r\n".into(),
    };
    out.extend_from_slice(framing.as_bytes());
    out.extend_from_slice(b"\r\n");
    if is_head || bodiless {
        return (out, false);
    }
    match reply.framing {
        Framing::Chunked | Framing::CutChunked => {
            out.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
            out.extend_from_slice(&body);
            out.extend_from_slice(b"\r\n");
            if reply.framing == Framing::Chunked {
                out.extend_from_slice(b"0\r\n\r\n");
            }
        }
        _ => out.extend_from_slice(&body),
    }
    (
        out,
        !matches!(reply.framing, Framing::Length | Framing::Chunked),
    )
}

fn has_field(reply: &Reply, name: &str) -> bool {
    let mut fields = reply.fields.iter();
    fields.any(|(own, _)| own.eq_ignore_ascii_case(name))
}

fn has_body(status: u16) -> bool {
    !matches!(status, 100..=199 | 204 | 304)
}

fn body(reply: &Reply, step: usize) -> Vec<u8> {
    match &reply.body {
        _ if !has_body(reply.status) => Vec::new(),
        Some(body) => body.clone(),
        None => format!("answer of step {step}").into_bytes(),
    }
}

fn write_fields(out: &mut Vec<u8>, fields: &Fields, case: usize) {
    for (name, value) in fields {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(&filled(value, case));
        out.extend_from_slice(b"\r\n");
    }
}

/// `now`, `now-60`, `rfc850:now+60`, `asctime:now`; `None` for what is none of these.
fn date(inside: &str) -> Option<String> {
    let (form, moment) = inside.split_once(':').unwrap_or(("imf", inside));
    let offset = moment.strip_prefix("now")?;
    let seconds: i64 = match offset {
        "" => 0,
        offset => offset.parse().ok()?,
    };
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let now: SystemTime = clock::wall();
    let time = if seconds < 0 {
        now - distance
    } else {
        now + distance
    };
    let imf = httpdate::fmt_http_date(time);
    let words: Vec<&str> = imf.split([' ', ',']).filter(|w| !w.is_empty()).collect();
    let [weekday, day, month, year, clock, _] = words.as_slice() else {
        return None;
    };
    match form {
        "imf" => Some(imf),
        "rfc850" => {
            let long = LONG_WEEKDAYS
                .iter()
                .find(|long| long.starts_with(weekday))?;
            Some(format!("{long}, {day}-{month}-{} {clock} GMT", &year[2..]))
        }
        "asctime" => {
            let day = day.trim_start_matches('0');
            Some(format!("{weekday} {month} {day:>2} {clock} {year}"))
        }
        _ => None,
    }
}

const LONG_WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
