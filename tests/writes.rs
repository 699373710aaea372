//! Writes as apps make them: lists of things.

mod conditions;
mod lists;
