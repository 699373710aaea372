//! What operators change at run time: what is switched, and which config is in force.

mod reload;
mod switchboard;
mod write_exchange;

pub use reload::{Reloader, RollbackError, RolledBack};
pub use switchboard::{Listing, SwitchError, Switchboard, Thrown};
pub use write_exchange::WriteExchange;
