//! Measures a release build of `kheishd`: how many signed events it makes durable per second, how soon it answers, what a
//! guest costs, how fast it starts, how much memory it holds.
//!
//! It starts the real daemon in folders of its own below the temporary folder (`TMPDIR`), prints a table and writes every
//! figure as JSON. It judges nothing: the exit code says whether everything could be measured.
//!
//! | file | measures |
//! |---|---|
//! | [`rates`] | the accept rate with and without a guest, the latency at half of it, memory |
//! | [`full`] | the accept rate on a store that holds many receipts, against an empty one; bytes of an event |
//! | [`starts`] | spawn to ready, with compiled code cached and without |
//! | [`guest`] | guest calls without HTTP, of each bundled kind |
//! | [`connectors`] | a daemon with many connectors of the API: memory, list, metrics, start, how soon a change shows |
//! | [`deliveries`] | deliveries over HTTP: per second, how soon, many that wait, beside a dead target |
//! | [`pruning`] | how long old rows that make room hold the writer |
//! | [`downloads`] | how soon Slack's events are acknowledged while files are fetched |
//! | [`sidecars`] | events of sidecars per second, one by one and in batches |
//! | [`children`] | sidecars that the daemon keeps: its processor time, and their guards |
//! | [`machine`] | what all of it ran on, flush latency included |
//!
//! They share a [`daemon`], requests ([`request`]) over bare connections ([`connection`]), the two ways of sending them
//! ([`load`]) and their [`figures`]; [`report`] is the table and the JSON.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;

mod children;
mod connection;
mod connectors;
mod daemon;
mod deliveries;
mod downloads;
mod figures;
mod full;
mod guest;
mod load;
mod machine;
mod pruning;
mod rates;
mod report;
mod request;
mod sidecars;
mod sink;
mod starts;

use daemon::Place;
use report::{Report, Sections, Settings};

/// Measures a release build of kheishd.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 100)]
struct Args {
    /// The daemon's binary, a release build.
    #[arg(long, value_name = "PATH")]
    kheishd: PathBuf,
    /// The folder with the bundled plugins.
    #[arg(long, value_name = "DIR")]
    plugins: PathBuf,
    /// Where to write the figures as JSON.
    #[arg(long, value_name = "FILE.json")]
    out: PathBuf,
    /// Seconds that are counted in each round [default: 8, or 2 with --quick].
    #[arg(long)]
    seconds: Option<u64>,
    /// Rounds of each kind; medians are taken over them [default: 3, or 1 with --quick].
    #[arg(long)]
    rounds: Option<usize>,
    /// Receipts in the store that is compared with an empty one [default: 1000000, or 100000 with --quick].
    #[arg(long)]
    receipts: Option<u64>,
    /// Connectors that are made through the API [default: 1000, or 200 with --quick].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    connectors: Option<u64>,
    /// Measure these only [default: everything].
    #[arg(long, value_delimiter = ',', value_name = "SECTION")]
    only: Vec<Section>,
    /// Half a minute in all, for a first impression.
    #[arg(long)]
    quick: bool,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Section {
    Guests,
    Starts,
    /// Accept rates, and how long pruning holds the writer at half of them.
    Rates,
    Full,
    Sidecars,
    Children,
    Deliveries,
    Downloads,
    Connectors,
}

impl Args {
    /// Measures a section, when it is wanted.
    async fn wanted<T>(&self, section: Section, measure: impl Future<Output = Result<T>>) -> Result<Option<T>> {
        let wanted = self.only.is_empty() || self.only.contains(&section);
        if wanted { measure.await.map(Some) } else { Ok(None) }
    }

    fn settings(&self) -> Settings {
        let pick = |full: u64, quick: u64| if self.quick { quick } else { full };
        Settings {
            connections: load::CONNECTIONS,
            seconds: self.seconds.unwrap_or(pick(8, 2)).max(1),
            warm_up_ms: pick(1_000, 400),
            rounds: self.rounds.unwrap_or(if self.quick { 1 } else { 3 }).max(1),
            receipts: self.receipts.unwrap_or(pick(1_000_000, 100_000)),
            starts: if self.quick { 3 } else { 7 },
            guest_calls: pick(20_000, 5_000),
            deliveries: pick(60_000, 10_000),
            pending: pick(1_000_000, 50_000),
            connectors: self.connectors.unwrap_or(pick(1_000, 200)),
            sessions: request::SESSIONS,
            event_bytes: request::body_bytes(),
        }
    }
}

/// The generator has one thread, so that the daemon has the rest of the machine.
fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.context("starting the runtime").and_then(|runtime| runtime.block_on(run(&args)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    let settings = args.settings();
    let place = Place::new(&args.kheishd, &args.plugins)?;
    let machine = machine::look(place.folder())?;
    let sections = sections(args, &place, &settings).await?;
    let report = Report { load_average_after: machine::load_average(), settings, machine, sections };
    let json = serde_json::to_vec_pretty(&report)?;
    std::fs::write(&args.out, json).with_context(|| format!("writing `{}`", args.out.display()))?;
    report.print();
    println!("all figures: {}", args.out.display());
    Ok(())
}

async fn sections(args: &Args, place: &Place, settings: &Settings) -> Result<Sections> {
    let rates = async {
        let rates = rates::measure(place, settings).await?;
        let pruning = pruning::measure(place, settings, rates.guest_per_second / 2.0).await?;
        Ok((rates, pruning))
    };
    let guests = args.wanted(Section::Guests, async { guest::measure(place, settings.guest_calls) }).await?;
    let starts = args.wanted(Section::Starts, starts::measure(place, settings)).await?;
    let (rates, pruning) = args.wanted(Section::Rates, rates).await?.unzip();
    Ok(Sections {
        guests,
        starts,
        rates,
        full: args.wanted(Section::Full, full::measure(place, settings)).await?,
        sidecars: args.wanted(Section::Sidecars, sidecars::measure(place, settings)).await?,
        children: args.wanted(Section::Children, children::measure(place)).await?,
        pruning,
        deliveries: args.wanted(Section::Deliveries, deliveries::measure(place, settings)).await?,
        downloads: args.wanted(Section::Downloads, downloads::measure(place, settings)).await?,
        connectors: args.wanted(Section::Connectors, connectors::measure(place, settings)).await?,
    })
}

/// Says on standard error what is going on; standard output is for the table.
fn say(what: &str) {
    eprintln!("bench: {what}");
}
