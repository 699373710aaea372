//! Who asks: a connection as the requests on it see it.

use std::net::IpAddr;
use std::sync::Arc;

use http::Version;
use http::request::Parts;

use crate::body::Droppable;
use crate::drain::Drain;
use crate::proxy::interim::{Interims, Turn};

/// Who asks.
#[derive(Debug)]
pub struct Client {
    /// Its address.
    pub peer: IpAddr,
    /// Whether its connection to Pannier is TLS.
    pub secure: bool,
    /// What its connection occupies; a relay after an upgrade keeps it.
    pub connection_guard: Arc<dyn Droppable>,
    /// Ties a write to the server's drain.
    pub drain: Drain,
    /// Takes interim answers; `None` in HTTP/2.
    pub interims: Option<Interims>,
}

impl Client {
    /// The request's turn to be sent interim answers; `None` where the client takes none: HTTP/1.0 knows
    /// no interim answers (RFC 9110 §15.2).
    pub(in crate::proxy) fn interim_turn(&self, request: &Parts) -> Option<Turn<'_>> {
        let interims = self.interims.as_ref();
        let takes_them = interims.filter(|_| request.version == Version::HTTP_11);
        takes_them.map(Interims::begin)
    }
}
