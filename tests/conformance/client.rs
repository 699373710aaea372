//! The wire, read by hand: fields keep their order and repetition, interim answers are kept, and a
//! body that breaks off is told from one that ends.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::app::{filled, path};
use super::case::Step;

/// No answer may take longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The host every case's request is for, unless it says otherwise.
pub(crate) const HOST: &str = "conformance.example";

/// A message's status (zero in a request) and fields, names in lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) interim: Vec<Head>,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// Whether head and body are whole.
    pub(crate) complete: bool,
}

/// A body as far as it came.
pub(crate) struct Collected {
    pub(crate) bytes: Vec<u8>,
    pub(crate) complete: bool,
}

impl Head {
    /// All lines of a field joined by `, `; `None` if there is none.
    pub(crate) fn joined(&self, name: &str) -> Option<String> {
        let lines = self.lines(name);
        let text: Vec<_> = lines.iter().map(|l| String::from_utf8_lossy(l)).collect();
        (!lines.is_empty()).then(|| text.join(", "))
    }

    /// The lines of a field in order.
    pub(crate) fn lines(&self, name: &str) -> Vec<&[u8]> {
        let own = self.fields.iter().filter(|(own, _)| own == name);
        own.map(|(_, value)| value.as_slice()).collect()
    }

    /// The names in order of appearance, those of `among` only.
    pub(crate) fn order(&self, among: &[&str]) -> Vec<&str> {
        let names = self.fields.iter().map(|(name, _)| name.as_str());
        names.filter(|name| among.contains(name)).collect()
    }
}

/// Sends a step's request on a connection of its own.
pub(crate) async fn exchange(sidecar: SocketAddr, case: usize, step: &Step) -> Answer {
    let request = written(case, step);
    let talk = async {
        let mut stream = TcpStream::connect(sidecar).await.expect("it listens");
        // A refusal may close the connection before all is sent.
        let _ = stream.write_all(&request).await;
        read_answer(&mut stream, step.method == "HEAD").await
    };
    let answer = tokio::time::timeout(TIMEOUT, talk).await;
    answer.unwrap_or_default()
}

fn written(case: usize, step: &Step) -> Vec<u8> {
    let target = format!("{}{}", path(case), step.target);
    let mut out = format!("{} {target} HTTP/1.1\r\n", step.method).into_bytes();
    let has = |name: &str| step.fields.iter().any(|(own, _)| own == name);
    if !has("host") {
        out.extend_from_slice(format!("Host: {HOST}\r\n").as_bytes());
    }
    if !has("connection") {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    for (name, value) in &step.fields {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(&filled(value, case));
        out.extend_from_slice(b"\r\n");
    }
    if !step.body.is_empty() {
        out.extend_from_slice(format!("Content-Length: {}\r\n", step.body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(step.body.as_bytes());
    out
}

async fn read_answer(stream: &mut TcpStream, is_head: bool) -> Answer {
    let mut buffer = Vec::new();
    let mut answer = Answer::default();
    while let Some((line, mut head)) = read_head(stream, &mut buffer).await {
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        head.status = status.unwrap_or_default();
        if (100..200).contains(&head.status) && head.status != 101 {
            answer.interim.push(head);
            continue;
        }
        let bodiless = is_head || matches!(head.status, 101 | 204 | 304);
        if bodiless {
            answer.complete = true;
        } else {
            let body = read_body(stream, &mut buffer, &head, true).await;
            (answer.body, answer.complete) = (body.bytes, body.complete);
        }
        answer.head = head;
        break;
    }
    answer
}

/// The next message's first line and fields; `None` at the end of the connection.
pub(crate) async fn read_head(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> Option<(String, Head)> {
    let end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end;
        }
        more(stream, buffer).await?;
    };
    let text: Vec<u8> = buffer.drain(..end + 4).collect();
    let mut lines = text[..end].split(|&byte| byte == b'\n');
    let first = String::from_utf8_lossy(lines.next()?).trim_end().to_owned();
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
        Some((name, line[colon + 1..].trim_ascii().to_vec()))
    });
    let head = Head {
        status: 0,
        fields: fields.collect(),
    };
    Some((first, head))
}

/// The body that the fields announce; without a word of its length it is empty, or ends with the
/// connection.
pub(crate) async fn read_body(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    head: &Head,
    until_close: bool,
) -> Collected {
    if head.joined("transfer-encoding").is_some() {
        return read_chunks(stream, buffer).await;
    }
    let stated = head.joined("content-length");
    let length = stated.and_then(|length| length.parse::<usize>().ok());
    let wanted = length.unwrap_or(if until_close { usize::MAX } else { 0 });
    while buffer.len() < wanted {
        if more(stream, buffer).await.is_none() {
            break;
        }
    }
    let taken = wanted.min(buffer.len());
    Collected {
        bytes: buffer.drain(..taken).collect(),
        complete: length.is_none_or(|length| taken == length),
    }
}

async fn read_chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Collected {
    let mut bytes = Vec::new();
    loop {
        let Some(size) = read_chunk(stream, buffer, &mut bytes).await else {
            let complete = false;
            return Collected { bytes, complete };
        };
        if size == 0 {
            let complete = true;
            return Collected { bytes, complete };
        }
    }
}

/// One chunk's size, its data appended; the last one is read with its trailers.
async fn read_chunk(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    bytes: &mut Vec<u8>,
) -> Option<usize> {
    let line = loop {
        match find(buffer, b"\r\n") {
            Some(end) => break end,
            None => more(stream, buffer).await?,
        };
    };
    let size = String::from_utf8_lossy(&buffer[..line]).into_owned();
    let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
    if size == 0 {
        while find(&buffer[line..], b"\r\n\r\n").is_none() {
            more(stream, buffer).await?;
        }
        let end = line + find(&buffer[line..], b"\r\n\r\n")? + 4;
        buffer.drain(..end);
        return Some(0);
    }
    while buffer.len() < line + 2 + size + 2 {
        more(stream, buffer).await?;
    }
    bytes.extend_from_slice(&buffer[line + 2..line + 2 + size]);
    buffer.drain(..line + 2 + size + 2);
    Some(size)
}

/// Reads on; `None` at the end.
async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 8192];
    match stream.read(&mut piece).await {
        Ok(0) | Err(_) => None,
        Ok(length) => {
            buffer.extend_from_slice(&piece[..length]);
            Some(())
        }
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|at| at == pattern)
}
