//! What the API's document says about the public route beside its handlers' own annotations.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses,
    openapi::{Content, RefOr, Response, ResponseBuilder},
};

/// The host's refusals by status, with their codes; a kind adds codes of its own.
const CODES: [(&str, &str); 13] = [
    (
        "400",
        "invalid_payload, reply_target_invalid, session_unresolved, asset_not_found, incomplete_body, or a code of the kind",
    ),
    (
        "401",
        "missing_token, malformed_token, invalid_token, missing_signature, malformed_signature, invalid_signature, \
         malformed_timestamp, stale_timestamp",
    ),
    ("403", "A code of the kind"),
    ("404", "connector_not_found, or a code of the kind"),
    ("405", "method_not_allowed"),
    ("408", "request_timeout"),
    ("409", "idempotency_conflict, session_not_found, binding_conflict"),
    ("413", "payload_too_large"),
    ("422", "A code of the kind"),
    ("429", "The kind, followed by _ingress_rate_limited"),
    ("502", "connector_failed"),
    ("503", "overloaded, service_unavailable, daemon_draining"),
    ("504", "connector_timeout"),
];

/// Every answer but a receipt.
pub(crate) struct OtherAnswers;

impl IntoResponses for OtherAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let answer = |description: &str| ResponseBuilder::new().description(description);
        let mut answers: BTreeMap<_, _> =
            CODES.into_iter().map(|(status, codes)| (status.to_owned(), answer(codes).build().into())).collect();
        answers.insert("204".to_owned(), answer("Nothing was to be made durable").build().into());
        let words = answer("The kind's own words").content("*/*", Content::default());
        answers.insert("default".to_owned(), words.build().into());
        answers
    }
}
