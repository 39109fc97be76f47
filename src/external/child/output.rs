//! What a child writes, line by line in the log: lines within their length, so many a second, and no more read than that
//! takes. A child that floods its output waits for itself.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

use crate::{config::sidecars::ChildSettings, secrets::mask::mask};

/// The time for which a share is good.
const SECOND: Duration = Duration::from_secs(1);

/// How much is read at once, in bytes.
const CHUNK: usize = 16 * 1024;

/// How much more of a line is kept than is shown, in bytes: a secret that begins before the cut is whole when it is masked.
const MARGIN: usize = 16 * 1024;

/// What both streams of one child may write together. Cheap to clone.
#[derive(Clone)]
pub(super) struct Share {
    connector: Arc<str>,
    settings: Arc<ChildSettings>,
    spent: Arc<Mutex<Spent>>,
}

struct Spent {
    since: Instant,
    lines: u32,
    bytes: usize,
    dropped: u64,
}

impl Share {
    pub(super) fn new(connector: &str, settings: &ChildSettings) -> Self {
        let spent = Spent { since: Instant::now(), lines: 0, bytes: 0, dropped: 0 };
        Self { connector: connector.into(), settings: Arc::new(settings.clone()), spent: Arc::new(Mutex::new(spent)) }
    }

    /// Runs `spend` on what was spent of this second, and tells of what the one before has dropped.
    fn spend<T>(&self, spend: impl FnOnce(&mut Spent) -> T) -> T {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped = 0;
        if spent.since.elapsed() >= SECOND {
            dropped = spent.dropped;
            *spent = Spent { since: Instant::now(), lines: 0, bytes: 0, dropped: 0 };
        }
        let done = spend(&mut spent);
        drop(spent);
        self.tell_dropped(dropped);
        done
    }

    fn tell_dropped(&self, dropped: u64) {
        if dropped > 0 {
            let connector = &*self.connector;
            tracing::warn!(
                target: "sidecar", connector, dropped,
                "{dropped} lines of the sidecar's output were left out: sidecars.child.lines_per_second"
            );
        }
    }

    /// How long to wait before more is read, after so many bytes were.
    fn read(&self, bytes: usize) -> Option<Duration> {
        self.spend(|spent| {
            spent.bytes = spent.bytes.saturating_add(bytes);
            let over = spent.bytes >= self.settings.output_bytes_per_second.max(CHUNK);
            over.then(|| SECOND.saturating_sub(spent.since.elapsed()))
        })
    }

    /// Whether lines were dropped that nobody was told of.
    fn owes(&self) -> bool {
        self.spend(|spent| spent.dropped > 0)
    }

    fn may_write(&self) -> bool {
        self.spend(|spent| {
            let may = spent.lines < self.settings.lines_per_second;
            if may {
                spent.lines += 1
            } else {
                spent.dropped += 1
            }
            may
        })
    }
}

/// One stream of a child.
pub(super) struct Output {
    stream: &'static str,
    share: Share,
    line: Vec<u8>,
}

impl Output {
    pub(super) fn new(stream: &'static str, share: Share) -> Self {
        Self { stream, share, line: Vec::new() }
    }

    /// Puts everything that is written into the log, until nobody can write any more.
    pub(super) async fn copy(mut self, mut from: impl AsyncRead + Unpin) {
        let mut chunk = vec![0; CHUNK];
        loop {
            // What was dropped is told when its second is over, also when nothing more comes.
            let next = match self.share.owes() {
                true => timeout(SECOND, from.read(&mut chunk)).await,
                false => Ok(from.read(&mut chunk).await),
            };
            let read = match next {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(read)) => read,
                Err(_) => {
                    self.share.spend(|_| ());
                    continue;
                }
            };
            self.take(&chunk[..read]);
            if let Some(wait) = self.share.read(read) {
                tokio::time::sleep(wait).await;
            }
        }
        if !self.line.is_empty() {
            self.write();
        }
        let left = self.share.spend(|spent| mem::take(&mut spent.dropped));
        self.share.tell_dropped(left);
    }

    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let room = (self.share.settings.line_bytes + MARGIN).saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.write();
            }
        }
    }

    fn write(&mut self) {
        let line = mem::take(&mut self.line);
        if line.trim_ascii().is_empty() || !self.share.may_write() {
            return;
        }
        let (connector, stream) = (&*self.share.connector, self.stream);
        let line = plain(&mask(&String::from_utf8_lossy(&line)), self.share.settings.line_bytes);
        tracing::info!(target: "sidecar", connector, stream, "{line}");
    }
}

/// A line of at most so many bytes that cannot pretend to be several, nor steer a terminal.
fn plain(line: &str, bytes: usize) -> String {
    let line = line.trim_end();
    let cut = line.floor_char_boundary(bytes);
    let mut plain = String::with_capacity(cut);
    for character in line[..cut].chars() {
        if character.is_control() && character != '\t' {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    if cut < line.len() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_plain_and_cut_at_a_character() {
        assert_eq!(plain("a\u{1b}[31m\tb\r", 100), "a\\u{1b}[31m\tb");
        assert_eq!(plain("éé", 3), "é…");
    }

    #[tokio::test]
    async fn a_line_without_an_end_takes_no_more_than_its_length() {
        let share = Share::new("external/bridge", &ChildSettings { line_bytes: 10, ..ChildSettings::default() });
        let mut output = Output::new("stdout", share);
        for _ in 0..100 {
            output.take(&[b'x'; 1000]);
        }
        assert_eq!(output.line.len(), 10 + MARGIN);
        output.take(b"\n");
        assert!(output.line.is_empty());
    }

    #[test]
    fn a_second_has_so_many_lines_and_bytes() {
        let settings =
            ChildSettings { lines_per_second: 2, output_bytes_per_second: CHUNK, ..ChildSettings::default() };
        let share = Share::new("external/bridge", &settings);
        assert_eq!([share.may_write(), share.may_write(), share.may_write()], [true, true, false]);
        assert_eq!(share.read(CHUNK - 1), None);
        assert!(share.read(1).is_some_and(|wait| wait <= SECOND));
    }
}
