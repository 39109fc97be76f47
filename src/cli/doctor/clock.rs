//! The clock of this machine, and how far the daemon's is from it: signatures are judged by time.

use http::{HeaderMap, header};
use serde_json::Value;

use super::Check;
use crate::{cli::time, clock::Clock};

/// A difference that signatures survive, but that says that a clock is wrong.
const APART_MS: i64 = 2_000;

/// No clock of a running machine is outside of these years.
const SANE_MS: std::ops::Range<i64> = 1_735_689_600_000..4_102_444_800_000;

/// This machine's clock alone.
pub(super) fn alone() -> Check {
    let now = Clock::system().now_ms();
    let told = format!("it is {}", time::stamp(now));
    if SANE_MS.contains(&now) { Check::well("clock", told) } else { Check::bad("clock", told, "set the clock") }
}

/// The daemon's clock against this one, from what it answered between two looks at ours.
pub(super) fn against(answered: (&Value, &HeaderMap), (before, after): (i64, i64)) -> Check {
    let Some(theirs) = told_by(answered) else { return alone() };
    // What the answer spent on its way is nobody's fault.
    let apart = if theirs < before { before - theirs } else { (theirs - after).max(0) };
    if !SANE_MS.contains(&after) || apart < APART_MS {
        return alone();
    }
    let found = format!("the daemon's clock says {}, this one {}", time::precise(theirs), time::precise(after));
    Check::bad("clock", found, "let both be set by NTP: signatures are refused when times differ")
}

/// The daemon's time: to the millisecond from its status, else from the header, whose second may be nearly over.
fn told_by((status, headers): (&Value, &HeaderMap)) -> Option<i64> {
    if let Some(at) = status["snapshot_at_ms"].as_i64() {
        return Some(at);
    }
    let date = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    i64::try_from(date.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::Verdict, *};

    #[test]
    fn a_daemon_two_seconds_away_has_a_wrong_clock() {
        let now = 1_764_043_262_000;
        let verdict = |theirs: i64| {
            let status = json!({ "snapshot_at_ms": theirs });
            against((&status, &HeaderMap::new()), (now, now + 100)).verdict
        };
        let found = [now - 2_000, now - 1_999, now, now + 100, now + 2_099, now + 2_100].map(verdict);
        use Verdict::{Bad, Well};
        assert_eq!(found, [Bad, Well, Well, Well, Well, Bad]);
    }
}
