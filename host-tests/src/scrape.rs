//! Reads what `/metrics` says, line by line, and fails the test where it is not as Prometheus wants it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{client::Answer, host::Host, wait::eventually};

/// One reading.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// Types by family.
    pub types: BTreeMap<String, String>,
    /// Values by series, as written: `name{label="value"}`.
    pub samples: BTreeMap<String, f64>,
}

impl Scrape {
    /// Asks a daemon.
    pub async fn of(host: &Host) -> Self {
        Self::read(&host.get("/metrics").await.expect(200))
    }

    /// Reads an answer.
    #[track_caller]
    pub fn read(answer: &Answer) -> Self {
        assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        let text = std::str::from_utf8(&answer.body).expect("metrics are UTF-8");
        assert!(text.ends_with('\n'), "the last line is not ended");
        let mut scrape = Self::default();
        let mut helped = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(helped.contains(name), "no help before: {line}");
                assert!(scrape.types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            } else {
                scrape.sample(line);
            }
        }
        scrape
    }

    #[track_caller]
    fn sample(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a series and its value");
        let value: f64 = value.parse().expect("the value is a number");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert!(self.declares(name), "no type before: {line}");
        for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let (_, text) = label.split_once('=').expect("a label and its value");
            assert!(!looks_like_an_id(text.trim_matches('"')), "an id is a label: {line}");
        }
        assert!(self.samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }

    fn declares(&self, name: &str) -> bool {
        let is = |family: &str, kind: &str| self.types.get(family).is_some_and(|written| written == kind);
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        is(name, "counter") || is(name, "gauge") || part.is_some_and(|family| is(family, "histogram"))
    }

    /// The value of a series of the daemon's own; 0 when it is not there.
    pub fn value(&self, series: &str) -> f64 {
        self.samples.get(&format!("kheish_{series}")).copied().unwrap_or_default()
    }

    /// Waits until a series has this value.
    pub async fn when(host: &Host, series: &str, value: f64) -> Self {
        eventually(&format!("{series} is {value}"), async || {
            let scrape = Self::of(host).await;
            (scrape.value(series) == value).then_some(scrape)
        })
        .await
    }
}

/// Ids have prefixes and many hexadecimal digits; no label has either.
fn looks_like_an_id(text: &str) -> bool {
    let longest = text.split(|letter: char| !letter.is_ascii_hexdigit()).map(str::len).max().unwrap_or_default();
    longest >= 12 || text.starts_with("run_") || text.starts_with("delivery_")
}
