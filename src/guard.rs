//! A guard: the process between the daemon and a program that it starts, so that nothing of the program outlives the daemon.
//!
//! A program's descendants may leave its process group, and a daemon that is killed with -9 stops nobody. So the daemon
//! starts this binary again, as guard, and the guard starts the program. Standard input is a socket to the daemon: it closes
//! when the daemon lets go of it, however that comes about. The kernel gives the guard every descendant that has lost its
//! parent (`PR_SET_CHILD_SUBREAPER`), so the guard ends when there is none left, and not before.
//!
//! Nothing here runs on its own time: two threads wait, one for the socket and one for children.

use std::{
    ffi::OsString,
    io::{self, Read as _, Write as _},
    os::{
        fd::AsFd as _,
        unix::{net::UnixStream, process::CommandExt as _},
    },
    process::{Command, ExitCode, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use rustix::process::{self, Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};

mod family;

/// From one round of killing what is left to the next.
const ROUND: Duration = Duration::from_millis(20);

/// What to start, and within which bounds.
#[derive(Clone, Debug, Args)]
pub struct GuardArgs {
    /// Address space of each process, in bytes.
    #[arg(long)]
    pub memory_bytes: Option<u64>,
    /// Files that each process may have open.
    #[arg(long)]
    pub open_files: Option<u64>,
    /// Niceness, 0 to 19.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..=19))]
    pub nice: Option<i32>,
    /// Milliseconds from asking to end to killing.
    #[arg(long, default_value_t = 10_000)]
    pub grace_ms: u64,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// What the guard tells the daemon: a line of JSON each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Told {
    /// The program runs.
    Started {
        /// Its process, which leads a group of its own.
        pid: i32,
    },
    /// It could not be started.
    Failed {
        /// Why, for people.
        reason: String,
    },
    /// It has ended. What it left behind is asked to end now.
    Ended {
        /// Its exit code; none when a signal ended it.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
    },
}

enum News {
    /// The daemon is gone, or wants an end.
    LetGo,
    /// A child has ended.
    Ended(Pid, WaitStatus),
    /// There is no descendant any more.
    Nobody,
}

/// Starts the program and stays until nothing of it is left.
pub fn run(args: &GuardArgs) -> ExitCode {
    match guard(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kheishd: the guard of a sidecar failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn guard(args: &GuardArgs) -> io::Result<()> {
    let mut daemon = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    process::set_child_subreaper(Some(process::getpid()))?;
    let program = match start(args) {
        Ok(program) => program,
        Err(error) => {
            let command = args.command.first().map(|name| name.to_string_lossy()).unwrap_or_default();
            tell(&mut daemon, &Told::Failed { reason: format!("`{command}` could not be started: {error}") });
            return Ok(());
        }
    };
    tell(&mut daemon, &Told::Started { pid: program.as_raw_nonzero().get() });
    let news = listen(daemon.try_clone()?);
    watch(&news, program, &mut daemon);
    let end = End { program, until: Instant::now() + Duration::from_millis(args.grace_ms) };
    end.bring_about(&news, &mut daemon);
    Ok(())
}

/// The program leads a group of its own, and reads nothing.
fn start(args: &GuardArgs) -> io::Result<Pid> {
    let (name, rest) = args.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    if let Some(nice) = args.nice {
        process::setpriority_process(None, nice)?;
    }
    let own: Vec<_> = bounds(args).map(|(resource, _)| (resource, process::getrlimit(resource))).collect();
    // A program has its bounds from its first step on, by inheritance; the guard needs room again.
    for (resource, bound) in bounds(args) {
        let maximum = process::getrlimit(resource).maximum;
        process::setrlimit(resource, Rlimit { current: bound, maximum })?;
    }
    let child = Command::new(name).args(rest).stdin(Stdio::null()).process_group(0).spawn();
    for (resource, before) in own {
        process::setrlimit(resource, before)?;
    }
    let pid = i32::try_from(child?.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    for (resource, bound) in bounds(args) {
        process::prlimit(Some(pid), resource, Rlimit { current: bound, maximum: bound })?;
    }
    Ok(pid)
}

/// The resources that are bounded. Whatever the program starts has the same bounds.
fn bounds(args: &GuardArgs) -> impl Iterator<Item = (Resource, Option<u64>)> {
    let all = [(Resource::As, args.memory_bytes), (Resource::Nofile, args.open_files)];
    all.into_iter().filter(|(_, bound)| bound.is_some())
}

/// Waits for the daemon's word and for children, each in a thread.
fn listen(daemon: UnixStream) -> Receiver<News> {
    let (sender, news) = mpsc::channel();
    let children = sender.clone();
    thread::spawn(move || until_closed(daemon, &sender));
    thread::spawn(move || reap(&children));
    news
}

fn until_closed(mut daemon: UnixStream, news: &Sender<News>) {
    // The daemon says nothing: it only lets go.
    let mut word = [0; 1];
    while daemon.read(&mut word).is_ok_and(|bytes| bytes > 0) {}
    drop(news.send(News::LetGo));
}

fn reap(news: &Sender<News>) {
    loop {
        let told = match process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) => News::Ended(pid, status),
            Ok(None) | Err(rustix::io::Errno::INTR) => continue,
            Err(_) => News::Nobody,
        };
        let over = matches!(told, News::Nobody);
        if news.send(told).is_err() || over {
            return;
        }
    }
}

/// Waits until the program has ended or the daemon has let go.
fn watch(news: &Receiver<News>, program: Pid, daemon: &mut UnixStream) {
    while let Ok(told) = news.recv() {
        match told {
            News::Ended(pid, status) if pid == program => return say_ended(daemon, status),
            News::Ended(..) => {}
            News::LetGo | News::Nobody => return,
        }
    }
}

fn say_ended(daemon: &mut UnixStream, status: WaitStatus) {
    tell(daemon, &Told::Ended { code: status.exit_status(), signal: status.terminating_signal() });
}

/// The end of everything that the program has started.
struct End {
    program: Pid,
    /// When whoever is left is killed.
    until: Instant,
}

impl End {
    /// Asks everybody to end, and kills who does not.
    fn bring_about(&self, news: &Receiver<News>, daemon: &mut UnixStream) {
        self.signal(Signal::TERM);
        let mut killing = false;
        loop {
            let wait = if killing { ROUND } else { self.until.saturating_duration_since(Instant::now()) };
            match news.recv_timeout(wait) {
                Ok(News::Ended(pid, status)) if pid == self.program => say_ended(daemon, status),
                // Who was asked may have started others meanwhile, and who has lost its parent is ours now.
                Ok(News::Ended(..)) if !killing => self.signal(Signal::TERM),
                Ok(News::Ended(..) | News::LetGo) => {}
                Err(RecvTimeoutError::Timeout) => {
                    killing = true;
                    self.signal(Signal::KILL);
                }
                Ok(News::Nobody) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// The whole group, and descendants that have left it. Who is gone already is no failure.
    fn signal(&self, signal: Signal) {
        let _ = process::kill_process_group(self.program, signal);
        for pid in family::descendants_of(process::getpid()) {
            let _ = process::kill_process(pid, signal);
        }
    }
}

/// A daemon that is gone hears nothing.
fn tell(daemon: &mut UnixStream, told: &Told) {
    let Ok(mut line) = serde_json::to_vec(told) else { return };
    line.push(b'\n');
    drop(daemon.write_all(&line));
}
