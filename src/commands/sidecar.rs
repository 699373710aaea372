//! The running sidecar that a command speaks to: where its admin interface is, and the token.

use anyhow::bail;
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
    token: Option<String>,
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
        let token = match config {
            Some(config) => config.admin.token,
            None => env.get("PANNIER_ADMIN_TOKEN").map(str::to_owned),
        };
        Ok(Sidecar { admin, token })
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
        let question = Question {
            method,
            path,
            token: self.token.as_deref(),
            body,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        match runtime.block_on(ask_sidecar::ask(&self.admin, question)) {
            Ok(answer) => Ok(answer),
            Err(error) => bail!("the sidecar at {}: {error}", self.admin.url()),
        }
    }
}
