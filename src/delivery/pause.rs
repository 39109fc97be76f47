//! Connectors that their platform has locked out. The first delivery that finds it out, or file that is fetched, pauses the
//! connector; from then on one of them at a time is tried, the probe, until one arrives or somebody mends what was wrong.
//!
//! A pause is a row, and lanes stay as they are: it begins and ends with one statement, however much waits.

use serde::Deserialize;

use super::{
    backoff::{self, BackoffSettings},
    look_up::Looked,
    sent::Sent,
};
use crate::{
    model::{
        happening::{connector_paused, connector_resumed},
        pause::Pause,
    },
    store::{StoreError, pauses, writer::Tx},
};

/// When a connector that its platform has locked out is tried again.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PauseSettings {
    /// The longest wait before the first probe, in milliseconds.
    pub initial_ms: i64,
    /// How many times longer the wait may be after each probe that failed.
    pub growth: i64,
    /// The longest wait of all, in milliseconds.
    pub max_ms: i64,
}

impl Default for PauseSettings {
    /// Somebody has to act, which takes minutes or days: a minute, doubled up to an hour.
    fn default() -> Self {
        Self { initial_ms: 60_000, growth: 2, max_ms: 3_600_000 }
    }
}

impl PauseSettings {
    /// The wait for the next probe after so many have failed.
    fn wait_ms(&self, failed: i64, chance: u32) -> i64 {
        let Self { initial_ms, growth, max_ms } = *self;
        let settings = BackoffSettings { initial_ms, growth, max_ms, ..BackoffSettings::default() };
        backoff::delay_ms(&settings, failed + 1, chance)
    }
}

/// What follows for the pause of a connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lock {
    /// It is locked out; a probe is due then.
    Locked(i64),
    /// The probe found it open, or gone.
    Open,
    /// The probe failed for another reason; the next one is due then.
    Unsaid(i64),
}

/// What an attempt to send or to fetch, or a look-up, heard of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The platform refuses the connector, and may have said when to come back, in milliseconds from now.
    LockedOut(Option<i64>),
    /// The platform lets the connector in, or the connector is gone.
    Open,
    /// Nothing.
    Nothing,
}

/// What follows for the pause of the connector; nothing when it was no probe and was not refused. A probe comes with how many
/// have failed before it. A wait that the platform asked for is never shortened, but for `cap_ms`.
pub fn judge(
    (settings, cap_ms): (&PauseSettings, i64),
    probe: Option<i64>,
    word: Word,
    (now_ms, chance): (i64, u32),
) -> Option<Lock> {
    match (word, probe) {
        (Word::LockedOut(after_ms), probe) => {
            let own = settings.wait_ms(probe.map_or(0, |failed| failed + 1), chance);
            Some(Lock::Locked(now_ms.saturating_add(own.max(after_ms.unwrap_or(0).min(cap_ms)))))
        }
        (_, None) => None,
        (Word::Open, _) => Some(Lock::Open),
        (Word::Nothing, Some(failed)) => Some(Lock::Unsaid(now_ms + settings.wait_ms(failed, chance))),
    }
}

impl From<&Sent> for Word {
    fn from(sent: &Sent) -> Self {
        match sent {
            Sent::LockedOut { after_ms, .. } => Self::LockedOut(*after_ms),
            Sent::Delivered { .. } => Self::Open,
            Sent::Dead { code, .. } if code == super::connector::GONE => Self::Open,
            Sent::Retry { .. } | Sent::Unknown { .. } | Sent::Dead { .. } => Self::Nothing,
        }
    }
}

impl From<&Looked> for Word {
    fn from(looked: &Looked) -> Self {
        match looked {
            Looked::LockedOut { after_ms, .. } => Self::LockedOut(*after_ms),
            Looked::Found { .. } | Looked::Absent => Self::Open,
            Looked::Undecided { .. } | Looked::Later { .. } => Self::Nothing,
        }
    }
}

/// What became of a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It began.
    Began(Pause),
    /// A probe ended it.
    Ended,
}

/// Writes what an attempt said about the lock of its connector, with the code and the reason that it failed for.
pub async fn record(
    tx: &mut Tx<'_>,
    (connector, probe): (&str, bool),
    lock: &Lock,
    (code, reason): (&str, &str),
    now_ms: i64,
) -> Result<Option<Change>, StoreError> {
    match *lock {
        Lock::Locked(next_probe_ms) if probe => {
            pauses::probe_failed(tx, connector, (code, reason), next_probe_ms).await?;
        }
        Lock::Locked(next_probe_ms) => {
            let pause = Pause { since_ms: now_ms, code: code.to_owned(), reason: reason.to_owned(), next_probe_ms };
            // Others that were under way at the same time are told the same.
            if pauses::begin(tx, connector, &pause).await? {
                tx.record(connector_paused(connector, &pause));
                return Ok(Some(Change::Began(pause)));
            }
        }
        Lock::Unsaid(next_probe_ms) => pauses::put_off(tx, connector, next_probe_ms).await?,
        Lock::Open => return Ok(lift(tx, connector, Cause::Probe).await?.then_some(Change::Ended)),
    }
    Ok(None)
}

/// Why a pause ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A delivery arrived.
    Probe,
    /// An operator said so.
    Operator,
    /// A secret of the connector was set.
    Secret,
    /// The connector was changed.
    Definition,
    /// The connector is gone.
    Deleted,
}

impl Cause {
    /// The word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Operator => "operator",
            Self::Secret => "secret",
            Self::Definition => "definition",
            Self::Deleted => "deleted",
        }
    }
}

/// Ends the pause of the connector `kind/name` in a transaction of the caller's: what waits in its lanes is due. False when
/// there was none.
pub async fn lift(tx: &mut Tx<'_>, connector: &str, cause: Cause) -> Result<bool, StoreError> {
    let lifted = pauses::end(tx, connector).await?;
    if lifted {
        tx.record(connector_resumed(connector, cause.name()));
        tx.wake_deliveries();
        tx.wake_downloads();
    }
    Ok(lifted)
}

/// Says in the log that a pause began. For after the commit.
pub fn log_began(connector: &str, Pause { code, reason, .. }: &Pause) {
    tracing::warn!(
        connector,
        code,
        "connector {connector} is locked out ({code}: {reason}); its deliveries and files wait, and one is tried now and \
         then: set its secret anew, or change it, and they go again"
    );
}

/// Says in the log that a pause ended. For after the commit.
pub fn log_ended(connector: &str, cause: Cause) {
    tracing::info!(connector, cause = cause.name(), "deliveries of connector {connector} go again");
}

#[cfg(test)]
mod tests {
    use super::*;
    const SETTINGS: PauseSettings = PauseSettings { initial_ms: 100, growth: 2, max_ms: 1_000 };

    fn said(probe: Option<i64>, sent: &Sent) -> Option<Lock> {
        judge((&SETTINGS, 5_000), probe, Word::from(sent), (10_000, u32::MAX))
    }

    fn locked_out(after_ms: Option<i64>) -> Sent {
        Sent::LockedOut { code: "c".to_owned(), detail: "d".to_owned(), after_ms }
    }

    #[test]
    fn each_probe_that_fails_makes_the_next_one_later() {
        for (probe, due) in [(None, 10_100), (Some(0), 10_200), (Some(1), 10_400), (Some(2), 10_800), (Some(9), 11_000)]
        {
            assert_eq!(said(probe, &locked_out(None)), Some(Lock::Locked(due)), "{probe:?}");
        }
        assert_eq!(said(None, &locked_out(Some(5))), Some(Lock::Locked(10_100)), "what is asked for hurries nothing");
        assert_eq!(said(None, &locked_out(Some(4_000))), Some(Lock::Locked(14_000)));
        assert_eq!(said(None, &locked_out(Some(9_000))), Some(Lock::Locked(15_000)), "capped");
    }

    #[test]
    fn only_a_probe_tells_that_a_connector_is_open() {
        let delivered = Sent::Delivered { platform_id: None, detail: None };
        let unknown = Sent::Unknown { code: "c".to_owned(), detail: "d".to_owned() };
        let dead = |code| crate::delivery::sent::dead(code, "d".to_owned());
        assert_eq!(said(Some(3), &delivered), Some(Lock::Open));
        assert_eq!(said(Some(3), &dead("connector_gone")), Some(Lock::Open));
        assert_eq!(said(Some(0), &dead("channel_not_found")), Some(Lock::Unsaid(10_100)));
        assert_eq!(said(Some(0), &unknown), Some(Lock::Unsaid(10_100)));
        for sent in [delivered, unknown, dead("connector_gone")] {
            assert_eq!(said(None, &sent), None, "it may have been under way before the pause began");
        }
    }
}
