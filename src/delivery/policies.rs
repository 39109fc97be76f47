//! What follows when nobody knows whether a part arrived: a look-up where the connector can ask its platform, else, and where
//! that decides nothing, the policy, which is the target's to say, by its connector's kind or for all URLs.

use std::sync::Arc;

use super::{destinations::Destinations, targets};
use crate::model::{
    delivery::{Delivery, UnknownPolicy},
    target::ReplyTarget,
};

/// Knows the policy of each target. Every look is at the newest state.
#[derive(Clone)]
pub struct Policies {
    /// The connectors.
    pub destinations: Arc<dyn Destinations>,
    /// That of URLs.
    pub http: UnknownPolicy,
    /// How long after the interruption a platform is asked, in milliseconds.
    pub look_up_after_ms: i64,
}

impl Policies {
    /// The policy for a part. A connector that is gone repeats nothing.
    pub fn of(&self, delivery: &Delivery) -> UnknownPolicy {
        if delivery.target.plugin == "http" {
            return self.http;
        }
        let connector = targets::refers_to(&delivery.target).and_then(|id| self.destinations.find(&id));
        connector.map_or(UnknownPolicy::Pass, |(_, context)| context.unknown)
    }

    /// How long after its interruption the platform is asked about a part, in milliseconds; none where the connector cannot
    /// ask, so that the policy applies at once.
    pub fn look_up_after_ms(&self, delivery: &Delivery) -> Option<i64> {
        can_look_up(&*self.destinations, &delivery.target).then_some(self.look_up_after_ms)
    }
}

/// Whether there is somebody to ask what became of a part that went there.
pub fn can_look_up(destinations: &dyn Destinations, target: &ReplyTarget) -> bool {
    let connector = targets::refers_to(target).and_then(|id| destinations.find(&id));
    connector.is_some_and(|(plugin, _)| plugin.reconciles())
}
