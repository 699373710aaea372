//! Where what is stored is learnt from: the running sidecar, else Redis, else nobody.

use std::time::Duration;

use http::Method;
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::admin::explain::{self, Account, HeldAccount, Planned, Tier, Wanted};
use crate::cli;
use crate::clock::{self, Clock};
use crate::commands::admin_address::AdminAddress;
use crate::commands::ask_sidecar::{self, Question};
use crate::metrics::Metrics;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::{self, Plan};
use crate::store::Store;

/// The longest wait for a connection to Redis.
const REDIS_TIMEOUT: Duration = Duration::from_secs(3);

/// How often it is looked for.
const REDIS_POLL: Duration = Duration::from_millis(20);

/// What was learnt.
#[derive(Debug, Default, Serialize)]
pub(super) struct StoredReport {
    /// Who was asked in vain, and what is amiss.
    pub(super) notes: Vec<String>,
    /// Who knew.
    pub(super) told_by: Option<String>,
    /// What it holds.
    pub(super) held: Option<HeldAccount>,
}

/// What is stored for the request; `None` if nobody is to be asked, or it is no read.
pub(super) fn look_up(
    args: &cli::Explain,
    wanted: &Wanted,
    asked: &RequestContext,
) -> anyhow::Result<Option<StoredReport>> {
    let method = &asked.parts.method;
    let is_get = method == Method::GET || method == Method::HEAD;
    let is_read = is_get || matches!(plan::plan(asked), Plan::Cache(_) | Plan::Shadow(_));
    if args.offline || !is_read {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut found = StoredReport::default();
    let config = &asked.live.config;
    let admin = match &args.admin {
        Some(url) => AdminAddress::parse(url)?,
        None => AdminAddress::of(config)?,
    };
    let token = config.admin.token.as_deref();
    let question = Question {
        method: Method::POST,
        path: "/explain",
        token,
        body: serde_json::to_vec(wanted)?,
    };
    match runtime.block_on(ask_sidecar::ask(&admin, question)) {
        Ok(account) => found.take(account, &admin.url(), asked),
        Err(error) => {
            let note = format!("the sidecar at {} was asked in vain: {error}", admin.url());
            found.notes.push(note);
            found.read_redis(&runtime, asked);
        }
    }
    Ok(Some(found))
}

impl StoredReport {
    /// What a running sidecar says, and where its config shows to be another.
    fn take(&mut self, account: Account, admin: &str, asked: &RequestContext) {
        let here = Planned::of(asked, &plan::plan(asked));
        // What the sidecar knows of whoever asks is no difference of the configs.
        let wants = plan::find_wanting(asked, &plan::plan(asked)).is_some();
        let differences = here.differences(&account.plan).into_iter();
        let of_config = |what: &str| !(wants && matches!(what, "key" | "selects" | "reason"));
        for (what, here, there) in differences.filter(|(what, ..)| of_config(what)) {
            self.notes.push(format!(
                "the running sidecar has another config: {what} is {there} there, {here} by the file"
            ));
        }
        if let (None, Some(reason)) = (&account.held, &account.plan.reason) {
            self.notes
                .push(format!("it is not looked up there: {reason}"));
        }
        self.told_by = Some(format!("the running sidecar at {admin}"));
        self.held = account.held;
    }

    /// What Redis holds, read by this process; what a sidecar's memory holds stays unknown.
    fn read_redis(&mut self, runtime: &Runtime, asked: &RequestContext) {
        if !matches!(plan::plan(asked), Plan::Cache(_) | Plan::Shadow(_)) {
            return;
        }
        if asked.live.config.redis.is_none() {
            let note = "and there is no [redis] to look into, so what is stored is not known";
            self.notes.push(note.to_owned());
            return;
        }
        let held = runtime.block_on(look_up_in_redis(asked));
        match held.filter(|held| held.redis != Tier::Unreachable) {
            Some(held) => {
                self.told_by = Some("Redis itself; no sidecar's memory was looked into".to_owned());
                self.held = Some(held);
            }
            None => {
                let note = format!(
                    "and Redis does not answer within {} s, so what is stored is not known",
                    REDIS_TIMEOUT.as_secs()
                );
                self.notes.push(note);
            }
        }
    }
}

/// Reads through a store of this process's own, as a sidecar without a memory tier would.
async fn look_up_in_redis(asked: &RequestContext) -> Option<HeldAccount> {
    let mut config = asked.live.config.clone();
    config.memory.max = 0;
    let metrics = std::sync::Arc::new(Metrics::new());
    let store = Store::new(&config, Clock::default(), metrics).attach_silently();
    let started = clock::monotonic();
    let held = loop {
        let held = explain::explain(asked, &store).await.held;
        let reached = held
            .as_ref()
            .is_none_or(|held| held.redis != Tier::Unreachable);
        if reached || clock::monotonic().duration_since(started) >= REDIS_TIMEOUT {
            break held;
        }
        tokio::time::sleep(REDIS_POLL).await;
    };
    store.close().await;
    held
}
