//! Closed sets of label values: a type for each, so that no free text becomes a series.

use std::marker::PhantomData;

use prometheus::{IntCounter, IntCounterVec};

/// A closed set of label values.
pub trait Label: Copy + 'static {
    /// All of them, in the order of their positions.
    const ALL: &'static [Self];

    /// How it reads: lower case and underscores.
    fn text(self) -> &'static str;

    /// Its place in [`Self::ALL`].
    fn position(self) -> usize;
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$about])* $value,)*
        }

        impl $crate::metrics::label::Label for $name {
            const ALL: &'static [Self] = &[$(Self::$value),*];

            fn text(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)*
                }
            }

            fn position(self) -> usize {
                self as usize
            }
        }
    };
}

pub(super) use label;

label! {
    /// How an attempt of a run ended.
    RunOutcome {
        /// With its outputs.
        Completed = "completed",
        /// Without an answer, for good.
        Failed = "failed",
        /// Without an answer; the run waits again.
        Requeued = "requeued",
        /// Somebody had asked for its end.
        Cancelled = "cancelled",
    }
}

label! {
    /// How an attempt to deliver ended.
    AttemptClass {
        /// The target took it.
        Delivered = "delivered",
        /// It is tried again.
        Retry = "retry",
        /// The target asked to wait; it is tried again and does not count.
        RateLimited = "rate_limited",
        /// The platform has locked the connector out; it is tried again and does not count.
        Unauthorized = "unauthorized",
        /// Nobody knows whether it arrived.
        Unknown = "unknown",
        /// It was given up.
        Dead = "dead",
        /// No attempt: the platform was asked what became of one.
        LookUp = "look_up",
    }
}

label! {
    /// How an attempt to fetch a file ended.
    DownloadEnd {
        /// It is an asset.
        Fetched = "fetched",
        /// It is tried again.
        PutOff = "put_off",
        /// It will not come.
        Unavailable = "unavailable",
    }
}

label! {
    /// What is given up when it is old. The order is that in which it goes.
    Pruned {
        /// Receipts of events.
        Receipts = "receipts",
        /// Attempts to deliver that did not succeed.
        Attempts = "attempts",
        /// Deliveries with all their parts.
        Deliveries = "deliveries",
        /// Runs with their outputs.
        Runs = "runs",
        /// Input and metadata of runs that stay.
        Bodies = "bodies",
        /// Idle sessions with their names.
        Sessions = "sessions",
    }
}

/// A counter for each value of a set, fetched once.
pub struct Counters<L> {
    each: Vec<IntCounter>,
    set: PhantomData<L>,
}

impl<L: Label> Counters<L> {
    /// The counters of `family` whose last label is the set's and whose labels before it have these values.
    pub(super) fn new(family: &IntCounterVec, before: &[&str]) -> Self {
        let fetch = |value: &L| family.with_label_values(&[before, &[value.text()]].concat());
        Self { each: L::ALL.iter().map(fetch).collect(), set: PhantomData }
    }

    /// Counts one.
    pub fn add(&self, value: L) {
        self.add_many(value, 1);
    }

    /// Counts several.
    pub fn add_many(&self, value: L, count: u64) {
        self.each[value.position()].inc_by(count);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metrics::ingress::{Request, Verdict};

    fn check<L: Label + std::fmt::Debug + PartialEq>() {
        let texts: BTreeSet<&str> = L::ALL.iter().map(|value| value.text()).collect();
        assert_eq!(texts.len(), L::ALL.len(), "two values read the same: {texts:?}");
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        assert!(texts.iter().all(|text| !text.is_empty() && text.bytes().all(plain)), "{texts:?}");
        assert!(L::ALL.iter().enumerate().all(|(at, value)| value.position() == at));
    }

    #[test]
    fn values_are_plain_and_told_apart() {
        check::<RunOutcome>();
        check::<AttemptClass>();
        check::<DownloadEnd>();
        check::<Verdict>();
        check::<Request>();
    }
}
