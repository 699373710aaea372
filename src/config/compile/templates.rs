//! The templates of a rule, parsed where they stand so that an error names its own line.

use super::Input;
use crate::config::problem::Position;
use crate::config::read::Reader;
use crate::routes::template::Site;
use crate::routes::{Key, Template, matcher};

const EXAMPLE: &str = "write such as \"user:{path.id}\"";

/// Parses the templates of one rule.
pub(super) struct Templates {
    params: Vec<String>,
    jwt: bool,
    auth: bool,
    path_known: bool,
}

impl Templates {
    pub(super) fn new(input: &Input<'_>, path: Option<&str>) -> Templates {
        Templates {
            params: path.map_or(Vec::new(), matcher::param_names),
            jwt: input.document.table("jwt").is_some(),
            auth: input.document.table("auth").is_some(),
            path_known: path.is_some(),
        }
    }

    pub(super) fn parse_all(
        &mut self,
        reader: &mut Reader<'_>,
        key: &str,
        texts: &[(Position, String)],
        site: Site,
    ) -> Vec<Template> {
        texts
            .iter()
            .filter_map(|written| self.parse(reader, key, written, site))
            .collect()
    }

    pub(super) fn parse(
        &mut self,
        reader: &mut Reader<'_>,
        key: &str,
        (position, text): &(Position, String),
        site: Site,
    ) -> Option<Template> {
        // Without the path, its parameters would all seem unknown.
        if !self.path_known {
            return None;
        }
        match Template::parse(text, site, &self.params) {
            Ok(template) => {
                if template.reads_jwt() && !self.jwt {
                    let what = "{jwt.…} needs a way to verify tokens";
                    reader.reject_at(
                        position.clone(),
                        key,
                        what,
                        "add a [jwt] table with secret, public_key, jwks_file or jwks_url",
                    );
                }
                if template.reads_auth() && !self.auth {
                    let what = "{auth.…} needs a check that says who asks";
                    let remedy = "add an [auth] table with url, a path of the app such as \"/api/auth/session\"";
                    reader.reject_at(position.clone(), key, what, remedy);
                }
                let length = template.fixed_length();
                if matches!(site, Site::RouteKey | Site::KeyWithBody) && length > Key::MAX {
                    let what = format!(
                        "what is not in braces has {length} bytes, and keys of more than {} are never stored",
                        Key::MAX
                    );
                    reader.reject_at(position.clone(), key, what, "write a shorter one");
                }
                Some(template)
            }
            Err(error) => {
                let (what, remedy) = split_message(&error.to_string(), EXAMPLE);
                reader.reject_at(position.clone(), key, what, remedy);
                None
            }
        }
    }
}

/// What is wrong and what to write, if the message says both.
pub(super) fn split_message(message: &str, otherwise: &str) -> (String, String) {
    match message.split_once("; ") {
        Some((what, remedy)) => (what.to_owned(), remedy.to_owned()),
        None => (message.to_owned(), otherwise.to_owned()),
    }
}
