//! The bridge to a mailbox, with a mail server.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kheish_host_tests::{
    client::answer,
    host::Host,
    program::{Program, free_port},
    sidecar::{TOKEN, health_when},
    wait::eventually,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{QUICK, folder, put_child, store};

/// The password that the test server knows.
const PASSWORD: &str = "pass word";

/// A mail server with a mailbox.
struct Mail {
    program: Program,
    env: Value,
}

impl Mail {
    async fn start() -> Self {
        let mut server = Command::new("python3");
        server.args(["-m", "tests.mail_server"]).current_dir(folder("sidecar-python"));
        let mut program = Program::start(server.env("PYTHONDONTWRITEBYTECODE", "1"));
        let ports = program.says().await;
        let env = json!({
            "EMAIL_ADDRESS": "bot@example.org", "EMAIL_ALLOWED": "@example.net", "EMAIL_POLL_SECONDS": "0.1",
            "EMAIL_IMAP_URL": format!("imap://127.0.0.1:{}", ports["imap"]),
            "EMAIL_SMTP_URL": format!("smtp://127.0.0.1:{}", ports["smtp"]), "PYTHONDONTWRITEBYTECODE": "1",
        });
        Self { program, env }
    }

    /// A mail of Ann's comes in, with these headers more.
    async fn comes(&mut self, id: &str, headers: &str, text: &str) {
        let mail = format!(
            "From: Ann <ann@example.net>\r\nTo: bot@example.org\r\nMessage-ID: <{id}@ann>\r\n\
             Date: Tue, 01 Sep 2026 10:00:00 +0200\r\nSubject: A question\r\n{headers}\r\n{text}\r\n"
        );
        self.program.tell(&json!({ "put": STANDARD.encode(mail) })).await;
    }

    /// The next mail that goes out.
    async fn goes(&mut self) -> String {
        let said = self.program.says().await;
        let mail = STANDARD.decode(said["sent"].as_str().unwrap()).unwrap();
        // A long header is folded.
        String::from_utf8(mail).unwrap().replace("\r\n ", " ")
    }
}

/// The runs of all sessions, by count.
async fn runs(host: &Host) -> u64 {
    let counts = host.get("/v1/status").await.expect(200).json["runs"].clone();
    counts.as_object().unwrap().values().filter_map(Value::as_u64).sum()
}

/// Waits until so many answers are known to have arrived.
async fn delivered(host: &Host, count: usize) {
    eventually(&format!("{count} answers are delivered"), async || {
        let deliveries = host.get("/v1/status").await.expect(200).json["deliveries"].clone();
        (deliveries["delivered"] == count).then_some(())
    })
    .await;
}

fn header<'m>(mail: &'m str, name: &str) -> &'m str {
    let found = mail.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    found.unwrap_or_else(|| panic!("no {name} in {mail}"))
}

#[tokio::test]
async fn mails_are_answered_once_whatever_ends_in_between() {
    let mut mail = Mail::start().await;
    let mut host = Host::builder().plugins(&[]).executor("echo").settings(QUICK).start().await;
    store(&host, "mail-password", PASSWORD).await;
    mail.env["KHEISH_EXTERNAL_CONNECTOR_LEDGER_FILE"] = json!(host.state_folder().join("mail-ledger"));
    let child = json!({
        "command": "python3", "args": ["-m", "email_bridge"], "working_dir": folder("sidecar-python"), "env": mail.env,
        "credential_slots": { "EMAIL_PASSWORD": "mail-password" },
    });
    put_child(&host, "mail", free_port(), &child).await;
    health_when(&host, "mail", "ready").await;

    mail.comes("1", "", "Does it work?").await;
    let first = mail.goes().await;
    assert!(first.contains("Does it work?"), "{first}");
    assert_eq!(header(&first, "In-Reply-To"), "<1@ann>");
    assert_eq!((header(&first, "Subject"), header(&first, "To")), ("Re: A question", "ann@example.net"));

    // The daemon is gone before it heard of the answer, and so is its child. A mail comes meanwhile, and the server numbers
    // its mails anew.
    host.kill();
    mail.comes("2", "", "And now?").await;
    mail.program.tell(&json!({ "validity": 2 })).await;
    host.restart().await;
    let second = mail.goes().await;
    assert!(second.contains("And now?"), "{second}");

    // An answer belongs to its conversation, though it names only the bridge's mail.
    let headers = format!("In-Reply-To: {}\r\n", header(&first, "Message-ID"));
    mail.comes("3", &headers, "Thank you.").await;
    let third = mail.goes().await;
    assert!(third.contains("Thank you."), "{third}");
    assert_eq!(runs(&host).await, 3, "each mail is one run");
    let sessions = host.get("/v1/sessions").await.expect(200);
    assert_eq!(sessions.items().len(), 2, "{}", sessions.json);
    delivered(&host, 3).await;
}

#[tokio::test]
async fn files_come_and_go_with_mails() {
    let mut mail = Mail::start().await;
    let host = Host::builder().plugins(&[]).settings(QUICK).start().await;
    let mut bridge = Command::new("python3");
    bridge.args(["-m", "email_bridge"]).current_dir(folder("sidecar-python")).env("EMAIL_PASSWORD", PASSWORD);
    bridge.envs(mail.env.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap())));
    for (name, value) in
        [("NAME", "mail"), ("BASE_URL", "http://127.0.0.1:1"), ("LISTEN", "127.0.0.1:0"), ("SHARED_TOKEN", TOKEN)]
    {
        bridge.env(format!("KHEISH_EXTERNAL_CONNECTOR_{name}"), value);
    }
    // It begins before its connector is there: its mails wait.
    let part = "--b\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n--b\r\nContent-Type: text/csv; name=a.csv\r\n\
                Content-Disposition: attachment; filename=a.csv\r\n\r\n1,2\r\n--b--";
    mail.comes("1", "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n", part).await;
    let mut bridge = Program::start(bridge.env("KHEISH_EXTERNAL_CONNECTOR_DAEMON_BASE_URL", host.client().base()));
    let said = bridge.says_line().await;
    let address = said.strip_prefix("listening on ").unwrap();
    let fields = json!({
        "platform": "mail", "base_url": format!("http://{address}"), "allow_private_network": true,
        "shared_token": { "value": TOKEN }, "session_policy": { "create_if_missing": true },
    });
    host.put("/v1/runtime/connectors/external/mail", &fields).await.expect(201);
    let claimed = host.worker("w").take().await;
    assert_eq!(claimed.text(), "A question\n\nSee the file.");
    let file = &claimed.view["input"][1];
    assert!(file.to_string().contains("a.csv"), "{file}");

    let kept = host.client().request(Method::POST, "/v1/assets?name=b.pdf&media_type=application/pdf").body("%PDF-1");
    let kept = answer(kept).await.expect(201).text("/asset_id").to_owned();
    let outputs = json!([{ "content": "Here is another.", "artifacts": [{ "asset_id": kept }] }]);
    let end = json!({ "epoch": claimed.epoch, "outputs": outputs });
    host.post(&format!("/v1/runs/{}/finish", claimed.run), &end).await.expect(200);
    let sent = mail.goes().await;
    assert!(sent.contains("Here is another.") && sent.contains("filename=\"b.pdf\""), "{sent}");
    assert!(sent.contains(&STANDARD.encode("%PDF-1")), "{sent}");
    host.deliveries_when(&claimed.run, 1, "delivered").await;
}
