//! The ways to a config: a file, a text, or the address of an app alone.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::Config;
use super::compile::{Input, compile};
use super::document::Document;
use super::env::Env;
use super::problem::{ConfigErrors, Position, Problems, Warning};

/// A config and what is unwise about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// What is legal but unwise, in file order.
    pub warnings: Vec<Warning>,
    /// What it takes from elsewhere than usual.
    pub notice: Option<String>,
    /// How much advice is not told, since the config acknowledges it.
    pub acknowledged: usize,
}

impl Config {
    /// Reads and checks a file; the error holds everything that is wrong with it.
    pub fn load(path: &Path, env: &Env) -> Result<Loaded, ConfigErrors> {
        let file = path.display().to_string();
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let what = format!("it cannot be read ({error})");
                let remedy = "give the path of a TOML file";
                return refuse(Position::whole(&file), what, remedy);
            }
        };
        match str::from_utf8(&bytes) {
            Ok(text) => Config::parse(text, &file, env),
            Err(error) => {
                let before = &bytes[..error.valid_up_to()];
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                let what = "this line is not UTF-8".to_owned();
                refuse(Position::line(&file, line), what, "save the file as UTF-8")
            }
        }
    }

    /// Checks a text; `file` is its name in messages, and relative paths start at its folder.
    pub fn parse(text: &str, file: &str, env: &Env) -> Result<Loaded, ConfigErrors> {
        let mut problems = Problems::default();
        let mut document = Document::parse(text, file, &mut problems);
        // Of a text that is not TOML nothing is known: what it lacks would only be noise.
        if document.is_broken() {
            return finish(None, problems, None);
        }
        document.override_from(env, &mut problems);
        let notice = document.adopt_usual_redis(env);
        let input = Input {
            document: &document,
            file,
            env,
        };
        let config = compile(input, &mut problems).map(|config| Config {
            hash: hash_of(text),
            ..config
        });
        finish(config, problems, notice)
    }

    /// The config without a file: everything is cached by its own header fields (RFC 9111). The
    /// environment overrides the rest as ever, but not the address.
    pub fn for_upstream(url: &str, env: &Env) -> Result<Loaded, ConfigErrors> {
        const OPTION: &str = "--upstream";
        let mut problems = Problems::default();
        let mut document = Document::default();
        document.set("defaults", "unmatched", "rfc9111", OPTION);
        document.override_from(env, &mut problems);
        document.set("upstream", "url", url, OPTION);
        let notice = document.adopt_usual_redis(env);
        let input = Input {
            document: &document,
            file: OPTION,
            env,
        };
        let config = compile(input, &mut problems).map(|config| Config {
            hash: hash_of(&format!("{OPTION} {url}")),
            ..config
        });
        finish(config, problems, notice)
    }
}

/// Of a file as a whole there is this to say, and nothing else.
fn refuse(position: Position, what: String, remedy: &str) -> Result<Loaded, ConfigErrors> {
    let mut problems = Problems::default();
    problems.error(position, "", what, remedy);
    finish(None, problems, None)
}

/// The first 48 bits of its SHA-256.
fn hash_of(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    let first = digest.iter().take(6);
    first.fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

fn finish(
    config: Option<Config>,
    problems: Problems,
    notice: Option<String>,
) -> Result<Loaded, ConfigErrors> {
    let acknowledged = problems.acknowledged();
    let warnings = problems.finish()?;
    let config = config.expect("a config is missing only after an error was reported");
    Ok(Loaded {
        config,
        warnings,
        notice,
        acknowledged,
    })
}
