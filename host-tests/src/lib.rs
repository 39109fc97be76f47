//! What tests need to talk to a real daemon: start it, send to it, work for it, receive from it.
//!
//! | file | holds |
//! |---|---|
//! | [`host`] | a daemon with folders of its own, from start to kill and back |
//! | [`process`] | the child process: its output, signals, exit code |
//! | [`places`] | where the binary and the compiled guests are |
//! | [`plugins`] | plugin files, whole and broken |
//! | [`connectors`] | text for connectors files |
//! | [`courier`] | a guest that makes requests, and what it saw |
//! | [`child`] | a sidecar that the daemon starts, and what runs of it |
//! | [`cli`] | the command line, as a person or a script runs it |
//! | [`client`] | HTTP requests and answers; [`problem`] judges refusals |
//! | [`sender`] | events as a platform sends them, signed ([`sign`]) |
//! | [`program`] | a program that a test talks to line by line |
//! | [`raw`] | requests that no HTTP client would send |
//! | [`worker`] | claims runs and ends them |
//! | [`scrape`] | reads `/metrics` and judges its form |
//! | [`spans`] | traces as a collector gets them |
//! | [`openai_double`] | a chat-completions endpoint by script |
//! | [`receiver`] | takes replies and answers them by script |
//! | [`sidecar`] | a sidecar that runs elsewhere, by script |
//! | [`slack`] | a strict double of Slack's Web API, and Slack's own side of ingress |
//! | [`stray`] | takes replies and answers them as no server should |
//! | [`sse`] | event streams, frame by frame |
//! | [`telegram`] | a strict Bot API |
//! | [`terminal`] | a command on a terminal: its screen and its keys |
//! | [`wait`] | the one place that waits for something to become true |

#![expect(clippy::expect_used, reason = "a harness that cannot go on fails the test that uses it")]

pub mod child;
pub mod cli;
pub mod client;
pub mod connectors;
pub mod courier;
pub mod host;
pub mod openai_double;
pub mod places;
pub mod plugins;
pub mod problem;
pub mod process;
pub mod program;
pub mod raw;
pub mod receiver;
pub mod scrape;
pub mod sender;
pub mod sidecar;
pub mod sign;
pub mod slack;
pub mod spans;
pub mod sse;
pub mod stray;
pub mod telegram;
pub mod terminal;
pub mod wait;
pub mod worker;
