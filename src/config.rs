//! Settings: defaults, then the file of `--config`, then environment variables and flags. Unknown keys are refused.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use crate::{
    connectors::wasm::EngineSettings, delivery::DeliverySettings, egress::EgressSettings,
    executor::settings::ExecutorSettings, queue::QueueSettings, retention::RetentionSettings, store::StoreSettings,
    telemetry::TelemetrySettings,
};

pub mod activation;
pub mod assets;
pub mod auth;
pub mod downloads;
pub mod duties;
pub mod events;
pub mod gathering;
pub mod located;
pub mod polling;
pub mod presence;
pub mod server;
pub mod sidecars;

use activation::ActivationSettings;
use assets::AssetSettings;
use auth::AuthSettings;
use downloads::DownloadSettings;
use duties::DutySettings;
use events::EventSettings;
use gathering::GatherSettings;
use polling::PollSettings;
use presence::PresenceSettings;
use server::ServerSettings;
use sidecars::SidecarSettings;

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the HTTP server listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder with the daemon's state. One daemon at a time.
    pub state_root: PathBuf,
    /// The folder with plugins; `plugins` in the state folder when absent.
    pub plugins: Option<PathBuf>,
    /// The file with connectors.
    pub connectors_config: Option<PathBuf>,
    /// The database; the embedded one in the state folder when absent.
    pub database_url: Option<String>,
    /// The name of the executor of sessions that name none.
    pub executor: String,
    /// Executors beside those that are built in, by name.
    pub executors: BTreeMap<String, ExecutorSettings>,
    /// The HTTP server.
    pub server: ServerSettings,
    /// Who may use the control plane.
    pub auth: AuthSettings,
    /// The store.
    pub store: StoreSettings,
    /// Files.
    pub assets: AssetSettings,
    /// Event streams.
    pub events: EventSettings,
    /// Sandboxed plugins.
    pub guests: EngineSettings,
    /// Runs.
    pub queue: QueueSettings,
    /// Registering connectors at their platforms.
    pub activation: ActivationSettings,
    /// Waits of connectors that poll.
    pub polling: PollSettings,
    /// What exactly one of several daemons does.
    pub duties: DutySettings,
    /// Signs that an answer is on its way.
    pub presence: PresenceSettings,
    /// Sidecars.
    pub sidecars: SidecarSettings,
    /// Deliveries.
    pub delivery: DeliverySettings,
    /// How long what has ended is kept.
    pub retention: RetentionSettings,
    /// Files that events name.
    pub downloads: DownloadSettings,
    /// Events that become one run.
    pub gathering: GatherSettings,
    /// Outbound HTTP.
    pub egress: EgressSettings,
    /// The log, and where traces go.
    pub telemetry: TelemetrySettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            state_root: PathBuf::from("kheish-state"),
            plugins: None,
            connectors_config: None,
            database_url: None,
            executor: "claim".to_owned(),
            executors: BTreeMap::new(),
            server: ServerSettings::default(),
            auth: AuthSettings::default(),
            store: StoreSettings::default(),
            assets: AssetSettings::default(),
            events: EventSettings::default(),
            guests: EngineSettings::default(),
            queue: QueueSettings::default(),
            activation: ActivationSettings::default(),
            polling: PollSettings::default(),
            duties: DutySettings::default(),
            presence: PresenceSettings::default(),
            sidecars: SidecarSettings::default(),
            delivery: DeliverySettings::default(),
            retention: RetentionSettings::default(),
            downloads: DownloadSettings::default(),
            gathering: GatherSettings::default(),
            egress: EgressSettings::default(),
            telemetry: TelemetrySettings::default(),
        }
    }
}

impl Settings {
    /// The plugin folder.
    pub fn plugin_folder(&self) -> PathBuf {
        self.plugins.clone().unwrap_or_else(|| self.state_root.join("plugins"))
    }

    /// Says which settings do not fit each other. The writer takes a batch as a whole. Nobody renews the lease of a lane:
    /// whatever is sent or looked up in it has to end before. Leases of files are made to fit, and those of runs are renewed.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let lease_ms = u64::try_from(self.delivery.lease_ms).unwrap_or(0);
        let mut wrong = Vec::new();
        let (wait_ms, call_ms) = (self.guests.queue_timeout_ms, self.guests.delivery_deadline_ms);
        if wait_ms.saturating_add(call_ms) >= lease_ms {
            wrong.push(format!(
                "delivery.lease_ms is {lease_ms}: what goes through a connector may wait for guests.queue_timeout_ms \
                 ({wait_ms}) and then take guests.delivery_deadline_ms ({call_ms}), and would be said to be unknown while it \
                 is under way; give a longer lease, or less time"
            ));
        }
        let request_ms = self.egress.timeout_ms;
        if request_ms >= lease_ms {
            wrong.push(format!(
                "delivery.lease_ms is {lease_ms}: what goes to a URL may take egress.timeout_ms ({request_ms}), and would be \
                 said to be unknown while it is under way; give a longer lease, or less time"
            ));
        }
        let (batch, queue) = (self.sidecars.batch_events, self.store.queue_length);
        if batch > queue {
            wrong.push(format!(
                "sidecars.batch_events is {batch}: events of a batch wait together, and store.queue_length leaves room for \
                 {queue}, so the largest batch would get 503 for ever; allow smaller batches, or a longer queue"
            ));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of the README's table of limits: key and default.
    fn rows() -> Vec<(String, String)> {
        let rows = include_str!("../README.md").lines().filter_map(|line| line.strip_prefix("| `"));
        rows.filter_map(|row| {
            let (key, rest) = row.split_once("` | ")?;
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte == b'.';
            let is_key = key.contains('.') && key.bytes().all(plain);
            is_key.then(|| (key.to_owned(), toml_value(rest.split(" |").next().unwrap_or_default())))
        })
        .collect()
    }

    fn toml_value(written: &str) -> String {
        let number = written.replace(',', "");
        let times = |number: &str, unit: u64| (number.parse::<u64>().unwrap() * unit).to_string();
        match number.split_once(' ') {
            Some((number, "KiB")) => times(number, 1 << 10),
            Some((number, "MiB")) => times(number, 1 << 20),
            _ if written.starts_with('`') => format!("\"{}\"", written.trim_matches('`')),
            _ => number,
        }
    }

    #[test]
    fn a_lease_is_longer_than_what_is_done_under_it() {
        let wrong = |lease_ms: i64, call_ms: u64, request_ms: u64| {
            let mut settings = Settings::default();
            settings.delivery.lease_ms = lease_ms;
            (settings.guests.queue_timeout_ms, settings.guests.delivery_deadline_ms) = (100, call_ms);
            settings.egress.timeout_ms = request_ms;
            settings.check().err().unwrap_or_default().len()
        };
        assert!(Settings::default().check().is_ok());
        assert_eq!((wrong(1_000, 899, 999), wrong(1_000, 900, 999), wrong(1_000, 899, 1_000)), (0, 1, 1));
        assert_eq!((wrong(1_000, u64::MAX, u64::MAX), wrong(-1, 0, 0)), (2, 2));
    }

    #[test]
    fn the_largest_batch_fits_into_the_queue() {
        let fits = |batch_events, queue_length| {
            let mut settings = Settings::default();
            (settings.sidecars.batch_events, settings.store.queue_length) = (batch_events, queue_length);
            settings.check().is_ok()
        };
        assert!(fits(64, 64) && !fits(65, 64));
    }

    #[test]
    fn the_readme_names_every_limit_with_its_default() {
        // What is unset by default cannot be written down.
        let set = rows().into_iter().filter(|(_, value)| value != "none");
        let text: String = set.map(|(key, value)| format!("{key} = {value}\n")).collect();
        let written: Settings = toml_edit::de::from_str(&text).unwrap();
        assert_eq!(format!("{written:?}"), format!("{:?}", Settings::default()));
        let shown = format!("{:#?}", Settings::default());
        let fields = shown.lines().filter(|line| line.starts_with("        ") && line.ends_with(','));
        for field in fields.filter_map(|line| line.trim().split_once(':').map(|(field, _)| field)) {
            assert!(
                rows().iter().any(|(key, _)| key.ends_with(&format!(".{field}"))),
                "the README leaves out `{field}`"
            );
        }
    }
}
