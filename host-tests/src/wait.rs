//! Waiting for something to become true. The only file that pauses.

use std::time::Duration;

use tokio::time::Instant;

/// How long a test waits for what must happen. Generous: it is spent only when the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(15);

/// Looks again and again until `look` finds something; fails the test after [`PATIENCE`].
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look).await
}

/// The same with a deadline of its own.
pub async fn within<T>(deadline: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "after {deadline:?} still not: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
