//! Percentiles and medians.

use std::time::Duration;

use anyhow::{Context, Result};

/// Latencies as they were measured.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    millis: Vec<f64>,
}

/// What is told of latencies, in milliseconds.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Latency {
    /// The median.
    pub(crate) p50_ms: f64,
    /// All but one in a hundred were shorter.
    pub(crate) p99_ms: f64,
    /// All but one in a thousand were shorter.
    pub(crate) p999_ms: f64,
    /// The longest.
    pub(crate) max_ms: f64,
}

impl Latencies {
    /// One more.
    pub(crate) fn add(&mut self, latency: Duration) {
        self.millis.push(latency.as_secs_f64() * 1e3);
    }

    /// Those of another connection.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.millis.append(&mut other.millis);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.millis.len() as u64
    }

    /// Sorts them.
    pub(crate) fn summary(mut self) -> Result<Latency> {
        self.millis.sort_by(f64::total_cmp);
        let at = |share| percentile(&self.millis, share);
        Ok(Latency { p50_ms: at(0.5)?, p99_ms: at(0.99)?, p999_ms: at(0.999)?, max_ms: at(1.0)? })
    }
}

/// The value below which this share of `sorted` lies.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> Result<f64> {
    let last = sorted.len().checked_sub(1).context("nothing was measured")?;
    Ok(sorted[(last as f64 * share).round() as usize])
}

/// The middle value; of an even number the mean of the two in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Result<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1).context("nothing was measured")?;
    Ok(f64::midpoint(values[last / 2], values[last.div_ceil(2)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median([3.0, 1.0, 2.0]).unwrap(), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]).unwrap(), 2.5);
        let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 0.99).unwrap(), 99.0);
        assert!(median([]).is_err());
    }
}
