//! The dispatcher's other work: what nobody knows of is looked up, by the same workers and under the same lease.

use super::{Dispatcher, End};
use crate::{
    delivery::{
        backoff,
        look_up::{self, Looked},
        pause::Word,
        sent::Sent,
        share::Holding,
    },
    metrics::label::AttemptClass,
    model::delivery::{Delivery, LookUp},
    secrets::mask::mask,
    store::deliveries::Settlement,
};

impl Dispatcher {
    /// Looks a part up and settles what follows.
    pub(super) async fn look_up(&self, delivery: Delivery, look_up: LookUp, holding: Holding) {
        let (looked, effects) = look_up::look_up(&*self.ways.destinations, &delivery).await;
        drop(holding);
        let metrics = self.store.metrics();
        metrics.delivery_attempts.add(AttemptClass::LookUp);
        if let Looked::Later { after_ms: Some(asked_ms), .. } = &looked {
            metrics.count_wait(&delivery.target.plugin, self.asked_ms(*asked_ms));
        }
        let (code, detail) = looked.said();
        let looked_up = Some((code, mask(&detail).into_owned()));
        let lock = self.lock(&delivery, Word::from(&looked));
        let settlement = self.follows(&delivery, look_up, looked);
        self.settle(delivery, End { settlement, looked: looked_up, failed: None, lock, effects }).await;
    }

    fn follows(&self, delivery: &Delivery, look_up: LookUp, looked: Looked) -> Settlement {
        let (retry, now_ms) = (self.settings.retry(&delivery.target), self.clock.now_ms());
        let undecided = |error: (String, String)| {
            let own = backoff::delay_ms(&retry, delivery.attempt, rand::random());
            self.policies().undecided(delivery, error, (now_ms, own))
        };
        match looked {
            Looked::Found { platform_id, detail } => self.settlement(delivery, Sent::Delivered { platform_id, detail }),
            // The attempt has failed, as it turns out.
            Looked::Absent => {
                let (code, detail) = looked.said();
                self.settlement(delivery, Sent::Retry { code, detail, after_ms: None, counts: true })
            }
            Looked::Undecided { code, detail } => undecided((code, detail)),
            // It is due at once: the pause says when, and it is not given up meanwhile.
            Looked::LockedOut { code, detail, .. } => {
                Settlement { uncounted: 1, ..Settlement::sought(now_ms, (code, detail)) }
            }
            Looked::Later { code, detail, after_ms, counts } => {
                let own = backoff::delay_ms(&retry, look_up.count, rand::random());
                let next_ms = now_ms.saturating_add(self.wait_ms(after_ms, own));
                if counts && look_up.count >= retry.max_attempts {
                    return undecided((code, format!("{detail} (look-up {}, the last)", look_up.count)));
                }
                if next_ms - delivery.created_ms > retry.give_up_after_ms {
                    let detail = format!("{detail} (given up: the next look-up would be too late)");
                    return undecided((code, detail));
                }
                Settlement { uncounted: i64::from(!counts), ..Settlement::sought(next_ms, (code, detail)) }
            }
        }
    }
}
