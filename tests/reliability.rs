//! What goes wrong with caching proxies, tried on real sockets: cases of the project's list of
//! failures that no other module covers (`tests/requirements/reliability.toml` names all of them).

mod answers;
mod keys;
mod requests;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::sidecar::Sidecar;

/// Everything without a rule is cached by RFC 9111.
const RFC: &str = "[defaults]\nunmatched = \"rfc9111\"";

/// Sends the bytes, whose last request says `Connection: close`, and reads to the end.
async fn conversation(sidecar: &Sidecar, requests: &[u8]) -> String {
    let mut stream = TcpStream::connect(sidecar.addr())
        .await
        .expect("it listens");
    // Who is refused early may find the connection closed while he still writes.
    let _ = stream.write_all(requests).await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let read = tokio::time::timeout(std::time::Duration::from_secs(30), reading).await;
    assert!(read.is_ok(), "it neither answers nor closes");
    String::from_utf8_lossy(&answer).into_owned()
}
