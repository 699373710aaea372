//! The tables made into a valid [`Config`]; every error found, not only the first.

mod advice;
mod auth;
mod gateways;
mod groups;
mod jwt;
mod machine;
mod mistakes;
mod names;
mod readable;
mod reads;
mod redis;
mod remote_url;
mod rules;
mod settings;
mod tables;
mod templates;
mod tls;
mod upstream;
mod warm;
mod words;

use std::path::{Path, PathBuf};

use http::Method;

use super::Config;
use super::document::{Document, Table};
use super::env::Env;
use super::problem::{Position, Problems};
use super::read::Reader;
use crate::rollout::Mode;
use crate::routes::RouteMatcher;

/// What is being compiled.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) document: &'a Document,
    pub(super) file: &'a str,
    pub(super) env: &'a Env,
}

impl<'a> Input<'a> {
    fn reader<'r>(&self, table: &str, problems: &'r mut Problems) -> Reader<'r>
    where
        'a: 'r,
    {
        Reader::new(
            table,
            self.document.table(table),
            self.file,
            self.env,
            problems,
        )
    }

    /// Of one `[[route]]`, `[[group]]`, `[[purge]]` or `[[warm]]`.
    fn rule_reader<'r>(
        &self,
        section: &str,
        table: &'r Table,
        problems: &'r mut Problems,
    ) -> Reader<'r>
    where
        'a: 'r,
    {
        Reader::new(section, Some(table), self.file, self.env, problems)
    }

    /// The config file.
    fn file(&self) -> &'a Path {
        Path::new(self.file)
    }

    /// A path of the config: relative ones start at the config file's folder.
    fn path(&self, path: &str) -> PathBuf {
        let folder = Path::new(self.file).parent().unwrap_or(Path::new(""));
        folder.join(path)
    }
}

/// `PANNIER_MODE`, for a whole process and against everything else.
fn read_ceiling(env: &Env, problems: &mut Problems) -> Mode {
    const NAME: &str = "PANNIER_MODE";
    let Some(word) = env.get(NAME).filter(|word| !word.is_empty()) else {
        return Mode::On;
    };
    Mode::parse(word).unwrap_or_else(|| {
        let remedy = "write off, shadow or on, or unset it";
        let what = format!("\"{word}\" is no mode");
        problems.error(Position::whole(NAME), "", what, remedy);
        Mode::Off
    })
}

/// The config, unless `problems` holds errors afterwards.
pub(super) fn compile(input: Input<'_>, problems: &mut Problems) -> Option<Config> {
    let listen = tables::read_listen(&input, problems);
    let upstream = upstream::read_upstream(&input, &listen, problems);
    let redis = redis::read_redis(&input, problems);
    let budget = tables::read_budget(&mut input.reader("budget", problems));
    let memory = tables::read_memory(&mut input.reader("memory", problems));
    let jwt = jwt::read_jwt(&input, problems);
    let defaults = tables::read_defaults(&mut input.reader("defaults", problems), jwt.as_ref());
    let mut auth = auth::read_auth(&input, &defaults, problems);
    let checked = auth::checked_credentials(auth.as_ref());
    let admin = tables::read_admin(&input, &listen, problems);
    let alerts = tables::read_alerts(&input, problems);
    let log = tables::read_log(&mut input.reader("log", problems));
    let jobs = warm::read_jobs(&mut input.reader("jobs", problems));
    let warms = warm::read_warms(&input, &listen, upstream.as_ref(), &defaults, problems);
    let paths = upstream.as_ref().map(|upstream| upstream.paths.clone());
    let matcher = RouteMatcher::of(&paths.unwrap_or_default());
    let (routes, matcher) = rules::read_routes(&input, &defaults, &checked, matcher, problems);
    let purges = rules::read_purges(&input, upstream.as_ref(), problems);
    if let Some(auth) = &mut auth {
        auth.names = auth::names_read(&routes, &purges);
    }
    let room = advice::BodyRoom::new(&memory, &budget, redis.as_ref());
    advice::advise(&input, &defaults, &routes, &purges, &room, &admin, problems);
    mistakes::warn_of_mistakes(&input, &memory, &purges, problems);
    warm::compare_with_rules(&warms, &routes, &matcher, &defaults, problems);
    let ceiling = read_ceiling(input.env, problems);
    let config = Config {
        ceiling,
        listen,
        upstream: upstream?,
        redis,
        budget,
        memory,
        defaults,
        jwt,
        auth,
        admin,
        alerts,
        hash: 0,
        log,
        jobs,
        warms: warms.into_iter().map(|written| written.warm).collect(),
        routes: routes.into_iter().map(|written| written.rule).collect(),
        matcher,
        has_purges_of_reads: purges
            .iter()
            .any(|written| written.rule.is_for(&Method::HEAD)),
        purges: purges.into_iter().map(|written| written.rule).collect(),
    };
    (problems.errors() == 0).then_some(config)
}
