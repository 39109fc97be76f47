//! Looks at a child: until it is ready, and for as long as it lives.

use std::time::{Duration, Instant};

use super::{Budget, Keeper};
use crate::{
    connectors::health::ProcessState,
    external::{
        call::{Mute, Sidecar},
        follow::PAUSE,
        protocol::{RUNTIME_VERSION, Report, ReportedStatus},
    },
};

/// What one look has shown.
enum Seen {
    /// It is as it has to be.
    Fit,
    /// It is on its way, or draining: it answers, and is not to be used.
    Away(String),
    /// It does not answer as it has to.
    Unfit(String),
}

impl Keeper {
    /// Looks until something is wrong, and says what.
    pub(super) async fn attend(&self, budget: &mut Budget) -> String {
        let sidecar = match self.external.sidecar(&self.route.context) {
            Ok(sidecar) => sidecar,
            Err(fault) => return fault.to_string(),
        };
        if let Err(reason) = self.become_ready(&sidecar).await {
            return reason;
        }
        self.show(|process| process.state = ProcessState::Running);
        self.tell("running", None).await;
        let (ready, settled) = (Instant::now(), Duration::from_millis(self.bounds().settled_ms));
        let mut failures = 0;
        loop {
            let wait = if failures == 0 { self.external.interval() } else { self.external.retry(failures) };
            self.watch.looks_in(wait);
            self.next_look(wait).await;
            match self.look(&sidecar, false).await {
                Seen::Unfit(reason) => {
                    failures += 1;
                    if failures >= self.bounds().health_failures.max(1) {
                        return format!("{failures} looks in a row found it unfit: {reason}");
                    }
                }
                Seen::Fit | Seen::Away(_) => failures = 0,
            }
            if failures == 0 && ready.elapsed() >= settled {
                budget.settled();
            }
        }
    }

    /// The next look is due, or a delivery has found something out.
    async fn next_look(&self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = async { tokio::time::sleep(PAUSE).await; self.watch.nudged().await } => {}
        }
    }

    async fn become_ready(&self, sidecar: &Sidecar<'_>) -> Result<(), String> {
        let until = Instant::now() + Duration::from_millis(self.bounds().start_timeout_ms);
        loop {
            let reason = match self.look(sidecar, true).await {
                Seen::Fit => return Ok(()),
                Seen::Away(reason) | Seen::Unfit(reason) => reason,
            };
            if Instant::now() >= until {
                let limit = self.bounds().start_timeout_ms;
                return Err(format!("it was not ready within {limit} ms (sidecars.child.start_timeout_ms): {reason}"));
            }
            self.away(&reason);
            tokio::time::sleep(Duration::from_millis(self.bounds().start_poll_ms)).await;
        }
    }

    /// Looks once. What is wrong while it starts is nothing to tell of yet.
    async fn look(&self, sidecar: &Sidecar<'_>, starting: bool) -> Seen {
        let now_ms = || self.external.clock.now_ms();
        let (seen, turn) = match sidecar.health().await {
            Ok(report) if let Some(reason) = self.stranger(&report) => {
                let turn = (!starting).then(|| self.watch.odd(reason.clone(), now_ms())).flatten();
                (Seen::Unfit(reason), turn)
            }
            Ok(report) => {
                let context = (&*self.route.context, &*self.watch);
                let trouble = self.external.check_manifest(sidecar, context, &report.instance_id).await;
                let trouble = trouble.or_else(|| self.mismatch(&report));
                let seen = judge(&report, trouble.clone());
                let note = !starting || matches!(seen, Seen::Fit);
                (seen, note.then(|| self.watch.reported(&report, trouble, now_ms())).flatten())
            }
            Err(Mute::Odd(reason)) => {
                let turn = (!starting).then(|| self.watch.odd(reason.clone(), now_ms())).flatten();
                (Seen::Unfit(reason), turn)
            }
            Err(Mute::Deaf(reason)) => {
                let turn = (!starting).then(|| self.watch.deaf(reason.clone()).1).flatten();
                (Seen::Unfit(reason), turn)
            }
        };
        self.external.show_state(self.id(), &self.watch);
        if let Some(turn) = turn {
            self.external.noted(self.id(), &turn).await;
        }
        seen
    }

    /// Whether the child of another connector answers in place of its own.
    fn stranger(&self, report: &Report) -> Option<String> {
        let other = self.external.fleet.other_of(&report.instance_id, self.id())?;
        let instance = &report.instance_id;
        Some(format!(
            "its health is of instance `{instance}`, and so is the sidecar of {other}: that one may answer here"
        ))
    }

    /// Whether manifest and health speak of two lives: then somebody else answers, too.
    fn mismatch(&self, report: &Report) -> Option<String> {
        let health = &report.instance_id;
        let manifest = self.watch.manifest(self.external.manifest_ttl())?.instance_id;
        if health.is_empty() {
            return Some("its health names no instance_id".to_owned());
        }
        (manifest != *health)
            .then(|| format!("its manifest is of instance `{manifest}`, its health of instance `{health}`"))
    }
}

fn judge(report: &Report, trouble: Option<String>) -> Seen {
    if report.protocol_version != RUNTIME_VERSION {
        let version = report.protocol_version;
        return Seen::Unfit(format!("it speaks runtime protocol {version}, this host speaks {RUNTIME_VERSION}"));
    }
    if let Some(trouble) = trouble {
        return Seen::Unfit(trouble);
    }
    match report.status {
        ReportedStatus::Ready | ReportedStatus::Degraded => Seen::Fit,
        ReportedStatus::Starting => Seen::Away("it says that it is starting".to_owned()),
        ReportedStatus::Draining => Seen::Away("it says that it is draining".to_owned()),
    }
}
