//! Child processes: found or named as missing, and ended with the test.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The longest that a program may take, on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// A program that runs beside the test; dropping it kills it.
pub(crate) struct Running {
    lines: Lines<BufReader<ChildStdout>>,
    process: Child,
}

/// What a program that has ended left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) output: Vec<u8>,
    pub(crate) errors: String,
    pub(crate) success: bool,
}

/// A command for `program`, killed with the test.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Starts it; its standard output is read line by line.
pub(crate) fn start(command: &mut Command) -> Running {
    let mut process = spawned(command.stdout(Stdio::piped()));
    let output = process.stdout.take().expect("it is piped");
    Running {
        lines: BufReader::new(output).lines(),
        process,
    }
}

/// Runs it to its end.
pub(crate) async fn run(command: &mut Command) -> Ended {
    let process = spawned(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let output = tokio::time::timeout(TIMEOUT, process.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} does not end"));
    let output = output.expect("its output can be read");
    Ended {
        output: output.stdout,
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        success: output.status.success(),
    }
}

/// A file of this folder.
pub(crate) fn script(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    folder.join(name)
}

impl Running {
    /// The next line it prints.
    pub(crate) async fn line(&mut self) -> String {
        let line = tokio::time::timeout(TIMEOUT, self.lines.next_line()).await;
        let line = line.expect("it prints a line in time");
        line.expect("its output can be read")
            .expect("it has not ended")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Waited for, so that nothing of it outlives the test.
        let _ = self.process.start_kill();
        while let Ok(None) = self.process.try_wait() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Ended {
    /// The output as text, of a program that succeeded.
    pub(crate) fn text(&self) -> &str {
        assert!(self.success, "it failed: {}", self.errors);
        std::str::from_utf8(&self.output).expect("it prints text")
    }
}

fn spawned(command: &mut Command) -> Child {
    match command.spawn() {
        Ok(child) => child,
        Err(error) => panic!("{command:?}: {error}; tests/run installs what the tests need"),
    }
}
