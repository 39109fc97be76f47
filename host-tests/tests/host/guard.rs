//! The guard of a sidecar: nothing that a program starts outlives the daemon, and everything stays within its bounds.
//!
//! Whoever descends from the program holds the guard's standard output, so it can be read to its end only when all are gone.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::net::UnixStream,
    process::{Child, ChildStdout, Command, Stdio},
};

use kheish::guard::Told;
use kheish_host_tests::places;

/// A guard that runs, and the daemon's end of its socket.
struct Guard {
    child: Child,
    stdout: BufReader<ChildStdout>,
    daemon: BufReader<UnixStream>,
}

impl Guard {
    fn start(options: &[&str], command: &[&str]) -> Self {
        let (daemon, its) = UnixStream::pair().unwrap();
        let mut guard = Command::new(places::binary());
        guard.arg("guard").args(options).arg("--").args(command);
        let mut child =
            guard.stdin(Stdio::from(std::os::fd::OwnedFd::from(its))).stdout(Stdio::piped()).spawn().unwrap();
        drop(guard);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout, daemon: BufReader::new(daemon) }
    }

    fn told(&mut self) -> Told {
        let mut line = String::new();
        self.daemon.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The rest of what was written: there is an end to it when everybody is gone.
    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest
    }

    /// As when the daemon is killed.
    fn let_go(&mut self) {
        self.daemon.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
    }
}

#[test]
fn a_program_runs_within_its_bounds_and_its_end_is_told() {
    let options = ["--open-files", "64", "--memory-bytes", "1073741824", "--nice", "5"];
    let script = "ulimit -n; ulimit -Hn; ulimit -v; ulimit -Hv; nice; exit 7";
    let mut guard = Guard::start(&options, &["sh", "-c", script]);
    assert!(matches!(guard.told(), Told::Started { pid } if pid > 1));
    assert_eq!(guard.told(), Told::Ended { code: Some(7), signal: None });
    let lines = guard.rest();
    let [open, _, memory, _, nice] = lines.lines().collect::<Vec<_>>()[..] else { panic!("{lines}") };
    assert_eq!((open, memory, nice), ("64", "1048576", "5"));
    assert!(guard.child.wait().unwrap().success());
}

#[test]
fn what_cannot_be_started_is_told() {
    let mut guard = Guard::start(&[], &["/nowhere/sidecar"]);
    assert!(matches!(guard.told(), Told::Failed { reason } if reason.contains("/nowhere/sidecar")));
    assert_eq!(guard.rest(), "");
}

#[test]
fn the_whole_group_is_asked_to_end_when_the_daemon_is_gone() {
    let script = "trap 'echo asked; exit 0' TERM; echo ready; while true; do sleep 600 & wait; done";
    let mut guard = Guard::start(&[], &["sh", "-c", script]);
    assert!(matches!(guard.told(), Told::Started { .. }));
    assert_eq!(guard.line(), "ready");
    guard.let_go();
    assert_eq!(guard.rest(), "asked\n");
    assert!(guard.child.wait().unwrap().success());
}

#[test]
fn who_does_not_listen_is_killed_also_in_a_session_of_its_own() {
    let stubborn = "trap '' TERM; echo ready; while true; do sleep 600; done";
    let script = format!("trap '' TERM; setsid sh -c \"{stubborn}\" & (setsid sh -c \"{stubborn}\" &); wait");
    let mut guard = Guard::start(&["--grace-ms", "50"], &["sh", "-c", &script]);
    assert!(matches!(guard.told(), Told::Started { .. }));
    assert_eq!((guard.line(), guard.line()), ("ready".to_owned(), "ready".to_owned()));
    guard.let_go();
    assert_eq!(guard.rest(), "");
    assert!(guard.child.wait().unwrap().success());
}

#[test]
fn what_a_program_leaves_behind_ends_with_it() {
    let script = "setsid sh -c 'trap \"\" TERM; echo ready; while true; do sleep 600; done' & sleep 600";
    let mut guard = Guard::start(&["--grace-ms", "50"], &["sh", "-c", script]);
    let Told::Started { pid } = guard.told() else { panic!("it was not started") };
    assert_eq!(guard.line(), "ready");
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    assert_eq!(guard.told(), Told::Ended { code: None, signal: Some(9) });
    assert_eq!(guard.rest(), "");
    assert!(guard.child.wait().unwrap().success());
}
