//! What was said in a session before a run: statements.

use std::collections::HashMap;

use super::{Store, StoreError, sql::Query};
use crate::model::{
    ids::SessionId,
    run::{RunInput, RunStatus},
};

/// Runs that are read with one statement.
const PAGE: i64 = 16;

/// A completed run, as far as later ones are told of it.
#[derive(Clone, Debug)]
pub struct EarlierRun {
    /// Who caused it.
    pub actor: Option<String>,
    /// What it was asked.
    pub input: Vec<RunInput>,
    /// What was answered, in order.
    pub outputs: Vec<String>,
}

impl EarlierRun {
    fn bytes(&self) -> usize {
        let asked = self.input.iter().map(|part| match part {
            RunInput::Text { text } => text.len(),
            RunInput::Asset { .. } | RunInput::RemoteFile(_) | RunInput::UnavailableFile { .. } => 0,
        });
        asked.chain(self.outputs.iter().map(String::len)).sum()
    }
}

/// Completed runs of a session before the place `seq`, newest first: at most `runs`, and none beyond the one with which
/// their texts exceed `bytes`.
pub async fn before(
    store: &Store,
    session: &SessionId,
    seq: i64,
    (runs, bytes): (i64, usize),
) -> Result<Vec<EarlierRun>, StoreError> {
    let (mut found, mut beyond, mut size) = (Vec::new(), seq, 0);
    loop {
        let limit = (runs - i64::try_from(found.len()).unwrap_or(runs)).min(PAGE);
        if limit <= 0 {
            return Ok(found);
        }
        let page = page(store, session, beyond, limit).await?;
        let is_last = i64::try_from(page.len()).unwrap_or(limit) < limit;
        for (place, run) in page {
            beyond = place;
            size += run.bytes();
            found.push(run);
            if size > bytes {
                return Ok(found);
            }
        }
        if is_last {
            return Ok(found);
        }
    }
}

async fn page(
    store: &Store,
    session: &SessionId,
    beyond: i64,
    limit: i64,
) -> Result<Vec<(i64, EarlierRun)>, StoreError> {
    let query = Query::new(
        "SELECT seq, actor, input FROM runs WHERE session_id = ? AND seq < ? AND status = ? ORDER BY seq DESC LIMIT ?",
    );
    let query = query.bind(session).bind(beyond).bind(RunStatus::Completed as i64).bind(limit);
    let mut runs = Vec::new();
    for mut row in store.read(query).await? {
        let (seq, actor, input): (i64, Option<String>, String) = (row.take()?, row.take()?, row.take()?);
        let input = serde_json::from_str(&input)
            .map_err(|_| StoreError::Damaged("a run's content is not the JSON that was written"))?;
        runs.push((seq, EarlierRun { actor, input, outputs: Vec::new() }));
    }
    let Some((oldest, _)) = runs.last() else { return Ok(runs) };
    let query = Query::new(
        "SELECT r.seq, o.content FROM runs r JOIN outputs o ON o.run_id = r.id AND o.epoch = r.epoch \
         WHERE r.session_id = ? AND r.seq >= ? AND r.seq < ? AND r.status = ? ORDER BY r.seq, o.ordinal",
    );
    let query = query.bind(session).bind(*oldest).bind(beyond).bind(RunStatus::Completed as i64);
    let mut outputs: HashMap<i64, Vec<String>> = HashMap::new();
    for mut row in store.read(query).await? {
        outputs.entry(row.take()?).or_default().push(row.take()?);
    }
    for (seq, run) in &mut runs {
        run.outputs = outputs.remove(seq).unwrap_or_default();
    }
    Ok(runs)
}
