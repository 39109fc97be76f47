//! Configuration: what is wrong is named with file, line and field, and the daemon does not start half configured.

mod access;
mod connectors;
mod files;

use kheish_host_tests::{
    host::{Host, HostBuilder},
    process::Ended,
};

/// Asserts that the daemon refused to start, and that its explanation has all of these in it.
#[track_caller]
fn assert_refused(ended: &Ended, needed: &[&str]) {
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    for text in needed {
        assert!(ended.stderr.contains(text), "no `{text}` in:\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// How a daemon with this connectors file ends.
async fn with_connectors(text: &str) -> Ended {
    Host::builder().connectors(text).run_to_end().await
}

/// How a daemon with this settings file ends.
async fn with_settings(text: &str) -> Ended {
    builder().settings(text).run_to_end().await
}

fn builder() -> HostBuilder {
    Host::builder().plugins(&[])
}
