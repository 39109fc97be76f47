//! What follows when nobody knows whether a part arrived: a look-up where the connector can ask its platform, else, and where
//! that decides nothing, the policy, which is the target's to say, by its connector's kind or for all URLs.

use std::sync::Arc;

use super::{DeliverySettings, destinations::Destinations, targets};
use crate::{
    model::{
        delivery::{Delivery, DeliveryStatus, UnknownPolicy},
        target::ReplyTarget,
    },
    store::deliveries::Settlement,
};

/// Knows the policy of each target. Every look is at the newest state.
#[derive(Clone)]
pub struct Policies {
    /// The connectors.
    pub destinations: Arc<dyn Destinations>,
    /// The policy of URLs, when a platform is asked, and how often and for how long a part is tried.
    pub settings: Arc<DeliverySettings>,
}

impl Policies {
    /// The policy for a part. A connector that is gone repeats nothing.
    pub fn of(&self, delivery: &Delivery) -> UnknownPolicy {
        if delivery.target.plugin == "http" {
            return self.settings.http.unknown;
        }
        let connector = targets::refers_to(&delivery.target).and_then(|id| self.destinations.find(&id));
        connector.map_or(UnknownPolicy::Pass, |(_, context)| context.unknown)
    }

    /// What follows on an attempt of which nobody knows whether it arrived: a look-up where the platform can be asked, else
    /// the policy. One that is repeated waits for `wait_ms` first.
    pub fn unknown(&self, delivery: &Delivery, error: (String, String), (now_ms, wait_ms): (i64, i64)) -> Settlement {
        if can_look_up(&*self.destinations, &delivery.target) {
            return Settlement::sought(now_ms + self.settings.look_up_after_ms, error);
        }
        self.undecided(delivery, error, (now_ms, wait_ms))
    }

    /// What follows by the policy when nobody knows, and nobody can be asked. What is repeated is given up like what fails:
    /// after so many attempts, or at an age.
    pub fn undecided(&self, delivery: &Delivery, error: (String, String), (now_ms, wait_ms): (i64, i64)) -> Settlement {
        if self.of(delivery) != UnknownPolicy::Resend {
            return Settlement::of(DeliveryStatus::Unknown, Some(error));
        }
        let next_ms = now_ms + wait_ms;
        let retry = self.settings.retry(&delivery.target);
        match retry.end(delivery.attempt, next_ms - delivery.created_ms) {
            Some(why) => {
                let (code, detail) = error;
                let detail = format!("{detail}, and whether it arrived is not known ({why})");
                Settlement::of(DeliveryStatus::Dead, Some((code, detail)))
            }
            None => Settlement { next_ms: Some(next_ms), ..Settlement::of(DeliveryStatus::Unknown, Some(error)) },
        }
    }
}

/// Whether there is somebody to ask what became of a part that went there.
pub fn can_look_up(destinations: &dyn Destinations, target: &ReplyTarget) -> bool {
    let connector = targets::refers_to(target).and_then(|id| destinations.find(&id));
    connector.is_some_and(|(plugin, _)| plugin.reconciles())
}
