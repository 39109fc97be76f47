//! The command line, as a person or a script runs it.

use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{host::Host, places, process::signal, wait::PATIENCE};

/// Runs commands against one daemon, in a folder of its own.
#[derive(Debug)]
pub struct Cli {
    base: String,
    env: Vec<(String, String)>,
    stdin: String,
    folder: TempDir,
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it told beside that.
    pub stderr: String,
}

impl Ran {
    /// The same, when the exit code is this one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output, which must be one JSON document and nothing else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect("standard output is one JSON document")
    }

    /// Fails unless every one of these texts was printed.
    #[track_caller]
    pub fn says(&self, texts: &[&str]) {
        let all = format!("{}\n{}", self.stdout, self.stderr);
        for text in texts {
            assert!(all.contains(text), "{text:?} is not in:\n{all}");
        }
    }
}

impl Cli {
    /// For the daemon at this address.
    pub fn at(base: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("kheish-cli-").tempdir().expect("a temporary folder");
        Self { base: base.to_owned(), env: Vec::new(), stdin: String::new(), folder }
    }

    /// For this daemon.
    pub fn of(host: &Host) -> Self {
        Self::at(host.client().base())
    }

    /// With an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this on standard input.
    #[must_use]
    pub fn stdin(mut self, text: &str) -> Self {
        text.clone_into(&mut self.stdin);
        self
    }

    /// Writes a file that commands can name.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file is written");
        path
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Ran {
        let mut child = self.spawn(args);
        if let Some(mut stdin) = child.stdin.take() {
            // Who does not read it may have ended.
            stdin.write_all(self.stdin.as_bytes()).await.ok();
        }
        let output = timeout(PATIENCE, child.wait_with_output()).await.expect("the command ends").expect("its output");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is text");
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Starts a command that goes on by itself.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut child = self.spawn(args);
        let stdout = child.stdout.take().expect("standard output is piped");
        Running { child, lines: BufReader::new(stdout).lines() }
    }

    fn spawn(&self, args: &[&str]) -> Child {
        let mut command = Command::new(places::binary());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("KHEISH")) {
            command.env_remove(name);
        }
        command.env_remove("NO_COLOR").env("KHEISH_DAEMON_URL", &self.base).envs(self.env.iter().cloned());
        command.args(args).current_dir(self.folder.path()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the command starts")
    }
}

/// A command that goes on by itself; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Its next line.
    pub async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time");
        line.expect("its output").expect("a line before the end")
    }

    /// Presses Ctrl-C and waits for the end; gives what was told on standard error.
    pub async fn interrupt(mut self) -> (ExitStatus, String) {
        signal(self.child.id().expect("a command that runs"), "INT");
        self.ended().await
    }

    /// Stops reading its output, as `head` does, and waits for the end.
    pub async fn hang_up(mut self) -> (ExitStatus, String) {
        drop(self.lines);
        let status = timeout(PATIENCE, self.child.wait()).await.expect("the command ends").expect("its status");
        (status, told(&mut self.child).await)
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> (ExitStatus, String) {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("the command ends").expect("its status");
        (status, told(&mut self.child).await)
    }
}

async fn told(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut text).await.expect("standard error is text");
    }
    text
}
