//! Writes as apps make them: lists of things, forms, and POSTs that are none.

mod conditions;
mod forms;
mod kanban;
mod lists;
