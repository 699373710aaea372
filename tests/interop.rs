//! Real programs on both sides: curl, nginx, HAProxy, Node, h2load, nghttp. `tests/run` installs them.

mod curl;
mod gateways;
mod http2;
mod nginx;
mod node;
mod process;
