//! Now, and new identifiers. The only file that asks the system for either.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use uuid::{ContextV7, Timestamp, Uuid};

use crate::model::ids::{DeliveryId, RunId};

/// Tells the time and makes identifiers. Cheap to clone; clones share one sequence.
#[derive(Clone)]
pub struct Clock {
    context: Arc<Mutex<ContextV7>>,
    /// How far it is behind the system's, in milliseconds.
    behind_ms: i64,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::behind(Duration::ZERO)
    }

    /// A clock that is so far behind the system's: for stores that are prepared with what is old.
    pub fn behind(time: Duration) -> Self {
        let behind_ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self { context: Arc::new(Mutex::new(ContextV7::new())), behind_ms }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        system_ms().saturating_sub(self.behind_ms)
    }

    /// A new run's identifier; later ones sort after earlier ones.
    pub fn run_id(&self) -> RunId {
        RunId::new(self.uuid())
    }

    /// A new delivery's identifier; later ones sort after earlier ones.
    pub fn delivery_id(&self) -> DeliveryId {
        DeliveryId::new(self.uuid())
    }

    /// A new identifier of this process, random at each start.
    pub fn instance_id(&self) -> String {
        self.uuid().simple().to_string()
    }

    fn uuid(&self) -> Uuid {
        let now = self.now_ms().max(0);
        let (seconds, nanos) = (now / 1000, now % 1000 * 1_000_000);
        let context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        Uuid::new_v7(Timestamp::from_unix(&*context, seconds.unsigned_abs(), u32::try_from(nanos).unwrap_or(0)))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place that the lint sends everybody to")]
fn system_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
