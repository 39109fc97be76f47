//! A Bot API as strict as Telegram's: it counts lengths, reads marks, keeps rates, gives each poll its due and forgets what
//! was confirmed. What it is asked it writes down, and that log is the judge.
//!
//! The rules are those of the documentation and of the server's own source; python-telegram-bot, aiogram and grammY work
//! against it.

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
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

use crate::wait::eventually;

mod files;
mod html;
mod methods;
mod params;
mod polls;
mod rates;
mod state;

use params::Params;
pub use state::{Call, Chat, Fault, Message};
use state::{No, State};

/// The token of the double's bot.
pub const TOKEN: &str = "4839574812:AAFD39kkdpWt3ywyRZergyOLMaJhac60qcf";

struct Shared {
    state: Mutex<State>,
    /// Rings when there is something new for whoever polls.
    bell: Notify,
}

/// The double; stops when dropped.
pub struct BotApi {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Drop for BotApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl BotApi {
    /// Starts with one bot, no chat, and nothing sent.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port that was bound");
        let shared = Arc::new(Shared { state: Mutex::new(State::new(TOKEN)), bell: Notify::new() });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, server }
    }

    /// The base URL, as connectors and client libraries want it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Knows a chat from now on.
    pub fn chat(&self, chat: Chat) {
        self.state().chats.insert(chat.id, chat);
    }

    /// What becomes of the next calls of a method, one fault for each.
    pub fn fail(&self, method: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut state = self.state();
        state.faults.entry(method.to_owned()).or_default().extend(faults);
    }

    /// The token counts no more, until [`Self::restore`].
    pub fn revoke(&self) {
        self.state().revoked = true;
    }

    /// The token counts again.
    pub fn restore(&self) {
        self.state().revoked = false;
    }

    /// So many messages in a row may go to one chat; then one each second. With `u32::MAX` there are no rates at all.
    pub fn burst(&self, messages: u32) {
        self.state().rates.set_burst(messages);
    }

    /// A second of the double's rates is so much shorter.
    pub fn quicker(&self, times: u32) {
        self.state().rates.set_quicker(times);
    }

    /// How many messages were refused because they came too fast.
    pub fn floods(&self) -> usize {
        self.state().rates.floods()
    }

    /// The double's clock goes ahead by so many seconds.
    pub fn advance(&self, secs: u64) {
        self.state().ahead_secs += secs;
    }

    /// The next update gets this number, as after a week without any.
    pub fn number_from(&self, id: i64) {
        self.state().next_update = id;
    }

    /// Something happened: an update of this kind waits for whoever asks. Gives its number.
    pub fn happen(&self, kind: &str, content: Value) -> i64 {
        let id = self.state().happen(kind, content);
        self.shared.bell.notify_waiters();
        id
    }

    /// A text from a person to a chat that the double knows. Gives the update's number.
    pub fn says(&self, chat: i64, text: &str) -> i64 {
        let message = self.state().incoming(chat, json!({ "text": text }));
        self.happen("message", message)
    }

    /// A message from a person as Telegram would write it, with these members beside what all have.
    pub fn written(&self, chat: i64, members: Value) -> Value {
        self.state().incoming(chat, members)
    }

    /// Keeps a file, and gives its `File` object.
    pub fn keep(&self, name: &str, bytes: impl Into<Bytes>) -> Value {
        self.state().files.keep(name, bytes.into())
    }

    /// Forgets a file: its id stays valid, and its bytes are gone.
    pub fn lose(&self, file: &Value) {
        self.state().files.lose(file["file_id"].as_str().unwrap_or_default());
    }

    /// Every call of the API so far, in the order of arrival; a file that was fetched has its path for a name.
    pub fn calls(&self) -> Vec<Call> {
        self.state().log.clone()
    }

    /// The calls of one method.
    pub fn calls_of(&self, method: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.method == method).collect()
    }

    /// What the bot has sent to a chat, in order.
    pub fn sent(&self, chat: i64) -> Vec<Message> {
        self.state().sent.iter().filter(|message| message.chat == chat).cloned().collect()
    }

    /// The texts of that.
    pub fn texts(&self, chat: i64) -> Vec<String> {
        self.sent(chat).into_iter().map(|message| message.text).collect()
    }

    /// Updates that nobody has confirmed, by number.
    pub fn unconfirmed(&self) -> Vec<i64> {
        self.state().updates.iter().map(|update| update.id).collect()
    }

    /// The webhook that is set; empty without one.
    pub fn webhook(&self) -> String {
        self.state().webhook.url.clone()
    }

    /// Sets a webhook behind everybody's back, as another program with the same token does.
    pub fn hijack(&self, url: &str) {
        url.clone_into(&mut self.state().webhook.url);
        self.shared.bell.notify_waiters();
    }

    /// What the webhook's requests would show.
    pub fn webhook_secret(&self) -> Option<String> {
        self.state().webhook.secret.clone()
    }

    /// Waits until so many messages have been sent to a chat.
    pub async fn when_sent(&self, chat: i64, count: usize) -> Vec<Message> {
        eventually(&format!("{count} messages have been sent to {chat}"), async || {
            let sent = self.sent(chat);
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
        lock(&self.shared.state)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the set, and the set with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&shared)));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| handle(request, Arc::clone(&shared)));
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

async fn handle(request: Request<Incoming>, shared: Arc<Shared>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    // Client libraries encode the colon of the token, and Telegram decodes it.
    let path = params::decoded(head.uri.path());
    if let Some(rest) = path.strip_prefix("/file/bot") {
        return file(&shared, rest).await;
    }
    let called = path.strip_prefix("/bot").and_then(|rest| rest.split_once('/'));
    let Some((token, method)) = called else { return answer(&shared, Err(No::not_found())) };
    let params = Params::read(&head, &body);
    let fault = match begin(&shared, token, method, &params) {
        Ok(fault) => fault,
        Err(no) => return answer(&shared, Err(no)),
    };
    match fault {
        Some(Fault::Answer(status, body)) => return respond(&shared, status, body.to_string().into()),
        Some(Fault::HangUp) => return Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
        _ => {}
    }
    let outcome = match method.to_lowercase().as_str() {
        "getupdates" => polls::get_updates(&shared, &params).await,
        method => lock(&shared.state).call(method, &params),
    };
    shared.bell.notify_waiters();
    match fault {
        Some(Fault::DoAndHangUp) => return Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
        Some(Fault::DoAndStall) => std::future::pending().await,
        _ => {}
    }
    answer(&shared, outcome)
}

/// Writes the call down and checks who calls.
fn begin(shared: &Shared, token: &str, method: &str, params: &Params) -> Result<Option<Fault>, No> {
    let mut state = lock(&shared.state);
    let index = state.log.len();
    state.log.push(Call { index, method: method.to_owned(), params: params.logged() });
    state.check_token(token)?;
    Ok(state.faults.get_mut(method).and_then(|faults| (!faults.is_empty()).then(|| faults.remove(0))))
}

async fn file(shared: &Shared, rest: &str) -> io::Result<Response<Full<Bytes>>> {
    let Some((token, path)) = rest.split_once('/') else { return answer(shared, Err(No::not_found())) };
    let fault = match begin(shared, token, path, &Params::default()) {
        Ok(fault) => fault,
        Err(_) => return answer(shared, Err(No::not_found())),
    };
    match fault {
        Some(Fault::Answer(status, body)) => return respond(shared, status, body.to_string().into()),
        Some(Fault::HangUp | Fault::DoAndHangUp) => return Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
        Some(Fault::DoAndStall) => return std::future::pending().await,
        _ => {}
    }
    let bytes = lock(&shared.state).files.at(path);
    match bytes {
        Some(bytes) => respond(shared, 200, bytes),
        None => answer(shared, Err(No::not_found())),
    }
}

fn answer(shared: &Shared, outcome: Result<Value, No>) -> io::Result<Response<Full<Bytes>>> {
    let (status, body) = match outcome {
        Ok(result) => (200, json!({ "ok": true, "result": result })),
        Err(no) => (no.status, no.body()),
    };
    respond(shared, status, body.to_string().into())
}

fn respond(shared: &Shared, status: u16, body: Bytes) -> io::Result<Response<Full<Bytes>>> {
    let date = lock(&shared.state).date();
    let response = Response::builder().status(status).header("content-type", "application/json").header("date", date);
    response.body(Full::new(body)).map_err(io::Error::other)
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
