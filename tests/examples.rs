//! The shipped configs, each in front of an example of the app it is written for.

mod app;
mod deployment;
mod desk;
mod kanban;
mod portal;
mod starters;
mod table;

/// The text of `config/<name>.toml`.
fn shipped(name: &str) -> String {
    let path = format!("{}/config/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
