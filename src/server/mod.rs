//! Accepting clients, their limits, and the drain at the end.

mod client;
mod connection;
mod http2;
mod rarely;
mod transport;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::metrics::GaugeGuard;
use crate::proxy::Worker;
use crate::proxy::request::client::Life;
use client::Connection;

/// One worker's listener on `address`, beside those of its siblings (`SO_REUSEPORT`).
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// What all workers share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Places for connections; who finds none waits in the backlog.
    pub places: Arc<Semaphore>,
    /// Turns true when the drain begins.
    pub draining: watch::Receiver<bool>,
}

/// After the drain timeout, the longest wait for the purges of writes that it cut.
const LAST_PURGES: Duration = Duration::from_secs(2);

/// Serves clients until the drain, then waits for requests in flight, at most `drain_timeout`.
pub async fn serve(listener: TcpListener, worker: Arc<Worker>, shared: Shared) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    // Connections, writes and relays hold a sender; when all are gone, the receiver ends.
    let (alive, mut ended) = mpsc::channel::<()>(1);
    let (cut, cut_seen) = watch::channel(false);
    let life = Life {
        alive,
        draining: shared.draining.clone(),
        cut: cut_seen,
    };
    let mut draining = shared.draining.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => break,
            accepted = accept(&listener) => accepted,
        };
        // A place is taken after the accept: a worker that waits for clients must not hold one that a
        // sibling's client waits for.
        let place = tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => break,
            place = shared.places.clone().acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let (stream, peer) = accepted;
        let gauge = GaugeGuard::new(&worker.metrics.connections);
        let connection = Connection {
            worker: worker.clone(),
            peer: peer.ip(),
            hold: Arc::new((place, gauge, life.alive.clone())),
            life: life.clone(),
        };
        tokio::spawn(connection.serve(stream));
    }
    drop(listener);
    drop(life);
    let patience = worker.live.load().config.listen.drain_timeout;
    if tokio::time::timeout(patience, ended.recv()).await.is_err() {
        tracing::warn!(after = ?patience, "drain timeout: requests in flight are cut");
        // Writes whose answer is not there purge before they end.
        let _ = cut.send(true);
        let _ = tokio::time::timeout(LAST_PURGES, ended.recv()).await;
    }
    Ok(())
}

/// The next client. Survives the descriptor limit: who comes then waits in the backlog until something
/// closes (reliability.md R9).
async fn accept(listener: &tokio::net::TcpListener) -> (tokio::net::TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept; trying again");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
