//! A command on a terminal of its own, by util-linux's `script`: what it shows, and what is typed.

use std::process::Stdio;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{places, wait::PATIENCE};

/// A command on a terminal; killed when dropped.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    shown: Vec<u8>,
}

impl Terminal {
    /// Runs the binary with these arguments, which must need no quotes, for the daemon at `base`.
    pub fn run(base: &str, args: &[&str]) -> Self {
        let line = format!("{} {} --base-url {base}", places::binary().display(), args.join(" "));
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-c", &line, "/dev/null"]).env_remove("NO_COLOR").env("TERM", "xterm");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("util-linux's script runs");
        let keys = child.stdin.take().expect("standard input is piped");
        let screen = child.stdout.take().expect("standard output is piped");
        Self { child, keys, screen, shown: Vec::new() }
    }

    /// Waits until the screen shows this.
    pub async fn shows(&mut self, text: &str) {
        while !self.screen().contains(text) {
            let read = timeout(PATIENCE, self.screen.read_buf(&mut self.shown)).await;
            let read = read.unwrap_or_else(|_| panic!("{text:?} is not on the screen:\n{}", self.screen()));
            assert!(read.expect("the screen can be read") > 0, "{text:?} never came:\n{}", self.screen());
        }
    }

    /// Presses these keys.
    pub async fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.expect("the terminal takes keys");
    }

    /// Waits for the end; gives the exit code and everything that was shown.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let rest = timeout(PATIENCE, self.screen.read_to_end(&mut self.shown)).await;
        rest.expect("the command ends").expect("the screen can be read");
        let status = timeout(PATIENCE, self.child.wait()).await.expect("the command ends").expect("its status");
        (status.code(), self.screen())
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }
}
