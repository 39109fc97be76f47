//! How long the disk takes to make a small write durable: every acknowledgement waits for that.

use std::{
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, Instant},
};

use super::Check;

/// Writes that are timed.
const WRITES: usize = 20;

/// A flush that takes longer bounds what the daemon can accept.
const SLOW: Duration = Duration::from_millis(10);

/// Writes and flushes a small file in the folder, again and again.
pub(super) fn look(folder: &Path) -> Check {
    let mut times = match measure(folder) {
        Ok(times) => times,
        Err(error) => {
            let remedy = "let the daemon's user write there, and look at the file system";
            return Check::bad("disk", format!("nothing can be written in `{}`: {error}", folder.display()), remedy);
        }
    };
    times.sort_unstable();
    let median = times[times.len() / 2];
    let told = format!("a flush takes {:.2} ms", median.as_secs_f64() * 1000.0);
    if median <= SLOW {
        return Check::well("disk", told);
    }
    let commits = 1.0 / median.as_secs_f64();
    let found = format!("{told}: every acknowledgement waits for one, and there can be {commits:.0} commits a second");
    Check::careful("disk", found, "put the state folder on a faster disk")
}

fn measure(folder: &Path) -> io::Result<Vec<Duration>> {
    let mut file = tempfile::Builder::new().prefix(".doctor-").tempfile_in(folder)?;
    let bytes = [7; 4096];
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let started = Instant::now();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&bytes)?;
        file.as_file().sync_data()?;
        times.push(started.elapsed());
    }
    Ok(times)
}
