//! `kheishd doctor`: what is well, what is not, and how to mend it.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{
    client,
    failure::Failure,
    output::{BAD, CAREFUL, FAINT, GOOD, styled},
    progress::Progress,
    remote::{Common, Console},
};
use crate::config::{Settings, located};

mod clock;
mod daemon;
mod disk;
mod executors;
mod folder;
mod key;

/// What to check.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Where the daemon is and how to print.
    #[command(flatten)]
    pub common: Common,
    /// The daemon's state folder [default: the one of --config, or kheish-state].
    #[arg(long, env = "KHEISH_STATE_ROOT", value_name = "DIR")]
    pub state_root: Option<PathBuf>,
    /// The daemon's settings file.
    #[arg(long, env = "KHEISH_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Well,
    /// It works, but somebody should look.
    Careful,
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    found: String,
    remedy: Option<String>,
}

impl Check {
    fn well(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Well, found: found.into(), remedy: None }
    }

    fn careful(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Careful, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn bad(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Bad, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn document(&self) -> Value {
        let verdict = match self.verdict {
            Verdict::Well => "ok",
            Verdict::Careful => "warning",
            Verdict::Bad => "failed",
        };
        json!({ "check": self.name, "verdict": verdict, "found": self.found, "remedy": self.remedy })
    }
}

pub(crate) async fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let console = Console::open(&args.common)?;
    let progress = Progress::spinner("looking");
    let mut checks = Vec::new();
    let settings = settings(args, &mut checks);
    // The folder of a daemon elsewhere is elsewhere too.
    if client::is_loopback(console.client.base()) || args.state_root.is_some() || args.config.is_some() {
        folder::look(&settings.state_root, &mut checks);
    }
    daemon::look(&console, &mut checks).await;
    drop(progress);
    print(&console, &checks)?;
    let bad = checks.iter().any(|check| check.verdict == Verdict::Bad);
    if bad { Err(Failure::Found) } else { Ok(()) }
}

/// The daemon's settings, as far as they can be read here.
fn settings(args: &DoctorArgs, checks: &mut Vec<Check>) -> Settings {
    let mut settings = Settings::default();
    if let Some(path) = &args.config {
        match located::load::<Settings>(path) {
            Ok(read) => {
                checks.push(Check::well("settings", format!("`{}` reads well", path.display())));
                settings = read;
            }
            Err(problem) => checks.push(Check::bad("settings", problem.to_string(), "mend that line")),
        }
    }
    if let Some(folder) = &args.state_root {
        settings.state_root.clone_from(folder);
    }
    settings
}

fn print(console: &Console, checks: &[Check]) -> Result<(), Failure> {
    let out = &console.out;
    if out.is_json() {
        return out.value(&checks.iter().map(Check::document).collect());
    }
    for check in checks {
        let mark = match check.verdict {
            Verdict::Well => styled(GOOD, "✓"),
            Verdict::Careful => styled(CAREFUL, "!"),
            Verdict::Bad => styled(BAD, "✗"),
        };
        let remedy = check.remedy.as_ref().map(|remedy| styled(FAINT, format!(" → {remedy}"))).unwrap_or_default();
        out.line(format_args!("{mark} {:<10}  {}{remedy}", check.name, check.found))?;
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let (careful, bad) = (count(Verdict::Careful), count(Verdict::Bad));
    out.line(format_args!("\n{} checks: {bad} failed, {careful} to look at", checks.len()))
}
