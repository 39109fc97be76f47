//! The examples that the README points to, as they are.

use std::{path::PathBuf, process::Stdio};

use kheish_host_tests::{
    client::{self, Client},
    host::{HTTP, Host},
    places,
    wait::{PATIENCE, eventually},
};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    sync::watch,
    time::timeout,
};

const ADMIN: &str = "an-admin-token-of-enough-letters-000";

fn example(name: &str) -> PathBuf {
    places::repository().join("examples/minimal").join(name)
}

/// A program of the examples that goes on by itself; killed when dropped.
struct Script {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Script {
    fn start(name: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(places::python());
        command.arg(example(name)).args(args).env("NO_PROXY", "*").envs(env.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, lines }
    }

    async fn line(&mut self) -> String {
        timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap().unwrap()
    }
}

/// A door to a daemon that is started later: who needs its address before can be told this one.
struct Door {
    base: String,
    leads_to: watch::Sender<String>,
}

impl Door {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (leads_to, address) = watch::channel(String::new());
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                let address = address.borrow().clone();
                tokio::spawn(async move {
                    let mut daemon = TcpStream::connect(address).await.unwrap();
                    copy_bidirectional(&mut caller, &mut daemon).await.ok();
                });
            }
        });
        Self { base, leads_to }
    }

    fn lead_to(&self, host: &Host) {
        self.leads_to.send_replace(host.client().base().trim_start_matches("http://").to_owned());
    }
}

/// What `send.sh` prints: the answer with its head.
async fn send(host: &Host, key: &str, text: &str) -> String {
    let mut command = Command::new("bash");
    command.arg(example("send.sh")).args([key, text]).env("KHEISH_URL", host.client().base()).env("NO_PROXY", "*");
    command.env("ORDERS_TOKEN", "a-token").env("ORDERS_HMAC_SECRET", "a-secret").stdin(Stdio::null());
    let ended = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap().to_lowercase()
}

#[tokio::test]
async fn the_worker_answers_what_the_sender_sends() {
    let connectors = std::fs::read_to_string(example("connectors.toml")).unwrap();
    let host = Host::builder().plugins(&[HTTP]).connectors(connectors).token(ADMIN);
    let host = host.env("ORDERS_TOKEN", "a-token").env("ORDERS_HMAC_SECRET", "a-secret").start().await;
    let env = [("KHEISH_URL", host.client().base()), ("KHEISH_DAEMON_ADMIN_TOKEN", ADMIN)];
    let mut worker = Script::start("worker.py", &[], &env);
    let sent = send(&host, "order-1", "Order 1 has arrived.").await;
    assert!(sent.contains("200 ok") && sent.contains("kheish-receipt: accepted"), "{sent}");
    let line = worker.line().await;
    let [run, executor, status] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    assert_eq!((executor, status), ("claim", "completed"));
    assert_eq!(host.run(run).await["outputs"][0]["content"], "You said: Order 1 has arrived.");
    let again = send(&host, "order-1", "Order 1 has arrived.").await;
    assert!(again.contains("kheish-receipt: duplicate") && again.contains(run), "{again}");
    let other = send(&host, "order-1", "Another order.").await;
    assert!(other.contains("409 conflict"), "{other}");
}

#[tokio::test]
async fn a_worker_serves_the_executor_that_it_is_told() {
    let settings = "[executors.gpu]\ntype = \"claim\"\n";
    let host = Host::builder().plugins(&[]).settings(settings).executor("echo").start().await;
    host.post("/v1/sessions", &json!({ "session_id": "s", "executor": "gpu" })).await.expect(201);
    let run = host.submit("s", &json!({ "content": "hello" })).await.expect(202);
    let env = [("KHEISH_URL", host.client().base()), ("KHEISH_EXECUTOR_NAME", "gpu")];
    let mut worker = Script::start("worker.py", &[], &env);
    assert_eq!(worker.line().await, format!("{} gpu completed", run.text("/run_id")));
}

#[tokio::test]
async fn the_receiver_answers_at_once_or_later_and_fetches_files() {
    let door = Door::open().await;
    let env = [("KHEISH_URL", door.base.as_str()), ("KHEISH_SIGNING_SECRET", "a key of a receiver")];
    let mut receiver = Script::start("receiver.py", &["0"], &env);
    let line = receiver.line().await;
    let url = format!("http://127.0.0.1:{}", line.strip_prefix("receiving on ").unwrap());
    let settings = format!(
        "[executors.far]\ntype = \"push\"\nurl = \"{url}/runs\"\nsigning_secret_ref = \"far-key\"\nallow_private_network = true\n"
    );
    let host = Host::builder().plugins(&[]).token(ADMIN).settings(&settings).start().await;
    door.lead_to(&host);
    let state = json!({ "value": "a key of a receiver" });
    let secret = json!({ "slot_id": "far-key", "provider": "generic", "mode": "opaque_secret", "state": state });
    host.post("/v1/runtime/secrets", &secret).await.expect(200);
    let upload = host.client().request(Method::POST, "/v1/assets").body("1234");
    let file = client::answer(upload).await.expect(201).text("/asset_id").to_owned();
    host.post("/v1/sessions", &json!({ "session_id": "s", "executor": "far" })).await.expect(201);
    for (text, log) in [("do it", None), ("later, please", Some("was taken over by its receiver"))] {
        let items = json!([{ "type": "text", "text": text }, { "type": "asset_reference", "asset_id": file }]);
        let run = host.submit("s", &json!({ "input_items": items })).await.expect(202);
        let ended = eventually("the run has ended", async || {
            let run = host.run(run.text("/run_id")).await;
            run["finished_at_ms"].is_i64().then_some(run)
        })
        .await;
        let content = format!("You said: {text} And sent 4 bytes.");
        assert_eq!((&ended["outputs"][0]["content"], &ended["attempt"]), (&json!(content), &json!(1)), "{ended}");
        if let Some(log) = log {
            host.logs(log).await;
        }
    }
    let unsigned = Client::new(&url).post("/runs", &json!({})).await;
    assert_eq!((unsigned.status, unsigned.text("/error")), (401, "the signature is wrong"));
}
