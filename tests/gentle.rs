//! Gentle with the app: what no client waits for is bounded, stops when the app says so, and yields.

mod ahead;
mod background;
mod limit;
mod refetch;
