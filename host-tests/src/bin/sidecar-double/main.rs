//! A sidecar for the daemon to start, in tests and measurements: it speaks the protocol, and misbehaves on command.
//!
//! The variable `DOUBLE` says how it begins, `/do/…` what it does then.

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, ExitCode, exit, id},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

mod gentle;

use gentle::Gate;

const PREFIX: &str = "KHEISH_EXTERNAL_CONNECTOR_";

/// Memory that it tries to get, in bytes.
const MUCH: usize = 1 << 30;

/// How it answers, and what it was given.
struct Double {
    how: String,
    instance: Mutex<String>,
    health: Mutex<String>,
    deliveries: Mutex<Vec<Value>>,
    /// Whether deliveries are never answered.
    holds: AtomicBool,
    /// What whoever asks has to show.
    bearer: Option<String>,
    /// How often it was asked for its manifest.
    asked: Mutex<u64>,
    gate: Gate,
}

fn main() -> ExitCode {
    let how = env::var("DOUBLE").unwrap_or_default();
    println!("{how} begins");
    match how.as_str() {
        "exit" => return ExitCode::from(7),
        "family" => family(),
        _ => {}
    }
    match serve(&how) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sidecar-double: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Descendants that do not listen, one in a session of its own and without a parent.
fn family() {
    let stubborn = "trap '' TERM; while true; do sleep 600; done";
    let script = format!("(setsid sh -c \"{stubborn}\" &); {stubborn}");
    drop(Command::new("sh").args(["-c", &script]).spawn());
}

fn serve(how: &str) -> io::Result<()> {
    let base = env::var(format!("{PREFIX}BASE_URL")).map_err(io::Error::other)?;
    let address = base.trim_start_matches("http://").trim_end_matches('/').replace("bridge.localhost", "127.0.0.1");
    if how == "gentle" {
        gentle::hear_terms()?;
    }
    let health = if how.is_empty() { "ready" } else { how };
    let double = Arc::new(Double {
        how: how.to_owned(),
        instance: Mutex::new(format!("double-{}", id())),
        health: Mutex::new(health.to_owned()),
        deliveries: Mutex::default(),
        holds: AtomicBool::default(),
        bearer: env::var(format!("{PREFIX}SHARED_TOKEN")).ok().map(|token| format!("Bearer {token}")),
        asked: Mutex::default(),
        gate: Gate::default(),
    });
    double.listen(&TcpListener::bind(address)?)
}

impl Double {
    fn listen(self: &Arc<Self>, listener: &TcpListener) -> io::Result<()> {
        for stream in listener.incoming() {
            let (double, stream) = (Arc::clone(self), stream?);
            // One that breaks off is the other side's trouble.
            thread::spawn(move || drop(double.answer(stream)));
        }
        Ok(())
    }

    fn answer(self: &Arc<Self>, stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut length, mut shown) = (0, String::new());
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            if name.eq_ignore_ascii_case("authorization") {
                value.trim().clone_into(&mut shown);
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (status, said) = match self.is_known(&path, &shown) {
            true => ("200 OK", self.say(&path, &body).to_string()),
            false => {
                if path == "/deliver" {
                    println!("somebody who delivers showed another token");
                }
                ("401 Unauthorized", "{}".to_owned())
            }
        };
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{said}",
            said.len()
        )
    }

    /// Like Kheish's own sidecars: whoever has a token asks for it, also before it says what it is.
    fn is_known(&self, path: &str, shown: &str) -> bool {
        path.starts_with("/do/") || self.bearer.as_ref().is_none_or(|bearer| bearer == shown)
    }

    fn say(self: &Arc<Self>, path: &str, body: &[u8]) -> Value {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let instance = self.instance.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if path == "/manifest" {
            *self.asked.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
        match path {
            "/manifest" if health == "liar" => json!({ "protocol_version": 1, "instance_id": "somebody-else" }),
            "/manifest" => json!({ "protocol_version": 1, "instance_id": instance }),
            "/health" => fares(&health, &instance),
            "/deliver" => self.take(serde_json::from_slice(body).unwrap_or_default()),
            _ => match path.strip_prefix("/do/").unwrap_or_default().split_once('/') {
                Some((what, with)) => self.act(what, with),
                None => json!(null),
            },
        }
    }

    fn take(&self, delivery: Value) -> Value {
        println!("took {} as attempt {}", delivery["delivery_id"], delivery["attempt"]);
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).push(delivery.clone());
        if self.how == "gentle" {
            self.gate.pass();
            if let Err(error) = gentle::fetch(&delivery) {
                println!("not fetched: {error}");
                return json!({ "status": "retryable_error" });
            }
        }
        while self.holds.load(Ordering::Relaxed) {
            thread::park();
        }
        json!({ "status": "committed" })
    }

    fn act(self: &Arc<Self>, what: &str, with: &str) -> Value {
        match what {
            "health" => {
                with.clone_into(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
                json!(with)
            }
            "anew" => {
                with.clone_into(&mut self.instance.lock().unwrap_or_else(PoisonError::into_inner));
                json!(with)
            }
            "asked" => json!(*self.asked.lock().unwrap_or_else(PoisonError::into_inner)),
            "go" => {
                self.gate.open();
                json!("gone")
            }
            // It answers at this address too.
            "also" => match TcpListener::bind(with) {
                Ok(listener) => {
                    let double = Arc::clone(self);
                    thread::spawn(move || drop(double.listen(&listener)));
                    json!(with)
                }
                Err(error) => json!(error.to_string()),
            },
            "env" => json!(env::vars().collect::<BTreeMap<_, _>>()),
            "deliveries" => json!(*self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)),
            "deliver" => {
                self.holds.store(with == "hold", Ordering::Relaxed);
                json!(with)
            }
            "exit" => exit(with.parse().unwrap_or_default()),
            "say" => {
                println!("{}", with.replace('+', " "));
                eprintln!("{}", with.replace('+', " "));
                json!(with)
            }
            "flood" => {
                let (lines, mut stdout) = (with.parse::<u64>().unwrap_or_default(), io::stdout().lock());
                for number in 0..lines {
                    drop(writeln!(stdout, "flood {number} {}", "x".repeat(200)));
                }
                json!(lines)
            }
            "memory" => json!(Vec::<u8>::new().try_reserve_exact(MUCH).is_ok()),
            "files" => {
                let files: Vec<File> = (0..4096).map_while(|_| File::open("/dev/null").ok()).collect();
                json!(files.len())
            }
            _ => json!(null),
        }
    }
}

fn fares(health: &str, instance: &str) -> Value {
    let status = match health {
        "mute" => loop {
            thread::park();
        },
        "long" => {
            return json!({ "status": "ready", "instance_id": instance, "detail": "x".repeat(65 * 1024) });
        }
        _ if health.starts_with("impostor-") => {
            return json!({ "status": "ready", "instance_id": health.trim_start_matches("impostor-") });
        }
        "starting" | "degraded" | "draining" => health,
        _ => "ready",
    };
    json!({ "protocol_version": 1, "instance_id": instance, "status": status })
}
