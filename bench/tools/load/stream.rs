//! One long body, read as fast as it comes and thrown away.

use clap::Args;
use pannier::clock::monotonic;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Target;

/// One long body.
#[derive(Debug, Args)]
pub(crate) struct Stream {
    #[arg(long)]
    to: Target,
    /// Its length.
    #[arg(long)]
    bytes: u64,
}

impl Stream {
    pub(crate) async fn run(self) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.to).await?;
        let begun = monotonic();
        let request = format!(
            "GET /stream/{} HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n",
            self.bytes
        );
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = vec![0; 256 << 10];
        let mut read = 0;
        loop {
            match stream.read(&mut buffer).await? {
                0 => break,
                count => read += count as u64,
            }
        }
        anyhow::ensure!(read >= self.bytes, "only {read} bytes came");
        let seconds = monotonic().duration_since(begun).as_secs_f64();
        Ok(format!("{{\"bytes\":{read},\"seconds\":{seconds:.6}}}"))
    }
}
