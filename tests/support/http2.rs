//! HTTP/2 frame by frame, for clients that no library would be: slow, flooding, malformed.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

/// No connection may keep a test waiting longer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A received frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Received {
    /// The error code of a `RST_STREAM` or `GOAWAY`.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let code = self.payload[at..at + 4].try_into().expect("four bytes");
        u32::from_be_bytes(code)
    }
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field section of literals (RFC 7541 §6.2.2), letter by letter.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// RFC 7541 §5.1, with a prefix of seven bits.
fn push_length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return block.push(length as u8);
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// A client's connection.
pub(crate) struct RawHttp2(TcpStream);

impl RawHttp2 {
    /// Connects and says nothing yet.
    pub(crate) async fn connect(addr: SocketAddr) -> RawHttp2 {
        RawHttp2(TcpStream::connect(addr).await.expect("it listens"))
    }

    /// Connects and begins, with `settings` as the payload of its `SETTINGS`.
    pub(crate) async fn begin(addr: SocketAddr, settings: &[u8]) -> RawHttp2 {
        let mut raw = RawHttp2::connect(addr).await;
        raw.send(PREFACE).await;
        raw.send(&frame(SETTINGS, 0, 0, settings)).await;
        raw
    }

    /// Sends these bytes; a server that has closed does not read them.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// The next frame; `None`: the server has closed.
    pub(crate) async fn next(&mut self) -> Option<Received> {
        read_frame(&mut self.0).await
    }

    /// The next frame of that kind; `None`: the server closes before.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Option<Received> {
        loop {
            let received = self.next().await?;
            if received.kind == kind {
                return Some(received);
            }
        }
    }

    /// Sends `bytes` every `pause` until a received frame is an `end`, or the server closes; returns what
    /// was received, and fails the test if neither comes.
    pub(crate) async fn drip(
        &mut self,
        bytes: &[u8],
        pause: Duration,
        end: impl Fn(&Received) -> bool,
    ) -> Vec<Received> {
        let (mut reader, mut writer) = self.0.split();
        let mut all = Vec::new();
        let reading = async {
            while let Some(received) = read_frame(&mut reader).await {
                all.push(received);
                if all.last().is_some_and(&end) {
                    break;
                }
            }
        };
        let dripping = async {
            loop {
                let _ = writer.write_all(bytes).await;
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = reading => {}
            () = dripping => {}
            () = tokio::time::sleep(TIMEOUT) => panic!("it goes on"),
        }
        all
    }

    /// Every frame until the server closes.
    pub(crate) async fn rest(&mut self) -> Vec<Received> {
        let mut all = Vec::new();
        while let Some(received) = self.next().await {
            all.push(received);
        }
        all
    }
}

/// The next frame; `None`: the server has closed.
async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
    let mut head = [0; 9];
    let read = tokio::time::timeout(TIMEOUT, stream.read_exact(&mut head));
    read.await.expect("a frame or the end").ok()?;
    let [a, b, c, kind, flags, rest @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some(Received {
        kind,
        flags,
        stream: u32::from_be_bytes(rest),
        payload,
    })
}
