//! The accept rate with and without a guest on the route, and the latency at half of it; memory before and after.

use std::time::Duration;

use anyhow::Result;

use crate::{
    daemon::{Daemon, Memory, Place},
    figures::median,
    load::{self, Round, Route},
    report::Settings,
    request::Names,
    say,
};

/// The guest, events spread over sessions by their binding keys.
pub(crate) const GUEST: Route = Route { target: "/v1/connectors/http/bench", names: Names::Conversation };

/// The guest, all events in one session.
const GUEST_FIXED: Route = Route { target: "/v1/connectors/http/fixed", names: Names::Nothing };

/// Native code that parses nothing, all events in one session.
const NATIVE: Route = Route { target: "/v1/connectors/noop/bench", names: Names::Nothing };

/// How long a daemon rests before its memory is looked at.
const REST: Duration = Duration::from_secs(1);

/// Rates, latency and memory of one daemon.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Rates {
    /// Events accepted per second through the guest, median.
    pub(crate) guest_per_second: f64,
    /// The same with all events in one session.
    pub(crate) guest_fixed_per_second: f64,
    /// The same with native code in place of the guest.
    pub(crate) native_per_second: f64,
    /// Guest against native, both with one session: the median of the rounds' ratios.
    pub(crate) share: f64,
    /// At half of `guest_per_second`, sent at fixed times.
    pub(crate) half: Round,
    /// After a start with compiled code cached, nothing sent yet.
    pub(crate) memory_idle: Memory,
    /// After a start that compiled, nothing sent yet.
    pub(crate) memory_compiled: Memory,
    /// After all of the load.
    pub(crate) memory_after: Memory,
    /// Round by round.
    pub(crate) guest: Vec<Round>,
    guest_fixed: Vec<Round>,
    native: Vec<Round>,
    shares: Vec<f64>,
}

/// Rounds of the three kinds take turns on one daemon.
pub(crate) async fn measure(place: &Place, settings: &Settings) -> Result<Rates> {
    let compiler = place.start("rates").await?;
    tokio::time::sleep(REST).await;
    let memory_compiled = compiler.memory()?;
    compiler.stop().await?;
    let daemon = place.start("rates").await?;
    tokio::time::sleep(REST).await;
    let memory_idle = daemon.memory()?;
    let [mut guest, mut guest_fixed, mut native] = [Vec::new(), Vec::new(), Vec::new()];
    for number in 1..=settings.rounds {
        say(&format!("accept rate, round {number} of {}", settings.rounds));
        guest.push(load::closed(&daemon, GUEST, settings.length()).await?);
        native.push(load::closed(&daemon, NATIVE, settings.length()).await?);
        guest_fixed.push(load::closed(&daemon, GUEST_FIXED, settings.length()).await?);
    }
    let guest_per_second = per_second(&guest)?;
    let half = latency(&daemon, settings, guest_per_second / 2.0).await?;
    tokio::time::sleep(REST).await;
    let memory_after = daemon.memory()?;
    daemon.stop().await?;
    let shares: Vec<f64> =
        guest_fixed.iter().zip(&native).map(|(guest, native)| guest.per_second / native.per_second).collect();
    Ok(Rates {
        guest_per_second,
        guest_fixed_per_second: per_second(&guest_fixed)?,
        native_per_second: per_second(&native)?,
        share: median(shares.iter().copied())?,
        half,
        memory_idle,
        memory_compiled,
        memory_after,
        guest,
        guest_fixed,
        native,
        shares,
    })
}

async fn latency(daemon: &Daemon, settings: &Settings, rate: f64) -> Result<Round> {
    say(&format!("latency at {rate:.0} events per second"));
    load::open(daemon, GUEST, settings.length(), rate).await
}

/// The median of rounds.
pub(crate) fn per_second(rounds: &[Round]) -> Result<f64> {
    median(rounds.iter().map(|round| round.per_second))
}
