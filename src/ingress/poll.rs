//! Events that connectors fetch from their platforms: one poller for each connector whose kind polls, and one for each bot,
//! whichever of several daemons has the duty to ask for its events.
//!
//! The cursor is durable together with the events that it stands behind: a crash at any moment asks again for what is not
//! durable, and what is asked for twice is known by its key. Nothing that one event is keeps those behind it waiting.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{http::Ingress, routes::Route};
use crate::{config::polling::PollSettings, duties::Duties, model::ids::ConnectorId};

mod commit;
mod fenced;
mod state;
mod turn;

pub use fenced::Fenced;
pub use state::{PollError, PollState, PollStatus};
pub(super) use turn::backoff;

/// What tells bots apart: a hash of the secret that a connector must have.
type Bot = [u8; 32];

/// Why a poller waits for its turn.
const ELSEWHERE: &str = "another daemon on the same store polls";

/// A poller that runs.
struct Running {
    route: Arc<Route>,
    bot: Option<Bot>,
    stop: CancellationToken,
}

/// What all pollers share.
struct Means {
    ingress: Ingress,
    settings: PollSettings,
    duties: Arc<Duties>,
}

/// Keeps one poller for each connector that polls, until `stop`.
pub async fn run(ingress: Ingress, settings: PollSettings, duties: Arc<Duties>, stop: CancellationToken) {
    let means = Arc::new(Means { ingress, settings, duties });
    let mut tasks: JoinSet<ConnectorId> = JoinSet::new();
    let mut running: HashMap<ConnectorId, Running> = HashMap::new();
    loop {
        let changed = means.ingress.routes.changed();
        let wanted = means.ingress.routes.polling();
        for (id, poller) in &running {
            let stays = wanted.iter().any(|route| Arc::ptr_eq(route, &poller.route));
            if !stays {
                tracing::debug!(connector = %id, "the poller of {id} ends");
                poller.stop.cancel();
            }
        }
        for route in wanted {
            // The former poller of the connector ends first: two would end each other's polls.
            if !running.contains_key(&route.rules.connector) {
                start(&means, route, (&mut tasks, &mut running));
            }
        }
        tokio::select! {
            () = changed => {}
            Some(ended) = tasks.join_next() => {
                if let Ok(id) = ended {
                    running.remove(&id);
                }
            }
            () = stop.cancelled() => break,
        }
    }
    running.values().for_each(|poller| poller.stop.cancel());
    while tasks.join_next().await.is_some() {}
}

fn start(
    means: &Arc<Means>,
    route: Arc<Route>,
    (tasks, running): (&mut JoinSet<ConnectorId>, &mut HashMap<ConnectorId, Running>),
) {
    let id = route.rules.connector.clone();
    let bot = bot(&route);
    let other = running.iter().find(|(_, poller)| bot.is_some() && poller.bot == bot).map(|(other, _)| other);
    if let Some(other) = other {
        let reason = format!("{other} polls with the same secret: give {id} one of its own, or delete one of them");
        if route.poll.refuse("same_secret", &reason) {
            tracing::warn!(connector = %id, "{id} does not poll: {reason}");
        }
        return;
    }
    let stop = CancellationToken::new();
    running.insert(id.clone(), Running { route: Arc::clone(&route), bot, stop: stop.clone() });
    let means = Arc::clone(means);
    tasks.spawn(async move {
        let (name, shown) = (duty(&id, bot), &route.poll);
        let elsewhere = || {
            if shown.refuse("elsewhere", ELSEWHERE) {
                tracing::info!(connector = %id, "{id} does not poll: {ELSEWHERE}");
            }
        };
        let work = |duty, stop| turn::poll(&means.ingress, &route, &means.settings, duty, stop);
        means.duties.perform(&name, &stop, elsewhere, work).await;
        id
    });
}

/// The name of the duty to poll: for the same bot the same, whatever its connectors are called.
fn duty(id: &ConnectorId, bot: Option<Bot>) -> String {
    match bot {
        Some(bot) => format!("poll:{}", hex::encode(&bot[..16])),
        None => format!("poll:{id}"),
    }
}

/// What a connector is at its platform, where its kind says that it must have a secret.
fn bot(route: &Route) -> Option<Bot> {
    let manifest = route.plugin.manifest();
    let mut hash = Sha256::new();
    hash.update(&manifest.kind);
    let mut named = false;
    for slot in manifest.secrets.iter().filter(|(_, spec)| spec.required).map(|(slot, _)| slot) {
        let secret = route.context.secrets.get(slot)?;
        hash.update((secret.expose().len() as u64).to_be_bytes());
        hash.update(secret.expose());
        named = true;
    }
    named.then(|| hash.finalize().into())
}

/// Waits, or less where everything ends. Says whether to go on.
pub(super) async fn pause(wait: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(wait) => true,
        () = stop.cancelled() => false,
    }
}
