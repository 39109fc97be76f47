//! What a no of the Bot API means. Its words are the only thing that tells many of them apart.

use kheish_guest::Failure;

use super::Trouble;

/// A no.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// `error_code`, or the status where there is none.
    pub(crate) status: u16,
    /// For people, and for [`Self::says`].
    pub(crate) description: String,
    /// How long to wait.
    pub(crate) retry_after_ms: Option<u64>,
    /// The group has become a supergroup, with this id.
    pub(crate) migrate_to: Option<i64>,
    /// Whether the Bot API itself said it.
    pub(crate) in_frame: bool,
}

/// How long to wait where Telegram asks to and does not say how long.
const WAIT_MS: u64 = 3_000;

/// Words of a 403, and their codes.
const FORBIDDEN: [(&str, &str); 5] = [
    ("blocked by the user", "bot_blocked"),
    ("user is deactivated", "user_deactivated"),
    ("kicked", "bot_kicked"),
    ("not a member", "not_a_member"),
    ("can't initiate conversation", "user_never_wrote"),
];

/// Words of a 400, and their codes.
const BAD: [(&str, &str); 12] = [
    ("chat not found", "chat_not_found"),
    ("not enough rights", "not_enough_rights"),
    ("have no rights", "not_enough_rights"),
    ("can't parse entities", "cannot_parse_entities"),
    ("caption is too long", "caption_too_long"),
    ("too long", "message_too_long"),
    ("message text is empty", "message_empty"),
    ("thread not found", "topic_not_found"),
    ("topic_closed", "topic_closed"),
    ("file is too big", "file_too_big"),
    ("file_id", "file_gone"),
    ("query is too old", "query_too_old"),
];

impl Refused {
    /// Whether its words contain these, which are in small letters.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.description.to_lowercase().contains(words)
    }

    /// Whether it is the caller's mistake, so that another request may go better.
    pub(crate) fn is_bad_request(&self) -> bool {
        self.status == 400 && self.in_frame
    }

    /// What follows from it. `repeatable`: the call changes nothing at Telegram that must not be changed twice.
    pub(crate) fn failure(self, repeatable: bool) -> Failure {
        let Self { status, retry_after_ms, .. } = self;
        let description = self.description.clone();
        match status {
            429 => Failure::retryable("rate_limited", description).after_ms(retry_after_ms.unwrap_or(WAIT_MS)),
            401 => Failure::unauthorized(
                "token_revoked",
                format!("Telegram does not know the bot's token: {description}."),
            ),
            404 => Failure::unauthorized(
                "token_unknown",
                format!(
                    "Telegram does not know the bot's token, or api_base_url is not a Bot API server: {description}."
                ),
            ),
            403 => Failure::terminal(self.code(&FORBIDDEN, "forbidden"), description),
            409 => Failure::retryable("conflict", description).after_ms(retry_after_ms.unwrap_or(WAIT_MS)),
            413 => Failure::terminal("file_too_big", description),
            421 => Failure::unauthorized(
                "wrong_server",
                format!("The bot is logged in to another Bot API server: {description}."),
            ),
            500.. if repeatable || status == 503 => {
                waiting(Failure::retryable("server_error", description), retry_after_ms)
            }
            500.. => Failure::unknown("server_error", description),
            // A yes that cannot be read is a yes.
            ..=399 if !repeatable => Failure::unknown("answer_unreadable", description),
            ..=399 => Failure::retryable("answer_unreadable", description),
            _ => Failure::terminal(self.code(&BAD, "bad_request"), description),
        }
    }

    fn code(&self, words: &[(&str, &'static str)], otherwise: &'static str) -> &'static str {
        words.iter().find(|(words, _)| self.says(words)).map_or(otherwise, |(_, code)| code)
    }
}

impl Trouble {
    /// What follows where the call must not be made twice.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Unanswered(error) => error.failure(),
            Self::Refused(refused) => refused.failure(false),
        }
    }

    /// What follows where it may.
    pub(crate) fn harmless(self) -> Failure {
        match self {
            Self::Unanswered(error) => error.harmless(),
            Self::Refused(refused) => refused.failure(true),
        }
    }
}

fn waiting(failure: Failure, wait: Option<u64>) -> Failure {
    match wait {
        Some(wait) => failure.after_ms(wait),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use kheish_guest::{FailureKind, http::Response};
    use serde_json::{Value, json};

    use super::*;
    use crate::api::open;

    fn refused(status: u16, body: Value) -> Refused {
        open::<Value>(&Response::new(status, body.to_string())).unwrap_err()
    }

    fn said(status: u16, words: &str) -> Failure {
        refused(status, json!({"ok": false, "error_code": status, "description": words})).failure(false)
    }

    #[test]
    fn each_class_of_platforms_words_has_its_consequence() {
        use FailureKind::{Retryable, Terminal, Unauthorized, Unknown};
        for (status, words, kind, code) in [
            (401, "Unauthorized", Unauthorized, "token_revoked"),
            (404, "Not Found", Unauthorized, "token_unknown"),
            (403, "Forbidden: bot was blocked by the user", Terminal, "bot_blocked"),
            (403, "Forbidden: user is deactivated", Terminal, "user_deactivated"),
            (403, "Forbidden: bot was kicked from the supergroup chat", Terminal, "bot_kicked"),
            (403, "Forbidden: bot is not a member of the channel chat", Terminal, "not_a_member"),
            (403, "Forbidden: something new", Terminal, "forbidden"),
            (400, "Bad Request: chat not found", Terminal, "chat_not_found"),
            (400, "Bad Request: not enough rights to send text messages to the chat", Terminal, "not_enough_rights"),
            (400, "Bad Request: message is too long", Terminal, "message_too_long"),
            (400, "Bad Request: message caption is too long", Terminal, "caption_too_long"),
            (400, "Bad Request: something new", Terminal, "bad_request"),
            (409, "Conflict: terminated by other getUpdates request", Retryable, "conflict"),
            (413, "Request Entity Too Large", Terminal, "file_too_big"),
            (500, "Internal Server Error", Unknown, "server_error"),
            (502, "Bad Gateway", Unknown, "server_error"),
            (503, "Service Unavailable", Retryable, "server_error"),
            (504, "Gateway Timeout", Unknown, "server_error"),
        ] {
            let failure = said(status, words);
            assert_eq!((failure.kind, failure.code.as_str()), (kind, code), "{status} {words}");
        }
    }

    #[test]
    fn a_wait_is_taken_from_the_answer_and_then_from_the_header() {
        let body = json!({"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 7",
            "parameters": {"retry_after": 7}});
        assert_eq!(refused(429, body).failure(false).retry_after_ms, Some(7_000));
        let proxy = Response::new(429, "slow down").with_header("retry-after", "4");
        assert_eq!(open::<Value>(&proxy).unwrap_err().failure(false).retry_after_ms, Some(4_000));
        assert_eq!(said(429, "Too Many Requests").retry_after_ms, Some(WAIT_MS));
    }

    #[test]
    fn what_only_reads_may_be_asked_again() {
        for body in ["<html>", "{\"ok\":true}", ""] {
            for (status, asked, posted) in [
                (200, FailureKind::Retryable, FailureKind::Unknown),
                (502, FailureKind::Retryable, FailureKind::Unknown),
                (400, FailureKind::Terminal, FailureKind::Terminal),
            ] {
                let refused = open::<Value>(&Response::new(status, body)).unwrap_err();
                assert!(!refused.in_frame && !refused.is_bad_request());
                assert_eq!(refused.clone().failure(true).kind, asked, "{status} {body}");
                assert_eq!(refused.failure(false).kind, posted, "{status} {body}");
            }
        }
    }
}
