//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// A caching reverse-proxy sidecar: slow GETs become Redis hits, writes purge what they made stale.
#[derive(Debug, Parser)]
#[command(name = "pannier", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the sidecar.
    Run(Run),
    /// Check a config file: every error with its line, and what is legal but unwise.
    Check {
        /// The TOML file.
        file: PathBuf,
        /// Try the app and Redis as well, and say what is wrong with them, missing rights included.
        #[arg(long)]
        connect: bool,
    },
    /// Say what would happen to a request, and why: rule, key, purges, and what is stored for it.
    Explain(Explain),
    /// Switch the cache off, to shadow or on at run time, over the whole fleet; without a mode, list what differs from
    /// the file.
    Switch(Switch),
    /// Show what is fetched without a client, when, and how it went; run a job, or cancel a run.
    Jobs(Jobs),
    /// Show how a running sidecar is, on one screen; exits with 0 if it is healthy, 1 for a warning, 2 if it is down or
    /// does not answer, 3 if nobody could be asked.
    Status(Status),
    /// Show the same again every two seconds.
    Top(Top),
    /// Remove from both tiers what keys, patterns and tags name.
    Purge(Purge),
    /// Print the thresholds of a config's [alerts] as alerting rules for Prometheus.
    Alerts {
        /// The TOML file.
        file: PathBuf,
    },
    /// Say what running sidecars have seen of each route, and what of the file to change for it.
    Tune(Tune),
    /// Print the JSON Schema of the config file, for editors.
    Schema,
    /// Show Pannier at work before an example kanban API: a miss, a hit, a write, a miss.
    Demo {
        /// Exit after the four requests.
        #[arg(long)]
        once: bool,
    },
    /// Ask a running sidecar whether it is alive (for container health checks).
    Healthcheck {
        /// The TOML file it runs with, whose [listen] admin is asked.
        #[arg(short, long, value_name = "FILE", conflicts_with = "admin")]
        config: Option<PathBuf>,
        /// Its admin interface: HOST:PORT or http://HOST:PORT.
        #[arg(long, value_name = "URL", default_value = "127.0.0.1:9180")]
        admin: String,
    },
}

/// `pannier run`
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["config", "upstream"])))]
pub struct Run {
    /// The TOML file.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Cache this app by its own header fields (RFC 9111), with no file at all.
    #[arg(short, long, value_name = "URL")]
    pub upstream: Option<String>,
}

/// `pannier tune`
#[derive(Debug, clap::Args)]
pub struct Tune {
    /// The TOML file that the sidecars run with.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// The admin interface of each sidecar, HOST:PORT or http://HOST:PORT; may be repeated. The config's if left out.
    #[arg(long, value_name = "URL")]
    pub admin: Vec<String>,
    /// Change the file in place; its comments stay. Not what has requests share an answer that have one each now.
    #[arg(long)]
    pub write: bool,
    /// With --write, write ignore_query as well: read first which fields it names.
    #[arg(long, requires = "write")]
    pub ignore_query: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `pannier switch`
#[derive(Debug, clap::Args)]
pub struct Switch {
    /// off, shadow or on; file: what the file says holds again.
    #[arg(value_name = "MODE", value_parser = ["off", "shadow", "on", "file"])]
    pub mode: Option<String>,
    /// This rule alone; without it everything.
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,
    /// The share of the rule's keys, 1 to 100.
    #[arg(long, value_name = "N", requires = "rule")]
    pub percent: Option<u64>,
    /// For how long, such as 30m; then the file holds again.
    #[arg(long = "for", value_name = "TIME")]
    pub lasting: Option<String>,
    /// Why; it is logged and listed.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Which sidecar.
    #[command(flatten)]
    pub sidecar: Sidecar,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `pannier jobs`
#[derive(Debug, clap::Args)]
pub struct Jobs {
    /// What is to be done; without it the jobs are listed.
    #[command(subcommand)]
    pub order: Option<JobOrder>,
    /// Which sidecar.
    #[command(flatten)]
    pub sidecar: Sidecar,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

/// `pannier jobs run`, `pannier jobs cancel`
#[derive(Debug, Subcommand)]
pub enum JobOrder {
    /// Run a job now, and show how far it is until it is over.
    Run {
        /// The job.
        name: String,
        /// Do not wait for its end.
        #[arg(long)]
        detach: bool,
    },
    /// End a run, whichever sidecar has it.
    Cancel {
        /// Its id, as the list shows it.
        id: String,
    },
}

/// The running sidecar that a command speaks to.
#[derive(Debug, clap::Args)]
pub struct Sidecar {
    /// The TOML file that the sidecar runs with: where its admin interface is, and the token.
    #[arg(short, long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Its admin interface, HOST:PORT or http://HOST:PORT; the config's, or 127.0.0.1:9180. The token is the config's,
    /// or that of PANNIER_ADMIN_TOKEN.
    #[arg(long, value_name = "URL", global = true)]
    pub admin: Option<String>,
}

/// `pannier status`
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Which sidecar.
    #[command(flatten)]
    pub sidecar: Sidecar,
    /// All sidecars of the [redis] namespace, too: a line each, and their sums.
    #[arg(long)]
    pub fleet: bool,
    /// Print JSON: all that GET /stats answers.
    #[arg(long)]
    pub json: bool,
}

/// `pannier top`
#[derive(Debug, clap::Args)]
pub struct Top {
    /// Which sidecar.
    #[command(flatten)]
    pub sidecar: Sidecar,
    /// End after so many screens.
    #[arg(short = 'n', long, value_name = "N")]
    pub times: Option<u64>,
}

/// `pannier purge`
#[derive(Debug, clap::Args)]
pub struct Purge {
    /// A key; may be repeated.
    #[arg(long = "key", value_name = "KEY")]
    pub keys: Vec<String>,
    /// A pattern of keys, such as 'board:7:*'; may be repeated.
    #[arg(long = "pattern", value_name = "PATTERN")]
    pub patterns: Vec<String>,
    /// A tag, or a pattern of tags; may be repeated.
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// All that is stored, of every sidecar of this Redis and namespace.
    #[arg(long)]
    pub everything: bool,
    /// Make it stale and leave it to be served while it is renewed, where its route allows.
    #[arg(long)]
    pub soft: bool,
    /// Which sidecar.
    #[command(flatten)]
    pub sidecar: Sidecar,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `pannier explain`
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The TOML file.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// `[METHOD] URL`: a path with query, or a whole URL; without a method a GET.
    #[arg(value_name = "URL", num_args = 1..=2, required_unless_present = "from_curl")]
    pub request: Vec<String>,
    /// The request of a browser's "Copy as cURL (bash)": the whole command, in quotes. It is not run.
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["request", "method"])]
    pub from_curl: Option<String>,
    /// The method, in place of the one before the URL.
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub method: Option<String>,
    /// A header field, `Name: value`; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub headers: Vec<String>,
    /// The request's JSON body.
    #[arg(long, value_name = "JSON")]
    pub body: Option<String>,
    /// The answer's JSON body, for templates that read it.
    #[arg(long, value_name = "JSON")]
    pub response: Option<String>,
    /// A header field of an answer: says whether it would be stored, and for how long; may be repeated.
    #[arg(short = 'R', long = "response-header", value_name = "FIELD")]
    pub response_headers: Vec<String>,
    /// The status of that answer; 200 if -R is there alone.
    #[arg(long, value_name = "STATUS")]
    pub status: Option<u16>,
    /// The admin interface to ask what is stored, HOST:PORT or http://HOST:PORT; the config's if left out.
    #[arg(long, value_name = "URL", conflicts_with = "offline")]
    pub admin: Option<String>,
    /// Ask nobody what is stored.
    #[arg(long)]
    pub offline: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
