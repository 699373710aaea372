//! Real programs on both sides: curl, nginx, Node, h2load, nghttp. `tests/run` installs them.

mod curl;
mod http2;
mod nginx;
mod node;
mod process;
