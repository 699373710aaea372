//! What operators are told, and told of: the fleet, alerts, an interface under TLS.

mod fleet;
mod tls;
mod webhook;
