//! The running sidecar that a command speaks to: where its admin interface is, and the tokens.

use anyhow::Context;
use http::Method;
use serde_json::Value;

use super::admin_address::AdminAddress;
use super::ask_sidecar::{self, Question};
use crate::cli;
use crate::config::{Config, Env};

/// The admin interface where nothing says another.
const USUAL_ADMIN: &str = "127.0.0.1:9180";

/// One sidecar.
#[derive(Debug)]
pub(super) struct Sidecar {
    admin: AdminAddress,
    /// For what acts, and for what only reads.
    token: Option<String>,
    read_token: Option<String>,
}

impl Sidecar {
    /// The one that `args` name: by the file that it runs with, or by address.
    pub(super) fn find(args: &cli::Sidecar, env: &Env) -> anyhow::Result<Sidecar> {
        let config = match &args.config {
            Some(file) => Some(Config::load(file, env)?.config),
            None => None,
        };
        let admin = match (&args.admin, &config) {
            (Some(url), _) => AdminAddress::parse(url)?,
            (None, Some(config)) => AdminAddress::of(config)?,
            (None, None) => AdminAddress::parse(USUAL_ADMIN)?,
        };
        let (token, read_token) = match config {
            Some(config) => (config.admin.token, config.admin.read_token),
            None => {
                let named = |name| env.get(name).map(str::to_owned);
                let tokens = ["PANNIER_ADMIN_TOKEN", "PANNIER_ADMIN_READ_TOKEN"].map(named);
                tokens.into()
            }
        };
        Ok(Sidecar {
            admin,
            token,
            read_token,
        })
    }

    /// What it answers to a GET.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, Vec::new())
    }

    /// What it answers to a DELETE.
    pub(super) fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::DELETE, path, Vec::new())
    }

    /// What it answers to a POST with this JSON.
    pub(super) fn post(&self, path: &str, body: Vec<u8>) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, body)
    }

    fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Value> {
        // Who may act may see as well.
        let of_readers = self.read_token.as_deref().filter(|_| method == Method::GET);
        let question = Question {
            token: self.token.as_deref().or(of_readers),
            method,
            path,
            body,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let answer = runtime.block_on(ask_sidecar::ask(&self.admin, question));
        answer.with_context(|| format!("the sidecar at {}", self.admin.url()))
    }
}
