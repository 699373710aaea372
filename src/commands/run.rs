//! `pannier run`: the sidecar until a signal ends it.

mod changes;

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::logging::{self, Logging};
use crate::app::App;
use crate::cli;
use crate::config::{Config, ConfigErrors, Env, Loaded};
use changes::Changes;

/// Runs until SIGTERM or SIGINT, reloading on SIGHUP and when the file, or the certificate it names,
/// changes.
pub fn run(args: &cli::Run) -> anyhow::Result<ExitCode> {
    let mut changes = Changes::new()?;
    // Before the file is loaded, so that no change falls between.
    changes.follow(args.config.as_deref());
    let loaded = match load(args, &mut changes) {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprintln!("{errors}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let log = logging::install(&loaded.config.log).context("[log] level")?;
    if let Some(notice) = &loaded.notice {
        tracing::info!("{notice}");
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    // Before there are clients, who might leave no descriptor for it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let signals = {
        let _runtime = runtime.enter();
        Signals::new()?
    };
    let app = App::start(loaded.config, args.config.clone())?;
    tracing::info!(proxy = %app.proxy_addr(), admin = %app.admin_addr(), "ready");
    runtime.spawn(log.limit.clone().report_regularly());
    runtime.block_on(until_stopped(&app, args, &log, changes, signals));
    tracing::info!("draining");
    app.shutdown();
    log.limit.report();
    Ok(ExitCode::SUCCESS)
}

/// Loads the config, and watches the files that it names from before they were read.
fn load(args: &cli::Run, changes: &mut Changes) -> Result<Loaded, ConfigErrors> {
    let loaded = read(args)?;
    let both = [&loaded.config.listen.tls, &loaded.config.admin.tls];
    let tls = both.into_iter().flatten();
    let named = tls.flat_map(|tls| [tls.cert.as_path(), tls.key.as_path()]);
    if changes.follow(args.config.as_deref().into_iter().chain(named)) {
        return read(args);
    }
    Ok(loaded)
}

fn read(args: &cli::Run) -> Result<Loaded, ConfigErrors> {
    let env = Env::process();
    match (&args.config, &args.upstream) {
        (Some(file), _) => Config::load(file, &env),
        (None, Some(url)) => Config::for_upstream(url, &env),
        (None, None) => unreachable!("the command line demands one of them"),
    }
}

/// Those that this process heeds.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Call it inside a runtime.
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Reloads until a signal ends the process. SIGTERM leaves whoever sends clients here time to notice; SIGINT,
/// which comes from a keyboard, does not.
async fn until_stopped(
    app: &App,
    args: &cli::Run,
    log: &Logging,
    mut changes: Changes,
    signals: Signals,
) {
    let Signals {
        mut terminate,
        mut interrupt,
        mut hangup,
    } = signals;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => return,
            _ = hangup.recv() => {}
            () = changes.next() => {}
        }
        reload(app, args, log, &mut changes);
    }
    let delay = app.leave();
    tracing::info!(?delay, "not ready any more; clients are still accepted");
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// A broken file is reported in full, and the old config stays.
fn reload(app: &App, args: &cli::Run, log: &Logging, changes: &mut Changes) {
    match load(args, changes) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                tracing::warn!("{warning}");
            }
            let level = loaded.config.log.level.clone();
            match app.reload(loaded.config) {
                Ok(waiting) if waiting.is_empty() => tracing::info!("config reloaded"),
                Ok(waiting) => {
                    tracing::warn!(restart_needed_for = ?waiting, "config reloaded in part")
                }
                Err(error) => return refused(app, &format!("{error:#}")),
            }
            if let Err(error) = log.set_level(&level) {
                tracing::warn!(%error, "log.level stays");
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
