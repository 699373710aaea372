//! The bare limit of the runtime: tokio reads until a blank line and writes fixed bytes. No HTTP is
//! parsed; nothing that speaks HTTP through tokio can be cheaper.

mod args;
#[path = "../object.rs"]
mod object;

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let Some(args) = args::Args::read() else {
        return Ok(());
    };
    let answer: Arc<[u8]> = answer(args.bytes).into();
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, answer.clone()));
    }
}

/// The same bytes as the hyper limit sends.
fn answer(bytes: usize) -> Vec<u8> {
    let mut head = String::from("HTTP/1.1 200 OK\r\n");
    for (name, value) in &object::hit_fields(bytes) {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    head += &format!("content-length: {bytes}\r\ndate: Mon, 05 Jan 2026 10:00:00 GMT\r\n\r\n");
    [head.as_bytes(), &object::body("1", 1, bytes)].concat()
}

/// One answer for each blank line read; a client of the benchmark does not pipeline.
async fn serve(mut stream: TcpStream, answer: Arc<[u8]>) -> io::Result<()> {
    let mut head = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            stream.write_all(&answer).await?;
        }
    }
}
