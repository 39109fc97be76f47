//! A look-up: the connector's plugin asks its platform what became of a part of which nobody knows whether it arrived. One
//! call; looking changes nothing, so that what gets no answer is asked again.

use std::sync::Arc;

use super::{
    connector::{failed, no_answer, outgoing, serves},
    destinations::Destinations,
    sent::Sent,
    targets,
};
use crate::{
    connectors::{
        Effect,
        outgoing::{DeliveryReceipt, Failure, Finding, Search},
    },
    model::delivery::Delivery,
};

/// How a look-up ended, in the dispatcher's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// The platform has it.
    Found {
        /// What the platform calls it.
        platform_id: Option<String>,
        /// What else it said, as JSON text.
        detail: Option<String>,
    },
    /// The platform does not have it: it is safe to send it again.
    Absent,
    /// Nobody can say, also later.
    Undecided {
        /// Stable.
        code: String,
        /// For people.
        detail: String,
    },
    /// The platform has locked the connector out: nobody can say until somebody mends that.
    LockedOut {
        /// Stable.
        code: String,
        /// For people.
        detail: String,
        /// When the platform said to come back, in milliseconds from now.
        after_ms: Option<i64>,
    },
    /// Another look may tell.
    Later {
        /// Stable.
        code: String,
        /// For people.
        detail: String,
        /// When the platform said to come back, in milliseconds from now.
        after_ms: Option<i64>,
        /// Whether this look-up counts: not when the platform asked to wait.
        counts: bool,
    },
}

impl Looked {
    /// What it said, stable and for people.
    pub fn said(&self) -> (String, String) {
        match self {
            Self::Found { .. } => ("found".to_owned(), "the platform has it".to_owned()),
            Self::Absent => ("absent".to_owned(), "the platform does not have it".to_owned()),
            Self::Undecided { code, detail }
            | Self::LockedOut { code, detail, .. }
            | Self::Later { code, detail, .. } => (code.clone(), detail.clone()),
        }
    }
}

impl From<Sent> for Looked {
    /// A failure means for a look-up what it means for an attempt, but that an unknown one is harmless.
    fn from(sent: Sent) -> Self {
        match sent {
            Sent::Delivered { platform_id, detail } => Self::Found { platform_id, detail },
            Sent::Retry { code, detail, after_ms, counts } => Self::Later { code, detail, after_ms, counts },
            Sent::Unknown { code, detail } => Self::Later { code, detail, after_ms: None, counts: true },
            Sent::LockedOut { code, detail, after_ms } => Self::LockedOut { code, detail, after_ms },
            Sent::Dead { code, detail } => Self::Undecided { code, detail },
        }
    }
}

/// Looks a part up once, and returns what the plugin wants remembered of it.
pub async fn look_up(destinations: &dyn Destinations, delivery: &Delivery) -> (Looked, Vec<Effect>) {
    let undecided = |code: &str, detail: String| (Looked::Undecided { code: code.to_owned(), detail }, Vec::new());
    let (id, route) = match targets::split(&delivery.target) {
        Ok(parts) => parts,
        Err(reason) => return undecided("invalid_target", reason),
    };
    let Some((plugin, context)) = destinations.find(&id).filter(|(plugin, _)| plugin.reconciles()) else {
        return undecided("look_up_gone", format!("connector `{id}` is gone or looks nothing up any more"));
    };
    match plugin.find(Arc::clone(&context), outgoing(delivery, route)).await {
        Ok(Search { outcome, effects }) => match judged(outcome) {
            Looked::LockedOut { code, detail, .. } if !serves(destinations, &id, &context) => {
                (Looked::Later { code, detail, after_ms: None, counts: false }, effects)
            }
            looked => (looked, effects),
        },
        Err(fault) => (no_answer(&id, &fault).into(), Vec::new()),
    }
}

fn judged(outcome: Result<Finding, Failure>) -> Looked {
    match outcome {
        Ok(Finding::Sent(DeliveryReceipt { platform_id, detail })) => {
            Looked::Found { platform_id, detail: Some(detail).filter(|detail| detail != "null") }
        }
        Ok(Finding::Absent) => Looked::Absent,
        Ok(Finding::Undecidable) => {
            let detail = "the platform cannot tell whether it arrived".to_owned();
            Looked::Undecided { code: "undecidable".to_owned(), detail }
        }
        Err(failure) => failed(failure).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connectors::outgoing::FailureKind;

    fn after(kind: FailureKind, retry_after_ms: Option<i64>) -> Looked {
        judged(Err(Failure { kind, code: "c".to_owned(), reason: "r".to_owned(), retry_after_ms }))
    }

    #[test]
    fn each_kind_of_failure_has_its_consequence() {
        let later = |after_ms, counts| Looked::Later { code: "c".to_owned(), detail: "r".to_owned(), after_ms, counts };
        assert_eq!(after(FailureKind::Retryable, None), later(None, true));
        assert_eq!(after(FailureKind::Retryable, Some(5)), later(Some(5), false), "a wait that was asked for is free");
        assert_eq!(after(FailureKind::Unknown, None), later(None, true), "looking does no harm");
        assert!(matches!(after(FailureKind::Unauthorized, Some(5)), Looked::LockedOut { after_ms: Some(5), .. }));
        assert!(matches!(after(FailureKind::Terminal, Some(5)), Looked::Undecided { .. }));
    }

    #[test]
    fn a_receipt_that_says_nothing_is_not_kept() {
        let receipt = |detail: &str| DeliveryReceipt { platform_id: None, detail: detail.to_owned() };
        let found = |detail: Option<&str>| Looked::Found { platform_id: None, detail: detail.map(str::to_owned) };
        assert_eq!(judged(Ok(Finding::Sent(receipt("null")))), found(None));
        assert_eq!(judged(Ok(Finding::Sent(receipt("{}")))), found(Some("{}")));
    }
}
