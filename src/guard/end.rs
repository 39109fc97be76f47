//! The end of everything that the program has started.

use std::{
    collections::HashSet,
    os::unix::net::UnixStream,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use rustix::process::{self, Pid, Signal};

use super::{
    News,
    family::{self, Relative},
    say_ended,
};

/// From one round of killing what is left to the next.
const ROUND: Duration = Duration::from_millis(20);

/// An end that is under way.
pub(super) struct End {
    program: Pid,
    /// When whoever is left is killed.
    until: Instant,
    /// Who has left the program's group and was asked to end.
    asked: HashSet<Pid>,
}

impl End {
    /// Of a program that gets so long from being asked to being killed.
    pub(super) fn new(program: Pid, grace_ms: u64) -> Self {
        let until = Instant::now() + Duration::from_millis(grace_ms);
        Self { program, until, asked: HashSet::new() }
    }

    /// Asks everybody to end, and kills who does not.
    pub(super) fn bring_about(mut self, news: &Receiver<News>, daemon: &mut UnixStream) {
        self.signal_group(Signal::TERM);
        self.ask_others();
        let mut killing = false;
        loop {
            let wait = if killing { ROUND } else { self.until.saturating_duration_since(Instant::now()) };
            match news.recv_timeout(wait) {
                Ok(News::Ended(pid, status)) if pid == self.program => say_ended(daemon, status),
                // Who was asked may have started others meanwhile, and who has lost its parent is ours now.
                Ok(News::Ended(..)) if !killing => self.ask_others(),
                Ok(News::Ended(..) | News::LetGo) => {}
                Ok(News::Kill) | Err(RecvTimeoutError::Timeout) => {
                    killing = true;
                    self.kill();
                }
                Ok(News::Nobody) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Asks descendants outside of the program's group. Each once, as those of the group are: to many a program a second
    /// SIGTERM says that it shall not finish what it does.
    fn ask_others(&mut self) {
        for Relative { pid, group } in family::descendants_of(process::getpid()) {
            if group != self.program && self.asked.insert(pid) {
                // Who is gone already is no failure, here and below.
                let _ = process::kill_process(pid, Signal::TERM);
            }
        }
    }

    fn kill(&self) {
        self.signal_group(Signal::KILL);
        for Relative { pid, .. } in family::descendants_of(process::getpid()) {
            let _ = process::kill_process(pid, Signal::KILL);
        }
    }

    fn signal_group(&self, signal: Signal) {
        let _ = process::kill_process_group(self.program, signal);
    }
}
