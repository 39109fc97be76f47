//! Tasks, each for a connector, whose ends are heard of however they come about.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::task::{Id, JoinError, JoinSet};

use crate::model::ids::ConnectorId;

/// How long a task waits whose former one broke down: it may break down again at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Tasks for connectors.
#[derive(Default)]
pub(super) struct Crew {
    tasks: JoinSet<()>,
    whose: HashMap<Id, ConnectorId>,
    broken: HashSet<ConnectorId>,
}

impl Crew {
    /// Begins one.
    pub(super) fn spawn(&mut self, id: ConnectorId, work: impl Future<Output = ()> + Send + 'static) {
        let again = self.broken.remove(&id);
        let task = self.tasks.spawn(async move {
            if again {
                tokio::time::sleep(PAUSE).await;
            }
            work.await;
        });
        self.whose.insert(task.id(), id);
    }

    /// Whose task has ended; none when there is none.
    pub(super) async fn next_ended(&mut self) -> Option<ConnectorId> {
        let ended = self.tasks.join_next_with_id().await?;
        let id = self.whose.remove(&ended.as_ref().map_or_else(JoinError::id, |(task, ())| *task));
        if let (Err(error), Some(id)) = (&ended, &id) {
            tracing::error!(%error, connector = %id, "who looks after the sidecar of {id} broke down and begins anew: {error}");
            self.broken.insert(id.clone());
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_breaks_down_is_heard_of_too() {
        let id = |name: &str| ConnectorId { kind: "external".to_owned(), name: name.to_owned() };
        let mut crew = Crew::default();
        crew.spawn(id("broken"), async { panic!("on purpose") });
        assert_eq!(crew.next_ended().await, Some(id("broken")));
        crew.spawn(id("well"), async {});
        assert_eq!(crew.next_ended().await, Some(id("well")));
        assert_eq!(crew.next_ended().await, None);
    }
}
