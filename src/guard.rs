//! A guard: the process between the daemon and a program that it starts, so that nothing of the program outlives the daemon.
//!
//! A program's descendants may leave its process group, and a daemon that is killed with -9 stops nobody. So the daemon
//! starts this binary again, as guard, and the guard starts the program. Standard input is a socket to the daemon: it closes
//! when the daemon lets go of it, however that comes about. The kernel gives the guard every descendant that has lost its
//! parent (`PR_SET_CHILD_SUBREAPER`), so the guard ends when there is none left, and not before.
//!
//! | file | holds |
//! |---|---|
//! | `program.rs` | how the program begins |
//! | `end.rs` | how everything of it ends; `family.rs` finds who that is |
//! | `signals.rs` | what the guard does not end of |
//!
//! Nothing here runs on its own time: two threads wait, one for the socket and one for children.

use std::{
    ffi::OsString,
    io::{self, ErrorKind, Read as _, Write as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::ExitCode,
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use clap::Args;
use rustix::process::{self, Pid, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};

mod end;
mod family;
mod program;
mod signals;

use end::End;

/// What the daemon says for the program to be asked to end. To let go says the same.
pub const END: u8 = b'e';

/// What the daemon says for everything to be killed now.
pub const KILL: u8 = b'k';

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
    /// Become the program, which this process guards.
    #[arg(long, value_name = "PID")]
    pub exec: Option<i32>,
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
    /// The daemon wants an end at once.
    Kill,
    /// A child has ended.
    Ended(Pid, WaitStatus),
    /// There is no descendant any more.
    Nobody,
}

/// Starts the program and stays until nothing of it is left.
pub fn run(args: &GuardArgs) -> ExitCode {
    if let Some(guard) = args.exec {
        return program::become_it(guard, args);
    }
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
    let _outlived = signals::outlive()?;
    process::set_child_subreaper(Some(process::getpid()))?;
    let program = match program::start() {
        Ok(program) => program,
        Err(error) => {
            let command = args.command.first().map(|name| name.to_string_lossy()).unwrap_or_default();
            tell(&mut daemon, &Told::Failed { reason: format!("`{command}` could not be started: {error}") });
            return Ok(());
        }
    };
    tell(&mut daemon, &Told::Started { pid: program.as_raw_nonzero().get() });
    let news = listen(daemon.try_clone()?);
    let at_once = watch(&news, program, &mut daemon);
    End::new(program, if at_once { 0 } else { args.grace_ms }).bring_about(&news, &mut daemon);
    Ok(())
}

/// Waits for the daemon's word and for children, each in a thread.
fn listen(daemon: UnixStream) -> Receiver<News> {
    let (sender, news) = mpsc::channel();
    let children = sender.clone();
    thread::spawn(move || hear(daemon, &sender));
    thread::spawn(move || reap(&children));
    news
}

fn hear(mut daemon: UnixStream, news: &Sender<News>) {
    let mut word = [0; 1];
    loop {
        let said = match daemon.read(&mut word) {
            Ok(1..) if word == [KILL] => News::Kill,
            Ok(1..) => News::LetGo,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => {
                drop(news.send(News::LetGo));
                return;
            }
        };
        if news.send(said).is_err() {
            return;
        }
    }
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

/// Waits until the program has ended or the daemon wants its end. Says whether it wants that at once.
fn watch(news: &Receiver<News>, program: Pid, daemon: &mut UnixStream) -> bool {
    while let Ok(told) = news.recv() {
        match told {
            News::Ended(pid, status) if pid == program => {
                say_ended(daemon, status);
                return false;
            }
            News::Ended(..) => {}
            News::Kill => return true,
            News::LetGo | News::Nobody => return false,
        }
    }
    false
}

fn say_ended(daemon: &mut UnixStream, status: WaitStatus) {
    tell(daemon, &Told::Ended { code: status.exit_status(), signal: status.terminating_signal() });
}

/// A daemon that is gone hears nothing.
fn tell(daemon: &mut UnixStream, told: &Told) {
    let Ok(mut line) = serde_json::to_vec(told) else { return };
    line.push(b'\n');
    drop(daemon.write_all(&line));
}
