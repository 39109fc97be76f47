//! One life of a child, from its start to the end of everything that it has started.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    process::ExitStatus,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    process::Child,
    task::JoinSet,
    time::timeout,
};

use super::{
    launch::Launch,
    output::{Output, Share},
};
use crate::guard::{END, KILL, Told};

/// How long a guard may take to say that the child runs.
const START: Duration = Duration::from_secs(10);

/// How long the end of what was killed may take.
const DYING: Duration = Duration::from_secs(10);

/// How long what was written last may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The longest line that a guard says, in bytes.
const LINE: usize = 64 * 1024;

/// A child that runs, behind its guard.
pub(super) struct Life {
    guard: Child,
    /// The guard ends the child when this closes, however that comes about.
    socket: BufReader<UnixStream>,
    output: JoinSet<()>,
    /// From SIGTERM to SIGKILL.
    grace: Duration,
    pub(super) pid: i32,
}

impl Life {
    /// Starts a child, whose output goes to `share`. The error says what to do.
    pub(super) async fn begin(launch: &Launch<'_>, share: Share) -> Result<Self, String> {
        let wrong = |error: io::Error| match &launch.child.working_dir {
            Some(folder) => format!("the guard could not be started in `{folder}`: {error}"),
            None => format!("the guard could not be started: {error}"),
        };
        let (ours, its) = StdStream::pair().map_err(wrong)?;
        ours.set_nonblocking(true).map_err(wrong)?;
        let socket = BufReader::new(UnixStream::from_std(ours).map_err(wrong)?);
        // The command holds the guard's end of the socket; it goes here.
        let mut guard = launch.command(OwnedFd::from(its)).spawn().map_err(wrong)?;
        let mut output = JoinSet::new();
        if let Some(stdout) = guard.stdout.take() {
            output.spawn(Output::new("stdout", share.clone()).copy(stdout));
        }
        if let Some(stderr) = guard.stderr.take() {
            output.spawn(Output::new("stderr", share).copy(stderr));
        }
        let grace = Duration::from_millis(launch.grace_ms);
        let mut life = Self { guard, socket, output, grace, pid: 0 };
        match timeout(START, life.told()).await {
            Ok(Some(Told::Started { pid })) => life.pid = pid,
            Ok(Some(Told::Failed { reason })) => {
                life.end(async {}).await;
                return Err(reason);
            }
            Ok(Some(Told::Ended { .. }) | None) | Err(_) => {
                life.end(async {}).await;
                return Err("the guard did not start it".to_owned());
            }
        }
        Ok(life)
    }

    /// What the guard says next; nothing when it is gone.
    async fn told(&mut self) -> Option<Told> {
        let mut line = Vec::new();
        loop {
            let bytes = self.socket.fill_buf().await.ok().filter(|bytes| !bytes.is_empty())?;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            let read = end.map_or(bytes.len(), |end| end + 1);
            self.socket.consume(read);
            if end.is_some() || line.len() > LINE {
                return serde_json::from_slice(&line).ok();
            }
        }
    }

    /// Resolves when the child has ended by itself, with how it did.
    pub(super) async fn ended(&mut self) -> String {
        match self.told().await {
            Some(Told::Ended { code: Some(code), .. }) => format!("it ended with exit code {code}"),
            Some(Told::Ended { signal: Some(signal), .. }) => format!("signal {signal} ended it"),
            _ => "its guard is gone".to_owned(),
        }
    }

    /// Ends the child and whatever it has started, and resolves when nothing of it is left. It is killed when it takes longer
    /// than its grace, and as soon as `hurry` resolves.
    pub(super) async fn end(mut self, hurry: impl Future<Output = ()>) {
        self.say(END).await;
        let ended = tokio::select! {
            ended = self.guard.wait() => Some(ended),
            () = hurry => None,
            () = tokio::time::sleep(self.grace) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => self.killed().await,
        };
        let well = ended.as_ref().is_ok_and(ExitStatus::success);
        if let Some(group) = Pid::from_raw(self.pid).filter(|_| !well && self.pid > 0) {
            // Somebody has killed the guard: what it guarded is left to us, as far as it stayed together.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let last = async { while self.output.join_next().await.is_some() {} };
        if timeout(LAST_WORDS, last).await.is_err() {
            self.output.shutdown().await;
        }
    }

    async fn killed(&mut self) -> io::Result<ExitStatus> {
        self.say(KILL).await;
        match timeout(DYING, self.guard.wait()).await {
            Ok(ended) => ended,
            Err(_) => {
                let pid = self.pid;
                tracing::error!(
                    pid,
                    "process {pid} was killed and does not end: the kernel holds it. It is waited for"
                );
                self.guard.wait().await
            }
        }
    }

    /// A guard that is gone hears nothing.
    async fn say(&mut self, word: u8) {
        drop(self.socket.get_mut().write_all(&[word]).await);
    }
}
