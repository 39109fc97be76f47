//! What only happens on a terminal: questions, silent input, colours.

use kheish_host_tests::terminal::Terminal;
use serde_json::json;

use super::{answer, scripted};

#[tokio::test]
async fn a_value_is_typed_without_showing() {
    let (daemon, _cli) = scripted(|_| answer(200, &json!({ "version": 1 }))).await;
    let mut terminal = Terminal::run(&daemon.url(""), &["secrets", "set", "a"]);
    terminal.shows("Value of a: ").await;
    terminal.types("hidden-valuf\u{7f}e\n").await;
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains("hidden") && screen.contains("a set, version 1"), "{screen}");
    assert_eq!(daemon.received()[0].body["state"]["value"], "hidden-value");
}

#[tokio::test]
async fn a_value_that_is_called_off_is_not_sent() {
    let (daemon, _cli) = scripted(|_| answer(200, &json!({}))).await;
    let mut terminal = Terminal::run(&daemon.url(""), &["secrets", "set", "a"]);
    terminal.shows("Value of a: ").await;
    terminal.types("hidden\u{3}").await;
    let (code, screen) = terminal.ended().await;
    assert_eq!((code, screen.contains("nothing was changed")), (Some(1), true), "{screen}");
    assert!(daemon.received().is_empty());
}

#[tokio::test]
async fn a_question_takes_only_a_yes_for_a_yes() {
    let (daemon, _cli) = scripted(|_| answer(200, &json!({ "accepted": true }))).await;
    for (keys, code, requests) in [("n\n", 1, 0), ("\n", 1, 0), ("y\n", 0, 1)] {
        let mut terminal = Terminal::run(&daemon.url(""), &["connectors", "delete", "http", "a"]);
        terminal.shows("Delete connector http/a? [y/N]").await;
        terminal.types(keys).await;
        let (ended, screen) = terminal.ended().await;
        assert_eq!((ended, daemon.received().len()), (Some(code), requests), "{screen}");
    }
}

#[tokio::test]
async fn a_terminal_has_colours() {
    let (daemon, _cli) = scripted(|_| answer(200, &json!([{ "file": "a.wasm", "state": "serving" }]))).await;
    let (code, screen) = Terminal::run(&daemon.url(""), &["plugins", "list"]).ended().await;
    assert_eq!((code, screen.contains("\u{1b}[")), (Some(0), true), "{screen}");
}
