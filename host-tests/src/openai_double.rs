//! A chat-completions endpoint by script. It judges every request strictly, and writes its answers byte by byte as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::wait::eventually;

/// What an answer ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The connection is closed.
    Close,
    /// Nothing more comes, and the connection stays until the other side closes it.
    Hang,
}

/// One answer: pieces, each written by itself, and how it ends.
#[derive(Clone, Debug)]
pub struct Play {
    /// The bytes.
    pub pieces: Vec<Vec<u8>>,
    /// What follows them.
    pub end: End,
}

impl Play {
    /// A status with headers (each with its line end) and a body.
    pub fn status(status: u16, headers: &str, body: &str) -> Self {
        let text = format!(
            "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        Self { pieces: vec![text.into_bytes()], end: End::Close }
    }

    /// A whole answer with this text.
    pub fn whole(text: &str) -> Self {
        let body = json!({
            "model": "double-1",
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "cost": 0.25 },
        });
        Self::status(200, "content-type: application/json\r\n", &body.to_string())
    }

    /// A stream that says these texts and ends as it should.
    pub fn stream(texts: &[&str]) -> Self {
        let mut play = Self::broken(texts);
        for chunk in [
            json!({ "model": "double-1", "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }),
            json!({ "choices": [], "usage": { "prompt_tokens": 11, "completion_tokens": 5, "prompt_tokens_details": { "cached_tokens": 4 } } }),
        ] {
            play.pieces.push(event(&chunk.to_string()));
        }
        play.pieces.push(event("[DONE]"));
        play
    }

    /// A stream that says these texts and then no more.
    pub fn broken(texts: &[&str]) -> Self {
        let head =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: hello\r\n\r\n".to_vec();
        let chunk =
            |text: &&str| json!({ "model": "double-1", "choices": [{ "index": 0, "delta": { "content": text } }] });
        let said = texts.iter().map(|text| event(&chunk(text).to_string()));
        Self { pieces: std::iter::once(head).chain(said).collect(), end: End::Close }
    }

    /// The same without an end.
    #[must_use]
    pub fn hanging(self) -> Self {
        Self { end: End::Hang, ..self }
    }

    /// The same, a few bytes at a time.
    #[must_use]
    pub fn cut_into(self, size: usize) -> Self {
        let pieces = self.pieces.concat().chunks(size.max(1)).map(<[u8]>::to_vec).collect();
        Self { pieces, ..self }
    }
}

fn event(data: &str) -> Vec<u8> {
    format!("data: {data}\r\n\r\n").into_bytes()
}

type Script = Box<dyn Fn(usize, &Value) -> Play + Send + Sync>;

struct Book {
    key: Option<String>,
    script: Script,
    asked: Mutex<Vec<Value>>,
    left: Mutex<usize>,
}

/// The endpoint; stops when dropped.
pub struct OpenAiDouble {
    address: SocketAddr,
    book: Arc<Book>,
    server: JoinHandle<()>,
}

impl Drop for OpenAiDouble {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl OpenAiDouble {
    /// Answers the request of this number, from 0, as the script says. With a key every request must bring it, without one none.
    pub async fn start(key: Option<&str>, script: impl Fn(usize, &Value) -> Play + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port that was bound");
        let key = key.map(str::to_owned);
        let book = Arc::new(Book { key, script: Box::new(script), asked: Mutex::default(), left: Mutex::default() });
        let server = tokio::spawn(serve(listener, Arc::clone(&book)));
        Self { address, book, server }
    }

    /// Settings of a daemon that asks this endpoint, with further lines for it.
    pub fn settings(&self, more: &str) -> String {
        format!(
            "[executors.openai]\ntype = \"openai\"\nbase_url = \"http://{}/v1/\"\nmodel = \"m\"\nallow_private_network = true\n\
             backoff_ms = 1\n{more}\n",
            self.address
        )
    }

    /// The bodies of all requests, in order.
    pub fn asked(&self) -> Vec<Value> {
        lock(&self.book.asked).clone()
    }

    /// The messages of the request of this number: role and text.
    pub fn messages(&self, nth: usize) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let messages = self.asked()[nth]["messages"].as_array().cloned().unwrap_or_default();
        messages.iter().map(|message| (text(&message["role"]), text(&message["content"]))).collect()
    }

    /// Waits for so many requests.
    pub async fn asked_times(&self, count: usize) {
        eventually(&format!("{count} requests have come"), async || (self.asked().len() >= count).then_some(())).await;
    }

    /// Waits until the other side has closed so many connections on which an answer hung.
    pub async fn left_times(&self, count: usize) {
        eventually(&format!("{count} connections are closed"), async || {
            (*lock(&self.book.left) >= count).then_some(())
        })
        .await;
    }
}

async fn serve(listener: TcpListener, book: Arc<Book>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let book = Arc::clone(&book);
        // Connections break when a daemon ends: nothing to report.
        connections.spawn(async move { answer(stream, &book).await.ok() });
    }
}

async fn answer(mut stream: TcpStream, book: &Book) -> std::io::Result<()> {
    let Some((head, body)) = read(&mut stream).await? else { return Ok(()) };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let nth = {
        let mut asked = lock(&book.asked);
        asked.push(body.clone());
        asked.len() - 1
    };
    let play = match judge(&head, &body, book.key.as_deref()) {
        Ok(()) => (book.script)(nth, &body),
        Err(wrong) => Play::status(
            422,
            "",
            &json!({ "error": { "message": format!("the double objects: {wrong}") } }).to_string(),
        ),
    };
    let told = tell(&mut stream, &play.pieces).await;
    if play.end == End::Hang {
        // Who has heard enough may leave before all is told.
        while told.is_ok() && stream.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
        *lock(&book.left) += 1;
    }
    told
}

async fn tell(stream: &mut TcpStream, pieces: &[Vec<u8>]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    for piece in pieces {
        stream.write_all(piece).await?;
        // Each piece is a packet of its own, as far as the other side keeps up.
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = header(&head, "content-length").and_then(|text| text.parse::<usize>().ok()).unwrap_or_default();
        while bytes.len() < end + 4 + length && stream.read_buf(&mut bytes).await? > 0 {}
        return Ok(Some((head, bytes.split_off(end + 4))));
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    let mut pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}

/// What the reference of chat completions demands, and a little more.
fn judge(head: &str, body: &Value, key: Option<&str>) -> Result<(), String> {
    let fail = |what: &str| Err(format!("{what}: {body}"));
    if !head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n") {
        return Err(format!("request line: {}", head.lines().next().unwrap_or_default()));
    }
    if header(head, "content-type").as_deref() != Some("application/json") {
        return fail("content type");
    }
    if header(head, "authorization") != key.map(|key| format!("Bearer {key}")) {
        return Err("authorization".to_owned());
    }
    let known = ["model", "messages", "stream", "stream_options", "temperature", "max_tokens", "seed"];
    let Some(fields) = body.as_object() else { return fail("not an object") };
    if fields.keys().any(|field| !known.contains(&field.as_str())) || !body["model"].is_string() {
        return fail("fields");
    }
    let Some(stream) = body["stream"].as_bool() else { return fail("stream") };
    if body.get("stream_options") != stream.then(|| json!({ "include_usage": true })).as_ref() {
        return fail("stream_options");
    }
    let Some(messages) = body["messages"].as_array().filter(|messages| !messages.is_empty()) else {
        return fail("messages");
    };
    let is_fine = |(at, message): (usize, &Value)| {
        let role = message["role"].as_str().unwrap_or_default();
        let placed = (role == "system" && at == 0) || ["user", "assistant"].contains(&role);
        placed && message["content"].is_string() && message.get("name").is_none_or(is_name)
    };
    if !messages.iter().enumerate().all(is_fine) || messages.last().is_none_or(|last| last["role"] != "user") {
        return fail("messages");
    }
    Ok(())
}

fn is_name(name: &Value) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    name.as_str().is_some_and(|name| (1..=64).contains(&name.len()) && name.bytes().all(fits))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
