//! What the double knows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::files::File;
use crate::sign::now;

/// The workspace that is there from the start.
pub(super) const TEAM: &str = "T1";

/// The double's bot.
pub(super) const BOT: &str = "B1";

/// A call as it arrived.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: String,
    /// Its arguments; null where they could not be read.
    pub args: Value,
}

/// A message in a channel.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its timestamp, which is its name.
    pub ts: String,
    /// What it says.
    pub text: String,
    /// The first message of its thread.
    pub thread_ts: Option<String>,
    /// The names of files in it.
    pub files: Vec<String>,
    /// Whether the bot said it.
    pub by_bot: bool,
    /// All that was given with it.
    pub args: Value,
}

/// What becomes of a call, in place of what Slack would do.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing is done, and this is answered.
    Answer(u16, Value),
    /// Nothing is done, and the caller is to wait so many seconds.
    Flood(u64),
    /// Nothing is done, and the connection ends.
    HangUp,
    /// It is done, and the connection ends without an answer.
    DoAndHangUp,
    /// It is done, and no answer ever comes.
    DoAndStall,
    /// It is done, and something in between answers with this status.
    DoAndAnswer(u16),
}

/// Why a call was not done.
#[derive(Debug)]
pub(super) enum No {
    /// Slack's word for it.
    Word(&'static str),
    /// Too often: wait so many seconds.
    Flood(u64),
}

/// A channel.
#[derive(Debug)]
pub(super) struct Channel {
    /// The workspace that it is in.
    pub(super) team: String,
    pub(super) member: bool,
    pub(super) messages: Vec<Message>,
    /// What may still be said at once, and when that was counted, in milliseconds.
    pub(super) budget: Option<(f64, u128)>,
}

impl Default for Channel {
    fn default() -> Self {
        Self { team: TEAM.to_owned(), member: true, messages: Vec::new(), budget: None }
    }
}

/// All of it.
pub(super) struct State {
    /// Workspaces by the token of the bot in them.
    pub(super) tokens: BTreeMap<String, String>,
    /// Workspaces whose tokens count no more.
    pub(super) revoked: BTreeSet<String>,
    /// The workspace whose token came with the call that is being done.
    pub(super) team: String,
    pub(super) origin: String,
    pub(super) burst: u32,
    /// So many times quicker than Slack.
    pub(super) quicker: f64,
    /// Messages that were refused because they came too fast.
    pub(super) floods: usize,
    pub(super) channels: BTreeMap<String, Channel>,
    pub(super) files: BTreeMap<String, File>,
    /// Answers that an address still takes.
    pub(super) hooks: BTreeMap<String, u32>,
    pub(super) whispers: Vec<Value>,
    pub(super) faults: BTreeMap<String, VecDeque<Fault>>,
    pub(super) log: Vec<Call>,
    pub(super) violations: Vec<String>,
    pub(super) count: u64,
}

impl State {
    pub(super) fn new(token: &str, origin: String) -> Self {
        Self {
            tokens: BTreeMap::from([(token.to_owned(), TEAM.to_owned())]),
            revoked: BTreeSet::new(),
            team: TEAM.to_owned(),
            origin,
            burst: 5,
            quicker: 1.0,
            floods: 0,
            channels: BTreeMap::from([("C1".to_owned(), Channel::default())]),
            files: BTreeMap::new(),
            hooks: BTreeMap::new(),
            whispers: Vec::new(),
            faults: BTreeMap::new(),
            log: Vec::new(),
            violations: Vec::new(),
            count: 0,
        }
    }

    pub(super) fn channel_mut(&mut self, id: &str) -> &mut Channel {
        self.channels.entry(id.to_owned()).or_default()
    }

    /// A channel of the workspace whose token is used; nobody sees those of others.
    pub(super) fn seen(&self, id: &str) -> Option<&Channel> {
        self.channels.get(id).filter(|channel| channel.team == self.team)
    }

    /// Writes a call down and gives what is to become of it.
    pub(super) fn begin(&mut self, method: &str, args: &Option<Value>) -> Option<Fault> {
        self.log.push(Call { method: method.to_owned(), args: args.clone().unwrap_or_default() });
        self.faults.get_mut(method)?.pop_front()
    }

    /// Does what a method does.
    pub(super) fn call(
        &mut self,
        method: &str,
        token: Option<&str>,
        (args, is_json): (&Value, bool),
    ) -> Result<Value, No> {
        let Some(token) = token else { return Err(No::Word("not_authed")) };
        match self.tokens.get(token) {
            None => return Err(No::Word("invalid_auth")),
            Some(team) if self.revoked.contains(team) => return Err(No::Word("token_revoked")),
            Some(team) => self.team.clone_from(team),
        }
        match method {
            "auth.test" => Ok(json!({"team_id": self.team, "user_id": "U0BOT", "bot_id": BOT})),
            "chat.postMessage" => self.post_message(args),
            "chat.postEphemeral" => self.post_ephemeral(args),
            "conversations.history" => self.history(args),
            "conversations.replies" => self.replies(args),
            "conversations.open" => Ok(json!({"channel": {"id": self.open(args)?}})),
            "assistant.threads.setStatus" => self.set_status(args),
            // Known to take no JSON.
            "files.getUploadURLExternal" if is_json => Err(No::Word("invalid_arguments")),
            "files.getUploadURLExternal" => self.upload_url(args),
            "files.completeUploadExternal" => self.complete_upload(args),
            "files.info" => self.file_info(args),
            _ => Err(No::Word("unknown_method")),
        }
    }

    /// A timestamp that no other message has.
    pub(super) fn ts(&mut self) -> String {
        self.count += 1;
        format!("{}.{:06}", now().as_secs(), self.count)
    }

    /// An address for answers to a command.
    pub(super) fn hook(&mut self) -> String {
        self.count += 1;
        let id = format!("/commands/T1/{}", self.count);
        let url = format!("{}{id}", self.origin);
        self.hooks.insert(id, 5);
        url
    }

    pub(super) fn violate(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }
}

/// An argument that has to be there.
pub(super) fn arg<'a>(args: &'a Value, name: &str) -> Option<&'a str> {
    args[name].as_str().filter(|text| !text.is_empty())
}
