//! Sending events over 64 connections: as fast as answers come, or at fixed times whatever the answers do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::{net::TcpStream, sync::Semaphore, task::JoinSet};

use crate::{
    connection::Connection,
    daemon::Daemon,
    figures::{Latencies, Latency},
    machine::{THIS_PROCESS, cpu_seconds},
    request::{Event, Names},
};

/// Connections that are open at once.
pub(crate) const CONNECTIONS: usize = 64;

/// Event numbers: none is used twice, whatever store it goes to.
static NEXT_EVENT: AtomicU64 = AtomicU64::new(1);

/// How long a round lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    /// What is sent and not counted, at first.
    pub(crate) warm_up: Duration,
    /// What is counted.
    pub(crate) counted: Duration,
}

/// Where events go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    /// The connector's path.
    pub(crate) target: &'static str,
    /// What its events say.
    pub(crate) names: Names,
}

/// What a round found.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Round {
    /// Events that were counted.
    pub(crate) events: u64,
    /// The same per second.
    pub(crate) per_second: f64,
    /// From sending, or from the time at which it was to be sent, to the whole answer.
    pub(crate) latency: Latency,
    /// Processor time of the daemon for each event, in microseconds.
    pub(crate) daemon_cpu_us: f64,
    /// Processor time of this program for each event, in microseconds.
    pub(crate) generator_cpu_us: f64,
}

/// Each connection sends its next event when its last one was answered.
pub(crate) async fn closed(daemon: &Daemon, route: Route, length: Length) -> Result<Round> {
    round(daemon, route, Clock::start(length), Pace::Closed).await
}

/// Events are sent at fixed times, so many per second, each by a connection that is free; their latency counts from that
/// time, so that waiting for a free connection is part of it.
pub(crate) async fn open(daemon: &Daemon, route: Route, length: Length, per_second: f64) -> Result<Round> {
    let due = Arc::new(Semaphore::new(0));
    let schedule = Arc::new(Schedule { per_second, taken: AtomicU64::new(0), due: Arc::clone(&due) });
    let clock = Clock::start(length);
    let keeper = Arc::clone(&schedule);
    thread::spawn(move || keeper.keep(clock));
    round(daemon, route, clock, Pace::Open(schedule)).await
}

/// The times of one round.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
    /// What is counted begins and ends here.
    from: Instant,
    until: Instant,
}

impl Clock {
    fn start(length: Length) -> Self {
        let start = Instant::now();
        let from = start + length.warm_up;
        Self { start, from, until: from + length.counted }
    }

    fn counts(&self, at: Instant) -> bool {
        self.from <= at && at < self.until
    }
}

#[derive(Clone)]
enum Pace {
    Closed,
    Open(Arc<Schedule>),
}

/// When events are to be sent.
struct Schedule {
    per_second: f64,
    /// Events that a connection has taken.
    taken: AtomicU64,
    /// A permit for each event whose time has come.
    due: Arc<Semaphore>,
}

impl Schedule {
    fn time_of(&self, clock: Clock, number: u64) -> Instant {
        clock.start + Duration::from_secs_f64(number as f64 / self.per_second)
    }

    /// Lets events go when their time has come. On a thread of its own: the runtime's timers know milliseconds only.
    fn keep(&self, clock: Clock) {
        for number in 0.. {
            let time = self.time_of(clock, number);
            if time >= clock.until {
                break;
            }
            thread::sleep(time.saturating_duration_since(Instant::now()));
            self.due.add_permits(1);
        }
        // The end has come for every connection.
        self.due.add_permits(CONNECTIONS);
    }
}

impl Pace {
    /// Waits for the next event's time, and says when that was.
    async fn next(&self, clock: Clock) -> Result<Instant> {
        match self {
            Self::Closed => Ok(Instant::now()),
            Self::Open(schedule) => {
                schedule.due.acquire().await?.forget();
                Ok(schedule.time_of(clock, schedule.taken.fetch_add(1, Ordering::Relaxed)))
            }
        }
    }

    /// Whether an event counts: where answers set the pace, those answered in time; else those to be sent in time.
    fn counts(&self, clock: Clock, begun: Instant, ended: Instant) -> bool {
        match self {
            Self::Closed => clock.counts(ended),
            Self::Open(_) => clock.counts(begun),
        }
    }
}

async fn round(daemon: &Daemon, route: Route, clock: Clock, pace: Pace) -> Result<Round> {
    let cpu = tokio::spawn(cpu_within(daemon.id().to_string(), clock));
    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(daemon.address()).await.context("connecting to the daemon")?;
        let event = Event::to(route.target, daemon.address(), route.names);
        senders.spawn(send(Connection::new(stream)?, event, pace.clone(), clock));
    }
    let mut latencies = Latencies::default();
    while let Some(sent) = senders.join_next().await {
        latencies.append(sent??);
    }
    let (daemon_cpu, generator_cpu) = cpu.await??;
    let events = latencies.count();
    let each = |seconds: f64| seconds * 1e6 / events.max(1) as f64;
    Ok(Round {
        events,
        per_second: events as f64 / (clock.until - clock.from).as_secs_f64(),
        latency: latencies.summary()?,
        daemon_cpu_us: each(daemon_cpu),
        generator_cpu_us: each(generator_cpu),
    })
}

async fn send(mut connection: Connection, mut event: Event, pace: Pace, clock: Clock) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    loop {
        let begun = pace.next(clock).await?;
        if begun >= clock.until {
            return Ok(latencies);
        }
        connection.accept(event.numbered(NEXT_EVENT.fetch_add(1, Ordering::Relaxed))).await?;
        let ended = Instant::now();
        if pace.counts(clock, begun, ended) {
            latencies.add(ended - begun);
        }
    }
}

/// Processor time of the daemon and of this process in the counted time, in seconds.
async fn cpu_within(daemon: String, clock: Clock) -> Result<(f64, f64)> {
    let look = || -> Result<(f64, f64)> { Ok((cpu_seconds(&daemon)?, cpu_seconds(THIS_PROCESS)?)) };
    tokio::time::sleep_until(clock.from.into()).await;
    let before = look()?;
    tokio::time::sleep_until(clock.until.into()).await;
    let after = look()?;
    Ok((after.0 - before.0, after.1 - before.1))
}
