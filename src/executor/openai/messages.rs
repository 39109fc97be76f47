//! What is said to the model: the system prompt, earlier runs of the session, this run. Pure.

use serde::Serialize;

use crate::{model::run::RunInput, store::history::EarlierRun};

/// Bytes that are counted as one token.
const BYTES_PER_TOKEN: usize = 4;

/// One message of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    role: &'static str,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl Message {
    fn new(role: &'static str, content: String) -> Self {
        Self { role, content, name: None }
    }
}

/// What earlier runs may take of a request.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes of text.
    pub bytes: usize,
}

impl Room {
    /// The tighter of both limits.
    pub fn new(bytes: usize, tokens: Option<usize>) -> Self {
        Self { bytes: tokens.map_or(bytes, |tokens| bytes.min(tokens.saturating_mul(BYTES_PER_TOKEN))) }
    }
}

/// The messages of a request. `earlier` comes newest first; of it the newest runs that have room are told, whole ones, oldest
/// first. The system prompt and the present input are never left out.
pub fn compose(
    system: Option<&str>,
    earlier: Vec<EarlierRun>,
    room: Room,
    (input, actor): (&[RunInput], Option<&str>),
) -> Vec<Message> {
    let mut left = room.bytes;
    let mut told = Vec::new();
    for run in earlier {
        let turn = turn(&run);
        let bytes = turn.iter().map(|message| message.content.len()).sum();
        let Some(rest) = left.checked_sub(bytes) else { break };
        left = rest;
        told.push(turn);
    }
    let mut messages: Vec<Message> = system.map(|text| Message::new("system", text.to_owned())).into_iter().collect();
    messages.extend(told.into_iter().rev().flatten());
    messages.push(user(input, actor));
    messages
}

fn turn(run: &EarlierRun) -> Vec<Message> {
    let mut turn = vec![user(&run.input, run.actor.as_deref())];
    // One message for all: templates of many models want the roles to alternate.
    if !run.outputs.is_empty() {
        turn.push(Message::new("assistant", run.outputs.join("\n\n")));
    }
    turn
}

fn user(input: &[RunInput], actor: Option<&str>) -> Message {
    let texts: Vec<String> = input.iter().map(text).collect();
    let name = actor.filter(|name| is_name(name)).map(str::to_owned);
    Message { name, ..Message::new("user", texts.join("\n")) }
}

fn text(part: &RunInput) -> String {
    match part {
        RunInput::Text { text } => text.clone(),
        RunInput::Asset { asset_id, file_name, media_type } => {
            file(file_name.as_deref().unwrap_or(asset_id), media_type.as_deref())
        }
        RunInput::RemoteFile(remote) => file(&remote.name, remote.media_type.as_deref()),
        RunInput::UnavailableFile { name, media_type, .. } => file(name, media_type.as_deref()),
    }
}

fn file(name: &str, media_type: Option<&str>) -> String {
    let kind = media_type.map(|kind| format!(", {kind}")).unwrap_or_default();
    format!("[file {name:?}{kind}: its content is not available here]")
}

/// What the field `name` of a message may hold.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(text: &str) -> Vec<RunInput> {
        vec![RunInput::Text { text: text.to_owned() }]
    }

    fn run(text: &str, outputs: &[&str]) -> EarlierRun {
        let outputs = outputs.iter().map(|text| (*text).to_owned()).collect();
        EarlierRun { actor: None, input: said(text), outputs }
    }

    fn shown(messages: &[Message]) -> Vec<String> {
        messages.iter().map(|message| format!("{}:{}", message.role, message.content)).collect()
    }

    #[test]
    fn runs_come_oldest_first_and_whole() {
        let earlier = || vec![run("third", &["c"]), run("second", &["b1", "b2"]), run("first", &["a"])];
        let with = |bytes| shown(&compose(Some("sys"), earlier(), Room { bytes }, (&said("now"), None)));
        let all = ["user:first", "assistant:a", "user:second", "assistant:b1\n\nb2", "user:third", "assistant:c"];
        assert_eq!(with(24), [&["system:sys"][..], &all[..], &["user:now"]].concat());
        assert_eq!(with(23), [&["system:sys"][..], &all[2..], &["user:now"]].concat());
        assert_eq!(with(17), [&["system:sys"][..], &all[4..], &["user:now"]].concat());
        assert_eq!(with(0), ["system:sys", "user:now"]);
    }

    #[test]
    fn tokens_limit_too() {
        assert_eq!(
            (Room::new(100, Some(5)).bytes, Room::new(10, Some(5)).bytes, Room::new(10, None).bytes),
            (20, 10, 10)
        );
    }

    #[test]
    fn names_that_fit_are_told_and_files_are_named() {
        let input = [
            RunInput::Text { text: "see".to_owned() },
            RunInput::Asset { asset_id: "ab".to_owned(), file_name: Some("a.png".to_owned()), media_type: None },
        ];
        let message = compose(None, Vec::new(), Room { bytes: 0 }, (&input, Some("ann-1")));
        let expected = serde_json::json!([{
            "role": "user",
            "content": "see\n[file \"a.png\": its content is not available here]",
            "name": "ann-1",
        }]);
        assert_eq!(serde_json::to_value(&message).unwrap(), expected);
        let message = compose(None, Vec::new(), Room { bytes: 0 }, (&said("x"), Some("Ann Smith")));
        assert_eq!(serde_json::to_value(&message[0]).unwrap(), serde_json::json!({ "role": "user", "content": "x" }));
    }

    proptest! {
        #[test]
        fn history_keeps_its_limit_and_input_is_never_lost(
            texts in prop::collection::vec(".{0,20}", 0..8), bytes in 0usize..80, now in ".{0,100}",
        ) {
            let earlier = texts.iter().map(|text| run(text, &[text])).collect();
            let messages = compose(None, earlier, Room { bytes }, (&said(&now), None));
            let (last, history) = messages.split_last().unwrap();
            prop_assert_eq!(&last.content, &now);
            prop_assert!(history.iter().map(|message| message.content.len()).sum::<usize>() <= bytes);
            prop_assert!(history.len() % 2 == 0);
        }
    }
}
