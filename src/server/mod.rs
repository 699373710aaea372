//! Accepting clients, their limits, and the drain at the end.

mod client;
mod connection;
mod cut;
mod http2;
mod idle;
mod linger;
mod poll_on_news;
mod proxy_protocol;
mod targets;
mod transport;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::drain::Drain;
use crate::metrics::GaugeGuard;
use crate::proxy::Worker;
use crate::turns::Turns;
use client::Connection;
use idle::Connections;
pub use linger::limit_lingering;

/// After that, another connection is asked to make room: the one before may have stayed.
const NEXT: Duration = Duration::from_millis(50);

/// The first worker's listener on `address`; fails if anybody listens there, be it another sidecar.
pub fn listen_alone(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = new_socket(address)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    // Only now may the siblings come: with it from the start a second sidecar would share the clients, each under a
    // config of its own.
    socket.set_reuse_port(true)?;
    Ok(socket.into())
}

/// A further worker's listener on `address`, beside those of its siblings (`SO_REUSEPORT`).
pub fn listen_beside(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = new_socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

const BACKLOG: i32 = 4096;

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What all workers share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// One permit a connection.
    permits: Arc<Semaphore>,
    connections: Arc<Connections>,
    /// Cancelled when the workers are to stop accepting and drain.
    stop: CancellationToken,
}

impl Shared {
    /// For workers that serve `max_connections` clients between them until `stop` is cancelled.
    pub fn new(max_connections: usize, stop: CancellationToken) -> Shared {
        Shared {
            permits: Arc::new(Semaphore::new(max_connections)),
            connections: Arc::default(),
            stop,
        }
    }

    /// A permit for one connection. Where there is none, the connection that has been idle longest makes room;
    /// if all are busy, the new client waits.
    async fn find_room(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(permit) = self.permits.clone().try_acquire_owned() {
                return permit;
            }
            self.connections.ask_idlest_to_leave();
            let freed = self.permits.clone().acquire_owned();
            if let Ok(Ok(permit)) = tokio::time::timeout(NEXT, freed).await {
                return permit;
            }
        }
    }
}

/// Clients that a worker accepts in one turn of its runtime. They do not wait behind streams of those that it has.
const ACCEPTED_IN_A_TURN: usize = 8;

/// Serves clients until the drain, then waits for requests in flight, at most `drain_timeout`.
pub async fn serve(listener: TcpListener, worker: Arc<Worker>, shared: Shared) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let drain = Drain::default();
    let accepts = Turns::new(ACCEPTED_IN_A_TURN);
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        // The permit is taken after the accept: a worker that waits for clients must not hold one that a
        // sibling's client waits for.
        let permit = tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            permit = shared.find_room() => permit,
        };
        // The rest of a crowd waits in the backlog.
        accepts.next().await;
        let (stream, peer) = accepted;
        let gauge = GaugeGuard::new(&worker.metrics.connections);
        let connection = Connection {
            worker: worker.clone(),
            // A client of IPv4 has an address of IPv6 where the listener has one.
            peer: peer.ip().to_canonical(),
            connection_guard: Arc::new((permit, gauge, drain.guard())),
            drain: drain.clone(),
            listing: shared.connections.list(),
        };
        tokio::spawn(connection.serve(stream));
    }
    drop(listener);
    let limit = worker.live.load().config.listen.drain_timeout;
    drain.finish(limit).await;
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
