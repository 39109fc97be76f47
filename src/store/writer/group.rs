//! Jobs of many command types in one queue, put back together by type for the commit.

use std::any::{Any, TypeId};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::{Command, Tx};
use crate::store::StoreError;

/// One waiting command, its type forgotten.
pub(super) struct Job {
    group: TypeId,
    waiting: Box<dyn Any + Send>,
    /// An empty batch for commands of this type.
    batch: fn() -> Box<dyn Batch>,
}

/// What is undone when commands fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// The transaction.
    Transaction,
    /// What the commands wrote that failed.
    Savepoints,
}

/// Commands of one type that share a commit, in the order in which they came.
pub(super) trait Batch: Send {
    /// Takes in a job of this type.
    fn push(&mut self, waiting: Box<dyn Any + Send>);

    /// Applies the commands and keeps their replies; called again when the transaction has to be tried again. With savepoints
    /// an error is the transaction's: those of commands are among the replies.
    fn apply<'a>(&'a mut self, tx: &'a mut Tx<'_>, guard: Guard) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Tells the callers how it went: the reason when the commit failed, otherwise each command's own reply.
    fn answer(self: Box<Self>, lost: Option<&str>);
}

struct Waiting<C: Command> {
    command: C,
    caller: oneshot::Sender<Result<C::Reply, StoreError>>,
}

struct Typed<C: Command> {
    commands: Vec<C>,
    callers: Vec<oneshot::Sender<Result<C::Reply, StoreError>>>,
    replies: Vec<Result<C::Reply, StoreError>>,
}

/// Wraps a command, and gives the end at which its reply arrives.
pub(super) fn job<C: Command>(command: C) -> (Job, oneshot::Receiver<Result<C::Reply, StoreError>>) {
    let (caller, reply) = oneshot::channel();
    let waiting: Box<dyn Any + Send> = Box::new(Waiting { command, caller });
    (Job { group: TypeId::of::<C>(), waiting, batch: Typed::<C>::empty }, reply)
}

/// Sorts jobs into batches, which stand in the order of their first job.
pub(super) fn by_type(jobs: Vec<Job>) -> Vec<Box<dyn Batch>> {
    let mut batches: Vec<(TypeId, Box<dyn Batch>)> = Vec::new();
    for job in jobs {
        let at = batches.iter().position(|(group, _)| *group == job.group).unwrap_or_else(|| {
            batches.push((job.group, (job.batch)()));
            batches.len() - 1
        });
        batches[at].1.push(job.waiting);
    }
    batches.into_iter().map(|(_, batch)| batch).collect()
}

/// Whether PostgreSQL broke a transaction off because it and another one waited for each other.
pub(super) fn is_deadlock(error: &StoreError) -> bool {
    const DEADLOCK_DETECTED: &str = "40P01";
    matches!(error, StoreError::Database(sqlx::Error::Database(error)) if error.code().as_deref() == Some(DEADLOCK_DETECTED))
}

/// Whether another daemon on the same database wrote a row first: a second look finds it.
pub(super) fn came_second(error: &StoreError) -> bool {
    match error {
        StoreError::Database(sqlx::Error::Database(error)) => error.is_unique_violation(),
        StoreError::Outrun => true,
        _ => false,
    }
}

impl<C: Command> Typed<C> {
    fn empty() -> Box<dyn Batch> {
        Box::new(Self { commands: Vec::new(), callers: Vec::new(), replies: Vec::new() })
    }
}

impl<C: Command> Batch for Typed<C> {
    fn push(&mut self, waiting: Box<dyn Any + Send>) {
        if let Ok(waiting) = waiting.downcast::<Waiting<C>>() {
            self.commands.push(waiting.command);
            self.callers.push(waiting.caller);
        }
    }

    fn apply<'a>(&'a mut self, tx: &'a mut Tx<'_>, guard: Guard) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if guard == Guard::Transaction {
                self.replies = C::apply(&self.commands, tx).await?.into_iter().map(Ok).collect();
                return Ok(());
            }
            self.replies = match guarded(&self.commands, tx).await? {
                Ok(replies) => replies.into_iter().map(Ok).collect(),
                Err(error) if self.commands.len() == 1 && !came_second(&error) => vec![Err(error)],
                Err(error) => {
                    tracing::debug!(%error, commands = self.commands.len(), "a batch of commands failed; each is tried alone");
                    one_by_one(&self.commands, tx).await?
                }
            };
            Ok(())
        })
    }

    fn answer(self: Box<Self>, lost: Option<&str>) {
        // A caller that went away does not need to hear.
        match lost {
            Some(reason) => self.callers.into_iter().for_each(|caller| {
                caller.send(Err(StoreError::Unavailable(reason.to_owned()))).ok();
            }),
            None => self.callers.into_iter().zip(self.replies).for_each(|(caller, reply)| {
                caller.send(reply).ok();
            }),
        }
    }
}

async fn one_by_one<C: Command>(
    commands: &[C],
    tx: &mut Tx<'_>,
) -> Result<Vec<Result<C::Reply, StoreError>>, StoreError> {
    let mut replies = Vec::with_capacity(commands.len());
    for command in commands {
        let mut reply = guarded(std::slice::from_ref(command), tx).await?;
        if reply.as_ref().is_err_and(came_second) {
            reply = guarded(std::slice::from_ref(command), tx).await?;
        }
        replies.push(reply.and_then(|mut replies| replies.pop().ok_or(StoreError::Damaged("a command gave no reply"))));
    }
    Ok(replies)
}

/// Applies commands under a savepoint. The outer error is the transaction's own.
async fn guarded<C: Command>(commands: &[C], tx: &mut Tx<'_>) -> Result<Result<Vec<C::Reply>, StoreError>, StoreError> {
    tx.run("SAVEPOINT command").await?;
    let recorded = tx.recorded.len();
    let replies = C::apply(commands, tx).await;
    match &replies {
        // The locks of earlier batches would still be held: only the whole transaction can give way.
        Err(error) if is_deadlock(error) => return replies.map(Ok),
        Err(_) => {
            tx.recorded.truncate(recorded);
            tx.run("ROLLBACK TO SAVEPOINT command").await?;
        }
        Ok(_) => {}
    }
    tx.run("RELEASE SAVEPOINT command").await?;
    Ok(replies)
}
