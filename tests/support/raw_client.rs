//! A client that sends bytes and shows the bytes that come back, for what no HTTP library would show:
//! interim answers, trailers, the order of fields, who speaks first.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What does not come by then does not come.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One connection.
pub(crate) struct RawClient {
    stream: TcpStream,
    /// Read and not yet returned.
    read: Vec<u8>,
}

impl RawClient {
    pub(crate) async fn connect(addr: SocketAddr) -> RawClient {
        let stream = TcpStream::connect(addr).await.expect("it listens");
        RawClient {
            stream,
            read: Vec::new(),
        }
    }

    /// Sends this text, letter by letter.
    pub(crate) async fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("it reads");
    }

    /// All that comes up to the end of the first `end`; fails the test if that does not come.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        String::from_utf8_lossy(&self.bytes_until(end).await).into_owned()
    }

    pub(crate) async fn bytes_until(&mut self, end: &str) -> Vec<u8> {
        let end = end.as_bytes();
        loop {
            let found = self.read.windows(end.len()).position(|part| part == end);
            if let Some(at) = found {
                return self.read.drain(..at + end.len()).collect();
            }
            let length = self.read_on().await;
            let read = String::from_utf8_lossy(&self.read);
            assert!(length > 0, "it closed after {read:?}");
        }
    }

    /// The next head.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Sends nothing more, and waits until the server closes as well.
    pub(crate) async fn end(mut self) {
        self.stream.shutdown().await.expect("it is open");
        self.rest().await;
    }

    /// All that comes until the server closes.
    pub(crate) async fn rest(mut self) -> String {
        while self.read_on().await > 0 {}
        String::from_utf8_lossy(&self.read).into_owned()
    }

    async fn read_on(&mut self) -> usize {
        let mut piece = [0; 4096];
        match tokio::time::timeout(TIMEOUT, self.stream.read(&mut piece)).await {
            Ok(Ok(length)) => {
                self.read.extend_from_slice(&piece[..length]);
                length
            }
            Ok(Err(_)) => 0,
            Err(_) => panic!(
                "nothing more after {:?}",
                String::from_utf8_lossy(&self.read)
            ),
        }
    }
}

/// The field lines of a head, without the first line, in order.
pub(crate) fn fields(head: &str) -> Vec<&str> {
    head.lines()
        .skip(1)
        .filter(|line| !line.is_empty())
        .collect()
}
