//! What follows when nobody knows whether a part arrived: the target's to say, by its connector's kind or for all URLs.

use std::sync::Arc;

use super::{destinations::Destinations, targets};
use crate::model::delivery::{Delivery, UnknownPolicy};

/// Knows the policy of each target. Every look is at the newest state.
#[derive(Clone)]
pub struct Policies {
    /// The connectors.
    pub destinations: Arc<dyn Destinations>,
    /// That of URLs.
    pub http: UnknownPolicy,
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
}
