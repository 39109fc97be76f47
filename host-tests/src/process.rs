//! The daemon's process: its output, signals, exit code. Killed when dropped.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use tokio::sync::oneshot;

use crate::wait::{PATIENCE, eventually};

/// The line that says where the daemon listens begins so.
const LISTENING: &str = "kheishd listening on ";

/// Lines of the log that a failing test shows.
const SHOWN: usize = 200;

/// A process that runs, or ran.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    address: Option<oneshot::Receiver<String>>,
}

/// How a process ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Process {
    /// Starts it. Standard error is kept, and standard output is read for the address.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon's process starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (tell, address) = oneshot::channel();
        let stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let kept = Arc::clone(&log);
        let readers = vec![
            std::thread::spawn(move || find_address(stdout, tell)),
            std::thread::spawn(move || keep(stderr, &kept)),
        ];
        Self { child, log, readers, address: Some(address) }
    }

    /// The base address, once the daemon has said it.
    pub async fn address(&mut self) -> String {
        let told = self.address.take().expect("the address is asked for once");
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(address)) => address,
            Ok(Err(_)) => panic!("the daemon ended without listening; its log:\n{}", self.log()),
            Err(_) => panic!("the daemon did not say where it listens; its log:\n{}", self.log()),
        }
    }

    /// What it wrote to standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power cut would. What it wrote before is in the log then.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        self.read_to_the_end();
    }

    /// Asks it to stop (SIGTERM) without waiting for it.
    pub fn ask_to_stop(&self) {
        signal(self.child.id(), "TERM");
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The last lines of a process that has ended are still in the pipe.
    fn read_to_the_end(&mut self) {
        self.readers.drain(..).for_each(|reader| drop(reader.join()));
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> Ended {
        let status = eventually("the daemon's process ended", async || self.child.try_wait().ok().flatten()).await;
        self.read_to_the_end();
        Ended { code: status.code(), stderr: self.log() }
    }
}

/// Sends a signal to a process that this test has started and not yet waited for.
pub fn signal(process: u32, name: &str) {
    let line = format!("kill -{name} {process}");
    let sent = Command::new("sh").args(["-c", &line]).status().expect("sh runs");
    assert!(sent.success(), "SIG{name} could not be sent");
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("---- log of kheishd {}\n{}\n----", self.child.id(), tail(&self.log()));
        }
    }
}

/// The last lines: a failing test shows what it ended with.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

fn find_address(stdout: impl Read, tell: oneshot::Sender<String>) {
    let mut tell = Some(tell);
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        if let Some(address) = line.strip_prefix(LISTENING)
            && let Some(tell) = tell.take()
        {
            tell.send(address.trim().to_owned()).ok();
        }
    }
}

fn keep(stderr: impl Read, log: &Mutex<String>) {
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        log.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
}
