//! How the program begins: in a process of its own, which takes its bounds upon itself and then becomes the program.
//!
//! A step of its own, because some things only a process can ask for itself: to be killed when its guard is gone
//! (`PR_SET_PDEATHSIG`), which the kernel keeps for the program as long as that does not change its user. The kernel means
//! the thread that started the process, so the guard starts it from its first thread, which is there until the end.

use std::{
    env,
    fmt::Display,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    process::{Command, ExitCode, Stdio},
};

use rustix::process::{self, Pid, Resource, Rlimit, Signal};

use super::GuardArgs;

/// This program, also when its file was replaced meanwhile.
const THIS: &str = "/proc/self/exe";

/// Starts the program, as leader of a group of its own. It reads nothing. The error says why it did not begin.
pub(super) fn start() -> Result<Pid, String> {
    let (mut ours, its) = UnixStream::pair().map_err(text)?;
    let guard = process::getpid().as_raw_nonzero().get().to_string();
    let mut command = Command::new(THIS);
    // What the guard was started with, behind its own name and its command's.
    command.arg0("kheishd").args(["guard", "--exec", &guard]).args(env::args_os().skip(2));
    let child = command.stdin(OwnedFd::from(its)).process_group(0).spawn().map_err(text)?;
    // The command holds the other end.
    drop(command);
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("its process has no number")?;
    // It closes when the program takes over.
    let mut reason = String::new();
    ours.read_to_string(&mut reason).map_err(text)?;
    if reason.is_empty() { Ok(pid) } else { Err(reason) }
}

/// Becomes the program. Whoever reads the other end of standard input hears why it does not.
pub(super) fn become_it(guard: i32, args: &GuardArgs) -> ExitCode {
    let told = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let reason = take_over(guard, args);
    if let Ok(mut guard) = told {
        drop(guard.write_all(reason.as_bytes()));
    }
    ExitCode::FAILURE
}

/// Comes back with what went wrong, or not at all.
fn take_over(guard: i32, args: &GuardArgs) -> String {
    let Some((name, rest)) = args.command.split_first() else { return "there is no command".to_owned() };
    if let Err(error) = process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return format!("the kernel does not promise to end it with its guard: {error}");
    }
    if process::getppid().map(|parent| parent.as_raw_nonzero().get()) != Some(guard) {
        return "its guard is gone".to_owned();
    }
    let mut program = Command::new(name);
    program.args(rest).stdin(Stdio::null());
    match bound(args) {
        Ok(()) => program.exec().to_string(),
        Err(reason) => reason,
    }
}

/// Takes the bounds upon this process. Whatever the program starts has the same.
fn bound(args: &GuardArgs) -> Result<(), String> {
    if let Some(nice) = args.nice {
        process::setpriority_process(None, nice).map_err(|error| format!("nice = {nice}: {error}"))?;
    }
    let bounds = [("open_files", Resource::Nofile, args.open_files), ("memory_bytes", Resource::As, args.memory_bytes)];
    for (setting, resource, bound) in bounds {
        let Some(bound) = bound else { continue };
        let limit = Rlimit { current: Some(bound), maximum: Some(bound) };
        process::setrlimit(resource, limit).map_err(|error| format!("{setting} = {bound}: {error}"))?;
    }
    Ok(())
}

fn text(error: impl Display) -> String {
    error.to_string()
}
