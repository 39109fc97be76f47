//! Rates as Telegram keeps them: one message a second to a chat after a burst, twenty a minute to a group, thirty a second in
//! all. Who is over waits.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Messages a minute to one group.
const GROUP_PER_MINUTE: usize = 20;
/// Messages a second of one bot.
const BOT_PER_SECOND: usize = 30;

/// Who sent how much of late.
#[derive(Debug)]
pub(super) struct Rates {
    burst: u32,
    quicker: u32,
    floods: usize,
    chats: HashMap<i64, Vec<Instant>>,
    all: Vec<Instant>,
}

impl Default for Rates {
    fn default() -> Self {
        Self { burst: 20, quicker: 1, floods: 0, chats: HashMap::new(), all: Vec::new() }
    }
}

impl Rates {
    pub(super) fn set_burst(&mut self, messages: u32) {
        self.burst = messages;
    }

    pub(super) fn set_quicker(&mut self, times: u32) {
        self.quicker = times;
    }

    pub(super) fn floods(&self) -> usize {
        self.floods
    }

    /// Counts a message, or says how many seconds to wait.
    pub(super) fn spend(&mut self, chat: i64, now: Instant) -> Result<(), u64> {
        let spent = self.try_spend(chat, now);
        self.floods += usize::from(spent.is_err());
        spent
    }

    fn try_spend(&mut self, chat: i64, now: Instant) -> Result<(), u64> {
        let quicker = self.quicker;
        let secs = |secs: u64| Duration::from_secs(secs) / quicker;
        if self.burst == u32::MAX {
            return Ok(());
        }
        self.all.retain(|at| now - *at < secs(1));
        if self.all.len() >= BOT_PER_SECOND {
            return Err(1);
        }
        let sent = self.chats.entry(chat).or_default();
        sent.retain(|at| now - *at < secs(60));
        if chat < 0 && sent.len() >= GROUP_PER_MINUTE {
            let oldest = sent.first().map_or(Duration::ZERO, |at| now - *at);
            return Err(60 - oldest.as_secs().min(59));
        }
        // A burst is given back with one message a second.
        let burst = usize::try_from(self.burst).unwrap_or(usize::MAX);
        let window = secs(u64::from(self.burst));
        if sent.iter().filter(|at| now - **at < window).count() >= burst {
            return Err(1);
        }
        sent.push(now);
        self.all.push(now);
        Ok(())
    }
}
