//! A session's default targets, as a run that is made finds them, and as an event that names targets leaves them.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Entry, Fresh};
use crate::{
    model::{happening::session_updated, ids::SessionId, target::ReplyTarget},
    store::{
        StoreError,
        heads::Tail,
        session_targets::{self, SessionTargets},
        writer::Tx,
    },
};

/// Where answers go that neither event nor connector sends anywhere, by session.
///
/// The first new event of a session that was idle leaves the targets that it named as defaults, also for those that come
/// with it. Only an idle session takes them: one whose runs wait or are at work would be turned around behind whoever
/// watches it. Idle is what the head's row said when it was locked for this transaction.
pub(super) async fn settle(
    tx: &mut Tx<'_>,
    fresh: &[Fresh<'_>],
    tails: &HashMap<String, Tail>,
    now_ms: i64,
) -> Result<HashMap<SessionId, Vec<ReplyTarget>>, StoreError> {
    let written_back = written_back(fresh, tails);
    let silent = fresh.iter().filter(|(entry, _)| entry.request.reply_targets.is_empty());
    let sessions: HashSet<&SessionId> =
        silent.map(|(_, place)| &place.session).chain(written_back.keys().copied()).collect();
    let mut defaults = session_targets::find(tx, &Vec::from_iter(sessions)).await?;
    for (session, entry) in written_back {
        let targets = &entry.request.reply_targets;
        if defaults.get(session).is_some_and(|known| known == targets) {
            continue;
        }
        let list = SessionTargets { targets: targets.clone(), notice: None };
        session_targets::set(tx, session, &list, now_ms).await?;
        tx.record(session_updated(session, "reply_targets_written_back").in_run(entry.run));
        defaults.insert(session.clone(), list.targets);
    }
    Ok(defaults)
}

/// The events whose targets become defaults, by session: rows are locked in one order everywhere.
fn written_back<'a>(fresh: &[Fresh<'a>], tails: &HashMap<String, Tail>) -> BTreeMap<&'a SessionId, &'a Entry> {
    let mut first: BTreeMap<&'a SessionId, &'a Entry> = BTreeMap::new();
    for (entry, place) in fresh {
        first.entry(&place.session).or_insert(entry);
    }
    let was_idle = |session: &SessionId| tails.get(session.as_str()).is_some_and(|tail| tail.was_idle);
    first.retain(|session, entry| entry.write_back && was_idle(session));
    first
}
