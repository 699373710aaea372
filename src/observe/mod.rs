//! What fills show of the rules: how long answers stay the same, what of a request changes them, which are never read;
//! and what of the config that speaks for. Bounded, aged, values in and values out.

mod advice;
mod contrast;
mod hot_keys;
mod observations;
mod read_marks;
mod report;

pub use advice::{Edit, EditValue, RuleFacts, Suggestion, show_bytes, suggest};
pub use contrast::{Contrast, FieldTally};
pub use hot_keys::{HotKey, HotKeys, HotRequest, hottest};
pub use observations::{FillSeen, Observations, Target, Unknown};
pub use read_marks::ReadMarks;
pub use report::{Report, RuleReport};
