//! A Web API as strict as Slack's: it knows tokens, channels and threads, counts lengths, keeps rates and the order of upload
//! steps, and lets nobody read without a token. What it is asked it writes down, and that log is the judge.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::wait::eventually;

mod app;
mod chat;
mod files;
mod state;

pub use app::{App, SIGNING_SECRET};
pub use state::{Call, Fault, Message};
use state::{No, State};

/// The token of the double's bot.
pub const TOKEN: &str = "xoxb-123456789012-ThisIsTheBotTokenOfTheDouble";

/// Where methods are called.
const API: &str = "/api/";

/// The double; stops when dropped.
pub struct WebApi {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl Drop for WebApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl WebApi {
    /// Starts with one workspace `T1`, the bot in it, the channel `C1`, and nothing said.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port that was bound");
        let state = Arc::new(Mutex::new(State::new(TOKEN, format!("http://{address}"))));
        let server = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, server }
    }

    /// Where its methods are, as a connector's `api_base_url`.
    pub fn url(&self) -> String {
        format!("{}/api", self.origin())
    }

    /// The beginning of its other addresses.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Knows a channel from now on, with the bot in it.
    pub fn channel(&self, id: &str) {
        self.state().channels.insert(id.to_owned(), state::Channel::default());
    }

    /// Knows a workspace from now on: the bot's token in it, and a channel with the bot in it.
    pub fn workspace(&self, team: &str, token: &str, channel: &str) {
        let mut state = self.state();
        state.tokens.insert(token.to_owned(), team.to_owned());
        state.channel_mut(channel).team = team.to_owned();
    }

    /// Another token counts in a workspace, and none of before.
    pub fn rotate(&self, team: &str, token: &str) {
        let mut state = self.state();
        state.tokens.retain(|_, of| of != team);
        state.tokens.insert(token.to_owned(), team.to_owned());
    }

    /// Takes the bot out of a channel.
    pub fn kick(&self, id: &str) {
        self.state().channel_mut(id).member = false;
    }

    /// Somebody says something in a channel. Gives its timestamp.
    pub fn says(&self, channel: &str, text: &str) -> String {
        self.state().say(channel, json!({"user": "U1", "text": text}))
    }

    /// What becomes of the next calls of a method, one fault for each.
    pub fn fail(&self, method: &str, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.entry(method.to_owned()).or_default().extend(faults);
    }

    /// The token counts no more, until [`Self::restore`].
    pub fn revoke(&self) {
        self.state().revoked.insert(state::TEAM.to_owned());
    }

    /// The token counts again.
    pub fn restore(&self) {
        self.state().revoked.clear();
    }

    /// So many messages in a row may go to one channel; then one each second.
    pub fn burst(&self, messages: u32) {
        self.state().burst = messages;
    }

    /// A second of the double's rates is so much shorter.
    pub fn quicker(&self, times: f64) {
        self.state().quicker = times;
    }

    /// How many messages were refused because they came too fast.
    pub fn floods(&self) -> usize {
        self.state().floods
    }

    /// An address that takes five answers to a command, as Slack gives out with one.
    pub fn response_url(&self) -> String {
        self.state().hook()
    }

    /// The address takes no answers any more.
    pub fn expire(&self, response_url: &str) {
        self.state().hooks.retain(|id, _| !response_url.ends_with(id.as_str()));
    }

    /// Keeps a file that somebody has put up, and gives its object as in an event.
    pub fn keep(&self, name: &str, media_type: &str, bytes: impl Into<Bytes>) -> Value {
        self.keep_in(state::TEAM, (name, media_type), bytes)
    }

    /// The same in another workspace.
    pub fn keep_in(&self, team: &str, (name, media_type): (&str, &str), bytes: impl Into<Bytes>) -> Value {
        self.state().keep(team, (name, media_type), bytes.into())
    }

    /// Deletes a file: it is known, and there is nothing to be had.
    pub fn delete(&self, file: &Value) {
        self.state().delete(file["id"].as_str().unwrap_or_default());
    }

    /// Every call so far, in the order of arrival; what is no method has its path for a name.
    pub fn calls(&self) -> Vec<Call> {
        self.state().log.clone()
    }

    /// The calls of one method.
    pub fn calls_of(&self, method: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.method == method).collect()
    }

    /// What the bot has said in a channel, in order.
    pub fn sent(&self, channel: &str) -> Vec<Message> {
        let state = self.state();
        let messages = state.channels.get(channel).map(|channel| channel.messages.clone()).unwrap_or_default();
        messages.into_iter().filter(|message| message.by_bot).collect()
    }

    /// The texts of that.
    pub fn texts(&self, channel: &str) -> Vec<String> {
        self.sent(channel).into_iter().map(|message| message.text).collect()
    }

    /// What only one person saw, or what went to the address of a command.
    pub fn whispered(&self) -> Vec<Value> {
        self.state().whispers.clone()
    }

    /// What no good client does, each in a sentence.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Waits until the bot has said so much in a channel.
    pub async fn when_sent(&self, channel: &str, count: usize) -> Vec<Message> {
        eventually(&format!("{count} messages have been sent to {channel}"), async || {
            let sent = self.sent(channel);
            (sent.len() >= count).then_some(sent)
        })
        .await
    }

    /// Waits until a method was called so often.
    pub async fn when_called(&self, method: &str, count: usize) -> Vec<Call> {
        eventually(&format!("{method} was called {count} times"), async || {
            let calls = self.calls_of(method);
            (calls.len() >= count).then_some(calls)
        })
        .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    // Connections end with the set, and the set with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&state)));
    }
}

async fn connection(stream: TcpStream, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request| handle(request, Arc::clone(&state)));
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

async fn handle(request: Request<Incoming>, state: Arc<Mutex<State>>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let token = header("authorization").strip_prefix("Bearer ").map(str::to_owned);
    let path = head.uri.path().to_owned();
    let method = path.strip_prefix(API);
    let args = match method {
        Some(_) => read(&header("content-type"), &body),
        None => serde_json::from_slice(&body).ok(),
    };
    let fault = lock(&state).begin(method.unwrap_or(&path), &args);
    match fault {
        Some(Fault::Answer(status, body)) => return respond(status, "application/json", body.to_string().into(), None),
        Some(Fault::Flood(secs)) => return answer(Err(No::Flood(secs))),
        Some(Fault::HangUp) => return Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
        _ => {}
    }
    let done = match (method, &args) {
        (None, _) => plain(lock(&state).other(&path, token.as_deref(), body)),
        (Some(method), Some(args)) => {
            let is_json = header("content-type").starts_with("application/json");
            answer(lock(&state).call(method, token.as_deref(), (args, is_json)))
        }
        (Some(_), None) => answer(Err(No::Word("invalid_form_data"))),
    };
    match fault {
        Some(Fault::DoAndHangUp) => return Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
        Some(Fault::DoAndStall) => std::future::pending().await,
        Some(Fault::DoAndAnswer(status)) => return respond(status, "text/html", "<html>".into(), None),
        _ => {}
    }
    done
}

/// The arguments of a call, from JSON or a form.
fn read(media_type: &str, body: &Bytes) -> Option<Value> {
    if media_type.starts_with("application/json") {
        return serde_json::from_slice(body).ok().filter(Value::is_object);
    }
    let fields = reqwest::Url::parse(&format!("http://form/?{}", String::from_utf8(body.to_vec()).ok()?)).ok()?;
    Some(fields.query_pairs().map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))).collect())
}

fn answer(outcome: Result<Value, No>) -> io::Result<Response<Full<Bytes>>> {
    match outcome {
        Ok(mut body) => {
            body["ok"] = true.into();
            respond(200, "application/json", body.to_string().into(), None)
        }
        Err(No::Word(error)) => {
            let body = json!({"ok": false, "error": error});
            respond(200, "application/json", body.to_string().into(), None)
        }
        Err(No::Flood(secs)) => {
            let body = json!({"ok": false, "error": "ratelimited"});
            respond(429, "application/json", body.to_string().into(), Some(secs))
        }
    }
}

fn plain((status, media_type, body): (u16, String, Bytes)) -> io::Result<Response<Full<Bytes>>> {
    respond(status, &media_type, body, None)
}

fn respond(status: u16, media_type: &str, body: Bytes, wait: Option<u64>) -> io::Result<Response<Full<Bytes>>> {
    let mut response = Response::builder().status(status).header("content-type", media_type);
    if let Some(secs) = wait {
        response = response.header("retry-after", secs);
    }
    response.body(Full::new(body)).map_err(io::Error::other)
}
