//! Which run a claim finds, whatever has become of those before it.

use std::collections::VecDeque;

use super::{accept, event, finish};
use kheish::{
    clock::Clock,
    ingress::accept::Accepted,
    model::ids::RunId,
    queue::{
        cancel::{Cancel, Cancelled},
        claim::{Claim, ClaimedRun},
        rescue::Rescue,
    },
    store::{Store, runs},
};

/// What happens to a session.
#[derive(Clone, Copy, Debug)]
enum Step {
    Accept,
    /// The run at this place of those that wait, counted from the front.
    Cancel(usize),
    ClaimAndFinish,
    /// The worker dies.
    ClaimAndLose,
}

/// Steps without a pattern, the same ones each time.
fn steps() -> impl Iterator<Item = Step> {
    let next = |seed: &u64| Some(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(Some(7), next).map(|seed| match seed >> 60 {
        0..=6 => Step::Accept,
        7..=9 => Step::Cancel(usize::try_from(seed >> 40 & 7).unwrap()),
        10..=12 => Step::ClaimAndFinish,
        _ => Step::ClaimAndLose,
    })
}

async fn claim_at(store: &Store, now_ms: i64) -> Option<ClaimedRun> {
    let executors = vec![String::new()];
    let claim = Claim { owner: "worker:test".to_owned(), executors, limit: 10, lease_ms: 1_000, now_ms };
    let mut claimed = store.write(claim).await.unwrap();
    assert!(claimed.len() < 2, "one run of a session is active");
    claimed.pop()
}

pub(super) async fn a_claim_finds_the_oldest_run_that_waits(stores: Vec<Store>) {
    let clock = Clock::system();
    let mut waiting: VecDeque<RunId> = VecDeque::new();
    let mut now_ms = clock.now_ms();
    for (number, step) in steps().take(150).enumerate() {
        let store = &stores[number % stores.len()];
        match step {
            Step::Accept => {
                let accepted = accept(store, event(&clock, "s", &number.to_string(), "x")).await;
                let Ok(Accepted::Fresh(run, before)) = accepted else { panic!("{accepted:?}") };
                assert_eq!(usize::try_from(before).unwrap(), waiting.len());
                waiting.push_back(run.id);
            }
            Step::Cancel(place) => {
                if let Some(run) = waiting.remove(place) {
                    assert_eq!(store.write(Cancel { run, now_ms }).await.unwrap(), Cancelled::AtOnce);
                }
            }
            Step::ClaimAndFinish | Step::ClaimAndLose => {
                now_ms += 10_000;
                let claimed = claim_at(store, now_ms).await;
                assert_eq!(claimed.as_ref().map(|claimed| claimed.run.id), waiting.pop_front(), "step {number}");
                match claimed {
                    Some(claimed) if matches!(step, Step::ClaimAndLose) => {
                        now_ms += 10_000;
                        let rescue = Rescue { now_ms, max_attempts: i64::MAX, former: None };
                        assert_eq!(store.write(rescue).await.unwrap().requeued, 1);
                        waiting.push_front(claimed.run.id);
                    }
                    Some(claimed) => drop(finish(store, &clock, &claimed).await),
                    None => {}
                }
            }
        }
        for (before, id) in waiting.iter().enumerate() {
            let run = runs::get(store, *id).await.unwrap().unwrap();
            assert_eq!(runs::queued_before(store, &run).await.unwrap(), i64::try_from(before).unwrap());
        }
    }
}
