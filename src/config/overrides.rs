//! `PANNIER_<SECTION>_<KEY>`: the environment laid over the file.

use super::document::Document;
use super::env::Env;
use super::fields::{Field, SECTIONS, Section};
use super::problem::{Position, Problems, did_you_mean};

impl Document {
    /// Lays `PANNIER_<SECTION>_<KEY>` over the file. An empty variable counts as not set: that is how
    /// compose files and charts spell "no value".
    pub(super) fn override_from(&mut self, env: &Env, problems: &mut Problems) {
        let mut unused = Vec::new();
        for (section, field, name) in overrides() {
            let Some(value) = env.get(&name).filter(|value| !value.is_empty()) else {
                continue;
            };
            let optional = !section.created_by.is_empty();
            let exists = self.has(section.name) || is_created_by(section, env);
            if optional && !exists {
                unused.push((section, name));
            } else {
                self.set(section.name, field.key, value, &name);
            }
        }
        for (section, name) in unused {
            let table = section.name;
            let creator = name_variable(section, section.created_by[0]);
            let what = format!("it changes nothing, as there is no [{table}] table");
            let remedy = format!("add [{table}] or set {creator}");
            problems.warning(Position::whole(&name), "", what, remedy);
        }
        warn_of_unknown_variables(env, problems);
    }
}

/// Every field that a variable overrides, and the variable.
pub(super) fn overrides() -> impl Iterator<Item = (&'static Section, &'static Field, String)> {
    SECTIONS
        .iter()
        .filter(|section| !section.repeated)
        .flat_map(|section| {
            let named =
                move |field: &'static Field| (section, field, name_variable(section, field.key));
            section.fields().map(named)
        })
}

fn name_variable(section: &Section, key: &str) -> String {
    format!("PANNIER_{}_{key}", section.name).to_uppercase()
}

/// Whether the environment sets a key that calls the table into being.
fn is_created_by(section: &Section, env: &Env) -> bool {
    section.created_by.iter().any(|key| {
        let value = env.get(&name_variable(section, key));
        value.is_some_and(|value| !value.is_empty())
    })
}

/// A warning, not an error: other tools may own such variables, as Kubernetes does with
/// `PANNIER_ADMIN_PORT` for a service named `pannier-admin`.
fn warn_of_unknown_variables(env: &Env, problems: &mut Problems) {
    let known: Vec<String> = overrides().map(|(_, _, name)| name).collect();
    for name in env.names() {
        let of_a_section = SECTIONS
            .iter()
            .any(|section| !section.repeated && name.starts_with(&name_variable(section, "")));
        if !of_a_section || known.iter().any(|known| known == name) {
            continue;
        }
        let remedy = match did_you_mean(name, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => "unset it if it is meant for Pannier".to_owned(),
        };
        problems.warning(
            Position::whole(name),
            "",
            "no key of the config has this variable",
            remedy,
        );
    }
}
