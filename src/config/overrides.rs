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

/// A warning, not an error: other tools may own such variables.
fn warn_of_unknown_variables(env: &Env, problems: &mut Problems) {
    let known: Vec<String> = overrides().map(|(_, _, name)| name).collect();
    for name in env.names() {
        if known.iter().any(|known| known == name) || is_of_kubernetes(name, env.get(name)) {
            continue;
        }
        let near = match is_of_a_section(name) {
            true => did_you_mean(name, known.iter().map(String::as_str)).map(str::to_owned),
            false => match of_another_section(name, &known) {
                Some(near) => Some(near),
                None => continue,
            },
        };
        let remedy = match near {
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

fn is_of_a_section(name: &str) -> bool {
    SECTIONS
        .iter()
        .any(|section| !section.repeated && name.starts_with(&name_variable(section, "")))
}

/// The variable that is meant where the table is misspelt, as in `PANNIER_LISTN_PROXY`.
fn of_another_section(name: &str, known: &[String]) -> Option<String> {
    let (section, key) = name.strip_prefix("PANNIER_")?.split_once('_')?;
    let sections = SECTIONS.iter().filter(|section| !section.repeated);
    let near = did_you_mean(section, sections.map(|section| section.name))?;
    let meant = format!("PANNIER_{}_{key}", near.to_uppercase());
    known.contains(&meant).then_some(meant)
}

/// What Kubernetes sets in every container for a service named `pannier` or `pannier-admin`:
/// `…_SERVICE_HOST`, `…_SERVICE_PORT`, `…_SERVICE_PORT_HTTP`, `…_PORT` (a URL), `…_PORT_8080_TCP`,
/// `…_PORT_8080_TCP_ADDR`.
fn is_of_kubernetes(name: &str, value: Option<&str>) -> bool {
    let is_url = value.is_some_and(|value| value.contains("://"));
    if name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT") && is_url
    {
        return true;
    }
    let Some((_, port)) = name.rsplit_once("_PORT_") else {
        return false;
    };
    let mut words = port.split('_');
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    words.next().is_some_and(is_number)
        && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
        && matches!(words.next(), None | Some("PROTO" | "PORT" | "ADDR"))
        && words.next().is_none()
}
