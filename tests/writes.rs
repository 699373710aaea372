//! Writes as apps make them: lists of things, forms, and POSTs that are none.

mod by_get;
mod conditions;
mod forms;
mod kanban;
mod lists;
