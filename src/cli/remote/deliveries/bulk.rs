//! What is done about many dead letters: call by call, until all that matched at the beginning were looked at.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::super::Console;
use crate::cli::{
    client::Answer,
    failure::Failure,
    output::{FAINT, cell, list, note, printable, styled, table, text},
    progress::Progress,
};

/// The most that one call takes.
const STEP: u64 = 500;

/// The most dead letters that are shown one by one; the others are counted.
const SHOWN: usize = 10_000;

/// What became of those that were looked at so far.
#[derive(Default)]
struct Sum {
    /// The first answer, with the numbers of all.
    document: Value,
    items: Vec<Value>,
    by_action: BTreeMap<String, u64>,
    selected: u64,
}

/// The numbers of an answer that are about its own call.
const NUMBERS: [&str; 4] = ["selected", "replayed", "existing_replays", "done"];

impl Sum {
    fn add(&mut self, answer: &Value) {
        let items = list(answer, "/items");
        for item in items {
            *self.by_action.entry(text(item, "/action").to_owned()).or_default() += 1;
        }
        self.items.extend(items.iter().take(SHOWN - self.items.len()).cloned());
        self.selected += answer["selected"].as_u64().unwrap_or_default();
        if self.document.is_null() {
            self.document = answer.clone();
            return;
        }
        for name in NUMBERS {
            if let (Some(so_far), Some(more)) = (self.document[name].as_u64(), answer[name].as_u64()) {
                self.document[name] = (so_far + more).into();
            }
        }
        for name in ["truncated", "next_cursor"] {
            self.document[name] = answer[name].clone();
        }
    }

    fn matched(&self) -> u64 {
        self.document["matched"].as_u64().unwrap_or_default()
    }

    /// `3 match: 2 replayed, 1 existing_replay`.
    fn told(&self) -> String {
        let actions = self.by_action.iter().map(|(action, count)| format!("{count} {}", printable(action)));
        let actions: Vec<String> = actions.collect();
        format!("{} match: {}", self.matched(), actions.join(", "))
    }

    fn print(mut self, console: &Console) -> Result<(), Failure> {
        let left_out = self.selected.saturating_sub(self.items.len() as u64);
        let told = self.told();
        if console.out.is_json() {
            self.document["items"] = json!(self.items);
            if let Some(document) =
                self.document.as_object_mut().filter(|document| document.get("next_cursor").is_some_and(Value::is_null))
            {
                document.remove("next_cursor");
            }
            console.out.value(&self.document)?;
        } else {
            show(console, &self.items)?;
            if self.selected > 0 {
                note(styled(FAINT, told));
            }
        }
        if left_out > 0 {
            note(styled(FAINT, format!("the first {SHOWN} are shown, {left_out} more are counted only")));
        }
        Ok(())
    }
}

/// Does something to all dead letters that `body` chooses, or to the `most` first of them, and shows what became of each.
pub(super) async fn run(console: &Console, verb: &str, mut body: Value, most: Option<u64>) -> Result<(), Failure> {
    let (mut sum, mut progress) = (Sum::default(), None);
    let mut end = most.unwrap_or(u64::MAX);
    loop {
        body["limit"] = end.saturating_sub(sum.selected).clamp(1, STEP).into();
        let answer = match call(console, verb, &body).await {
            Ok(answer) => answer,
            Err(failure) => {
                if sum.selected > 0 {
                    note(format!("{}; then it broke off: the same command goes on", sum.told()));
                }
                return Err(failure);
            }
        };
        sum.add(&answer.json);
        // What dies meanwhile, perhaps a replay of this very call, is left for the next time: so there is an end.
        end = end.min(sum.matched());
        let next = text(&answer.json, "/next_cursor");
        if next.is_empty() || sum.selected >= end {
            break;
        }
        body["cursor"] = next.into();
        let steps = usize::try_from(end).unwrap_or(usize::MAX);
        progress.get_or_insert_with(|| Progress::steps(verb, steps)).reach(sum.selected);
    }
    drop(progress);
    sum.print(console)
}

async fn call(console: &Console, verb: &str, body: &Value) -> Result<Answer, Failure> {
    console.client.send(Method::POST, &format!("/v1/deliveries/{verb}"), Some(body)).await
}

fn show(console: &Console, items: &[Value]) -> Result<(), Failure> {
    let mut rows = table(&["ACTION", "DELIVERY", "REPLAY", "TARGET", "ERROR"]);
    for item in items {
        rows.add_row([
            cell(text(item, "/action")),
            cell(text(item, "/source/delivery_id")),
            cell(text(item, "/replay/delivery_id")),
            cell(text(item, "/source/target")),
            cell(text(item, "/source/terminal_error/code")),
        ]);
    }
    console.out.table(rows, "there are no such dead letters")
}
