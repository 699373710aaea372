//! The `[[group]]` tables: which routes they hold, and what those inherit.

use super::Input;
use super::settings::read_settings;
use super::templates::split_message;
use super::words::read_path;
use crate::config::document::Table;
use crate::config::fields::section;
use crate::config::problem::{Position, Problems};
use crate::config::read::{Inherited, Reader};
use crate::routes::PathGroup;

const EXAMPLE_PATH: &str = "write such as \"/api/{*rest}\"";

/// All groups, each before those that hold its paths too.
pub(super) struct Groups<'a> {
    groups: Vec<Group<'a>>,
    defaults: Option<&'a Table>,
}

struct Group<'a> {
    path: String,
    paths: PathGroup,
    table: &'a Table,
    position: Position,
}

impl<'a> Groups<'a> {
    /// Those of the file, checked.
    pub(super) fn read(input: &Input<'a>, problems: &mut Problems) -> Groups<'a> {
        let mut groups = Groups {
            groups: Vec::new(),
            defaults: input.document.table("defaults"),
        };
        for table in input.document.list("group") {
            let beneath = groups.defaults();
            let mut reader = input
                .rule_reader("group", table, problems)
                .inheriting(beneath);
            // Whatever routes there are, its errors are found.
            read_settings(&mut reader);
            if let Some((path, paths)) = read_paths(&mut reader, &groups) {
                let position = reader.position("path");
                groups.insert(Group {
                    path,
                    paths,
                    table,
                    position,
                });
            }
        }
        groups
    }

    /// What the route of this path inherits, the nearest first.
    pub(super) fn above(&self, path: &str) -> Vec<Inherited<'a>> {
        let groups = self.groups.iter().filter(|group| group.paths.holds(path));
        let inherited = groups.map(|group| Inherited {
            section: section("group").expect("there are groups"),
            table: group.table,
            name: format!("[[group]] {}", group.path),
        });
        inherited.chain(self.defaults()).collect()
    }

    /// Warns of groups without routes, which are misspelt or left over.
    pub(super) fn warn_of_empty<'r>(
        &self,
        routes: impl Iterator<Item = &'r str> + Clone,
        problems: &mut Problems,
    ) {
        for group in &self.groups {
            if !routes.clone().any(|path| group.paths.holds(path)) {
                problems.warning(
                    group.position.clone(),
                    "group.path",
                    format!(
                        "no route lies below {}, so that it changes nothing",
                        group.path
                    ),
                    "compare it with the paths of the routes; {*rest} stands for all below",
                );
            }
        }
    }

    fn defaults(&self) -> Vec<Inherited<'a>> {
        let table = self.defaults.map(|table| Inherited {
            section: section("defaults").expect("there are defaults"),
            table,
            name: "[defaults]".to_owned(),
        });
        table.into_iter().collect()
    }

    fn insert(&mut self, group: Group<'a>) {
        let wider = |other: &Group<'_>| group.paths.is_within(&other.paths);
        let place = self.groups.iter().position(wider);
        self.groups
            .insert(place.unwrap_or(self.groups.len()), group);
    }
}

fn read_paths(reader: &mut Reader<'_>, earlier: &Groups<'_>) -> Option<(String, PathGroup)> {
    let path = read_path(reader, EXAMPLE_PATH)?;
    let paths = match PathGroup::parse(&path) {
        Ok(paths) => paths,
        Err(error) => {
            let (what, remedy) = split_message(&error.to_string(), EXAMPLE_PATH);
            reader.reject("path", what, remedy);
            return None;
        }
    };
    let same = |other: &&Group<'_>| paths.is_within(&other.paths) && other.paths.is_within(&paths);
    if let Some(other) = earlier.groups.iter().find(same) {
        let what = format!("{} has the same routes", other.path);
        reader.reject("path", what, "make one group of both");
        return None;
    }
    Some((path, paths))
}
