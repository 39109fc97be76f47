//! Does what was planned, reads back what came of it, and compares.

use http::Method;
use serde_json::Value;

use super::plan::{Change, Step};
use crate::cli::{
    diff,
    failure::Failure,
    output::{BAD, GOOD, printable, state, styled, text},
    progress::Progress,
    remote::Console,
};

/// What a step led to.
pub(super) struct Done {
    pub(super) id: String,
    pub(super) became: Became,
}

/// What a connector became.
pub(super) enum Became {
    /// What was shown; its view, if it is still there.
    AsPlanned(Option<Value>),
    /// Something else: its view, and how it differs from what was shown.
    Other(Value, Vec<String>),
    /// Nothing: it failed.
    Failed(Failure),
}

impl Done {
    /// How it went, for people.
    pub(super) fn lines(&self, step: &Step) -> Vec<String> {
        let id = printable(&self.id);
        match &self.became {
            Became::AsPlanned(Some(view)) => {
                let now = state(text(view, "/status/state"));
                vec![format!("{id} {}: revision {}, {now}", styled(GOOD, step.change.past()), view["revision"])]
            }
            Became::AsPlanned(None) => vec![format!("{id} {}", styled(GOOD, step.change.past()))],
            Became::Other(_, lines) => {
                let head = format!("{id} {}", styled(BAD, "is not what was planned:"));
                std::iter::once(head).chain(diff::painted(("planned", "found"), lines)).collect()
            }
            Became::Failed(failure) => {
                let mut lines = failure.lines();
                if let Some(first) = lines.first_mut() {
                    *first = format!("{id} {}: {first}", styled(BAD, "failed"));
                }
                lines
            }
        }
    }
}

/// Every step that changes something; deletions come last. What fails stops nothing else.
pub(super) async fn all(console: &Console, steps: &[Step]) -> Vec<Done> {
    let progress = Progress::steps("applying", steps.len());
    let mut done = Vec::new();
    let changes = steps.iter().filter(|step| matches!(step.change, Change::Create | Change::Update));
    rounds(changes.collect(), &mut done, &progress, async |step| put(console, step).await).await;
    let deletions = steps.iter().filter(|step| step.change == Change::Delete);
    rounds(deletions.collect(), &mut done, &progress, async |step| {
        console.client.send(Method::DELETE, &step.place, None).await.map(|_| Became::AsPlanned(None))
    })
    .await;
    done
}

/// One may refer to another: what was refused is tried again as long as that helps.
async fn rounds(
    mut left: Vec<&Step>,
    done: &mut Vec<Done>,
    progress: &Progress,
    act: impl AsyncFn(&Step) -> Result<Became, Failure>,
) {
    while !left.is_empty() {
        let mut refused = Vec::new();
        for step in &left {
            match act(step).await {
                Ok(became) => {
                    done.push(Done { id: step.id.clone(), became });
                    progress.step();
                }
                Err(failure) => refused.push((*step, failure)),
            }
        }
        if refused.len() == left.len() {
            let failed = |(step, failure): (&Step, _)| Done { id: step.id.clone(), became: Became::Failed(failure) };
            done.extend(refused.into_iter().map(failed));
            return;
        }
        left = refused.into_iter().map(|(step, _)| step).collect();
    }
}

/// Only if it is still what was shown.
async fn put(console: &Console, step: &Step) -> Result<Became, Failure> {
    let tag = step.before.as_ref().map(|view| format!("\"{}\"", view["revision"]));
    let header = ("if-match", tag.as_deref());
    console.client.send_with(Method::PUT, &step.place, Some(&step.body), header).await?;
    let found = console.client.get(&step.place).await?.json;
    let planned = step.after.as_ref().map(diff::written);
    let lines = diff::between(planned.as_ref(), Some(&diff::written(&found)));
    Ok(if lines.is_empty() { Became::AsPlanned(Some(found)) } else { Became::Other(found, lines) })
}
