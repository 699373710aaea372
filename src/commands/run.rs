//! `pannier run`: the sidecar until a signal ends it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use notify::{RecursiveMode, Watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::logging;
use crate::app::App;
use crate::cli;
use crate::config::{Config, ConfigErrors, Env, Loaded};

/// Editors and Kubernetes write a file in several steps; one reload is enough.
const SETTLE: Duration = Duration::from_millis(200);

/// Runs until SIGTERM or SIGINT, reloading on SIGHUP and when the file changes.
pub fn run(args: &cli::Run) -> anyhow::Result<ExitCode> {
    // Before the file is loaded, so that no change falls between.
    let changes = args.config.as_deref().map(Changes::watch).transpose()?;
    let loaded = match load(args) {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprint!("{errors}");
            return Ok(ExitCode::FAILURE);
        }
    };
    logging::install(&loaded.config.log).context("[log] level")?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let app = App::start(loaded.config, args.config.clone())?;
    tracing::info!(proxy = %app.proxy_addr(), admin = %app.admin_addr(), "ready");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(until_stopped(&app, args, changes))?;
    tracing::info!("draining");
    app.shutdown();
    Ok(ExitCode::SUCCESS)
}

fn load(args: &cli::Run) -> Result<Loaded, ConfigErrors> {
    let env = Env::process();
    match (&args.config, &args.upstream) {
        (Some(file), _) => Config::load(file, &env),
        (None, Some(url)) => Config::for_upstream(url, &env),
        (None, None) => unreachable!("the command line demands one of them"),
    }
}

async fn until_stopped(app: &App, args: &cli::Run, changes: Option<Changes>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut changes = changes;
    loop {
        let changed = async {
            match &mut changes {
                Some(changes) => changes.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => reload(app, args),
            () = changed => reload(app, args),
        }
    }
}

/// The changes of one file.
struct Changes {
    file: PathBuf,
    /// What it said last, to tell its changes from those of its neighbours; `None`: not there.
    seen: Option<Vec<u8>>,
    events: mpsc::Receiver<()>,
    /// Ends the watch when dropped.
    _watcher: notify::RecommendedWatcher,
}

impl Changes {
    /// Watches the folder, since a file that is replaced is another file. Kubernetes swaps the link
    /// `..data` there; where the file is a link to elsewhere, that folder is watched as well.
    fn watch(file: &Path) -> anyhow::Result<Changes> {
        let (changed, events) = mpsc::channel(1);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if event.is_ok_and(|event| !event.kind.is_access()) {
                    let _ = changed.try_send(());
                }
            })?;
        let named = std::path::absolute(file)?;
        let folder = named.parent().context("the config file has no folder")?;
        // A folder that is not there is told when the file is loaded.
        let _ = watcher.watch(folder, RecursiveMode::NonRecursive);
        if let Some(target) = file.canonicalize().ok().as_deref().and_then(Path::parent)
            && target != folder
        {
            // It may go at the next swap; the folder above tells of that.
            let _ = watcher.watch(target, RecursiveMode::NonRecursive);
        }
        let seen = std::fs::read(&named).ok();
        Ok(Changes {
            file: named,
            seen,
            events,
            _watcher: watcher,
        })
    }

    /// Returns when the file says something else.
    async fn next(&mut self) {
        loop {
            if self.events.recv().await.is_none() {
                return std::future::pending().await;
            }
            tokio::time::sleep(SETTLE).await;
            while self.events.try_recv().is_ok() {}
            let now = std::fs::read(&self.file).ok();
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

/// A broken file is reported in full, and the old config stays.
fn reload(app: &App, args: &cli::Run) {
    match load(args) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                tracing::warn!("{warning}");
            }
            match app.reload(loaded.config) {
                Ok(waiting) if waiting.is_empty() => tracing::info!("config reloaded"),
                Ok(waiting) => {
                    tracing::warn!(restart_needed_for = ?waiting, "config reloaded in part")
                }
                Err(error) => return refused(app, &format!("{error:#}")),
            }
            app.count_reload(true);
        }
        Err(errors) => refused(app, &errors.to_string()),
    }
}

fn refused(app: &App, errors: &str) {
    app.count_reload(false);
    tracing::error!("config not reloaded, the old one stays:\n{errors}");
}
