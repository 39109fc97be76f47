//! What is counted for each sidecar (contract section 4.8), on a page of its own: its series carry connectors' names, and
//! there are as many as there are connectors of the kind.

use prometheus::{
    Encoder, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
    core::{MetricVec, MetricVecBuilder},
};

use super::label::{Label, label};

/// What the names begin with.
const PREFIX: &str = "kheish_external_connector_";

label! {
    /// What became of an event.
    Taken {
        /// It is a new run.
        Accepted = "accepted",
        /// It was accepted before.
        Duplicate = "duplicate",
        /// It was not taken, for what it is.
        Rejected = "rejected",
    }
}

label! {
    /// How an attempt to deliver ended.
    Delivered {
        /// The sidecar took it.
        Committed = "committed",
        /// It is tried again, or nobody knows.
        Retryable = "retryable",
        /// It was given up.
        Terminal = "terminal",
    }
}

/// The states that a sidecar can be in, as they read.
const STATES: [&str; 4] = ["starting", "ready", "degraded", "deaf"];

/// The families.
pub struct SidecarMetrics {
    registry: Registry,
    ingress: IntCounterVec,
    limited: IntCounterVec,
    delivery: IntCounterVec,
    restarts: IntCounterVec,
    manifest_failures: IntCounterVec,
    state: IntGaugeVec,
}

impl SidecarMetrics {
    pub(super) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(format!("{PREFIX}{name}"), help), labels)?;
            registry.register(Box::new(family.clone())).map(|()| family)
        };
        let ingress =
            counters("ingress_total", "Events of sidecars, by what became of them.", &["connector", "status"])?;
        let limited = counters(
            "ingress_rate_limited_total",
            "Events of sidecars that came faster than ingress_events_per_second.",
            &["connector"],
        )?;
        let delivery = counters(
            "delivery_total",
            "Attempts to deliver through sidecars, by how they ended.",
            &["connector", "status"],
        )?;
        let restarts = counters("child_restarts_total", "Sidecars that the daemon started again.", &["connector"])?;
        let manifest_failures = counters(
            "manifest_fetch_failures_total",
            "Sidecars' manifests that could not be fetched or read.",
            &["connector"],
        )?;
        let state = Opts::new(format!("{PREFIX}state"), "1 for the state that a sidecar is in, 0 for the others.");
        let state = IntGaugeVec::new(state, &["connector", "state"])?;
        registry.register(Box::new(state.clone()))?;
        Ok(Self { ingress, limited, delivery, restarts, manifest_failures, state, registry })
    }

    /// From now on all series of a connector are there.
    pub fn begin(&self, connector: &str) {
        for taken in Taken::ALL {
            self.ingress.with_label_values(&[connector, taken.text()]);
        }
        for ended in Delivered::ALL {
            self.delivery.with_label_values(&[connector, ended.text()]);
        }
        for family in [&self.limited, &self.restarts, &self.manifest_failures] {
            family.with_label_values(&[connector]);
        }
    }

    /// A connector is gone: so are its series.
    pub fn forget(&self, connector: &str) {
        for taken in Taken::ALL {
            remove(&self.ingress, &[connector, taken.text()]);
        }
        for ended in Delivered::ALL {
            remove(&self.delivery, &[connector, ended.text()]);
        }
        for family in [&self.limited, &self.restarts, &self.manifest_failures] {
            remove(family, &[connector]);
        }
        for state in STATES {
            remove(&self.state, &[connector, state]);
        }
    }

    /// An event of a connector was decided.
    pub fn count_event(&self, connector: &str, taken: Taken) {
        self.ingress.with_label_values(&[connector, taken.text()]).inc();
    }

    /// An event of a connector came too fast.
    pub fn count_limited(&self, connector: &str) {
        self.limited.with_label_values(&[connector]).inc();
    }

    /// An attempt to deliver through a connector ended.
    pub fn count_delivery(&self, connector: &str, ended: Delivered) {
        self.delivery.with_label_values(&[connector, ended.text()]).inc();
    }

    /// The sidecar of a connector was started again.
    pub fn count_restart(&self, connector: &str) {
        self.restarts.with_label_values(&[connector]).inc();
    }

    /// The manifest of a connector's sidecar was not to be had.
    pub fn count_manifest_failure(&self, connector: &str) {
        self.manifest_failures.with_label_values(&[connector]).inc();
    }

    /// The sidecar of a connector is in this state, of `starting`, `ready`, `degraded` and `deaf`.
    pub fn set_state(&self, connector: &str, now: &str) {
        for state in STATES {
            self.state.with_label_values(&[connector, state]).set(i64::from(state == now));
        }
    }

    /// The text for a scraper (exposition format 0.0.4).
    pub fn scrape(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// A series that was never there is gone too.
fn remove<B: MetricVecBuilder>(family: &MetricVec<B>, labels: &[&str]) {
    family.remove_label_values(labels).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &SidecarMetrics) -> String {
        String::from_utf8(metrics.scrape().unwrap()).unwrap()
    }

    #[test]
    fn series_come_and_go_with_connectors() {
        let metrics = SidecarMetrics::new().unwrap();
        metrics.begin("bridge");
        metrics.count_event("bridge", Taken::Rejected);
        metrics.count_delivery("bridge", Delivered::Committed);
        metrics.set_state("bridge", "deaf");
        let shown = text(&metrics);
        for line in [
            "kheish_external_connector_ingress_total{connector=\"bridge\",status=\"accepted\"} 0",
            "kheish_external_connector_ingress_total{connector=\"bridge\",status=\"rejected\"} 1",
            "kheish_external_connector_ingress_rate_limited_total{connector=\"bridge\"} 0",
            "kheish_external_connector_delivery_total{connector=\"bridge\",status=\"committed\"} 1",
            "kheish_external_connector_child_restarts_total{connector=\"bridge\"} 0",
            "kheish_external_connector_manifest_fetch_failures_total{connector=\"bridge\"} 0",
            "kheish_external_connector_state{connector=\"bridge\",state=\"deaf\"} 1",
            "kheish_external_connector_state{connector=\"bridge\",state=\"ready\"} 0",
        ] {
            assert!(shown.lines().any(|written| written == line), "no `{line}` in\n{shown}");
        }
        metrics.forget("bridge");
        assert!(!text(&metrics).contains("bridge"));
    }
}
