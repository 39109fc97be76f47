//! A program that a test talks to line by line, in JSON.

use std::{net::TcpListener, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::wait::PATIENCE;

/// A program that runs; killed when dropped.
#[derive(Debug)]
pub struct Program {
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdin = child.stdin.take().expect("standard input is piped");
        let stdout = child.stdout.take().expect("standard output is piped");
        Self { _child: child, stdin, lines: BufReader::new(stdout).lines() }
    }

    /// Tells it something.
    pub async fn tell(&mut self, said: &Value) {
        self.stdin.write_all(format!("{said}\n").as_bytes()).await.expect("the program reads");
    }

    /// The next thing that it says.
    pub async fn says(&mut self) -> Value {
        let line = self.says_line().await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the program said {line:?}: {error}"))
    }

    /// The next line that it writes.
    pub async fn says_line(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("the program says something in time");
        line.expect("its output can be read").expect("the program still runs")
    }
}

/// A port of loopback that was free a moment ago, for a program that must be told where to listen.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("the port that was bound").port()
}
