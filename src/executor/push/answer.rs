//! What a receiver's answer means.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::{
    egress::EgressError,
    executor::{attempt::Failure, openai::failure::wait},
    model::output::Output,
    outputs::append::MAX_OUTPUTS,
    secrets::mask,
};

/// Characters of a receiver's words that are kept.
const MESSAGE_CHARS: usize = 500;

#[derive(Deserialize)]
struct Said {
    outputs: Vec<Output>,
}

/// The outputs of an answer that ends the run.
pub(super) fn outputs(body: &[u8]) -> Result<Vec<Output>, Failure> {
    let wrong = |detail: String| Failure::fatal("push_answer_invalid", plain(&detail));
    let said: Said = serde_json::from_slice(body)
        .map_err(|error| wrong(format!("the receiver answered 200 without {{\"outputs\": […]}}: {error}")))?;
    if said.outputs.len() as i64 > MAX_OUTPUTS {
        return Err(wrong(format!("the receiver gave more than {MAX_OUTPUTS} outputs")));
    }
    for (at, output) in said.outputs.iter().enumerate() {
        let invalid = |(field, expected)| wrong(format!("outputs[{at}].{field}: expected {expected}"));
        output.check().map_err(invalid)?;
    }
    Ok(said.outputs)
}

/// An answer that is neither outputs nor a promise of them.
pub(super) fn refused(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let detail = plain(&format!("the receiver answered {}: {}", status.as_u16(), String::from_utf8_lossy(body)));
    match status.as_u16() {
        // The receiver thinks that all is well: another request would make it do the work again.
        200..300 => Failure::fatal("push_answer_invalid", detail),
        408 | 425 | 429 => later(detail, headers),
        400..500 => Failure::fatal("push_refused", detail),
        _ => later(detail, headers),
    }
}

fn later(detail: String, headers: &HeaderMap) -> Failure {
    let failure = Failure::passing("push_unavailable", detail);
    match wait(headers) {
        Some(asked) => failure.not_before(i64::try_from(asked.as_millis()).unwrap_or(i64::MAX)),
        None => failure,
    }
}

/// No answer came, or it broke off.
pub(super) fn broken(error: EgressError) -> Failure {
    match error {
        EgressError::Denied(reason) => Failure::fatal("push_denied", format!("the run was not sent: {reason}")),
        EgressError::Unreached(reason) => unavailable(format!("the receiver cannot be reached: {reason}")),
        EgressError::Timeout => unavailable("the receiver took longer than timeout_ms".to_owned()),
        EgressError::Transport(reason) => unavailable(format!("the answer broke off: {reason}")),
    }
}

fn unavailable(detail: String) -> Failure {
    Failure::passing("push_unavailable", detail)
}

/// What is kept of a receiver's words, on one line.
fn plain(text: &str) -> String {
    mask::cut(text, MESSAGE_CHARS).chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;
    use crate::executor::attempt::Again;

    #[test]
    fn statuses_fall_into_their_class() {
        let judged = |status: u16| {
            let failure = refused(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), b"why");
            (failure.error.code, failure.again)
        };
        for status in [301, 408, 425, 429, 500, 503, 599] {
            assert_eq!(judged(status), ("push_unavailable".to_owned(), Again::Later), "{status}");
        }
        for status in [400, 401, 404, 409, 410, 422] {
            assert_eq!(judged(status), ("push_refused".to_owned(), Again::Never), "{status}");
        }
        for status in [201, 204, 206] {
            assert_eq!(judged(status), ("push_answer_invalid".to_owned(), Again::Never), "{status}");
        }
    }

    #[test]
    fn a_wait_that_was_asked_for_is_kept() {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("7"))]);
        assert_eq!(refused(StatusCode::SERVICE_UNAVAILABLE, &headers, b"").again, Again::NotBefore(7_000));
        assert_eq!(refused(StatusCode::BAD_REQUEST, &headers, b"").again, Again::Never);
    }

    #[test]
    fn an_answer_is_outputs_or_wrong() {
        assert_eq!(outputs(br#"{"outputs": [{"content": "a"}], "more": 1}"#).unwrap()[0].content, "a");
        assert_eq!(outputs(br#"{"outputs": []}"#).unwrap(), Vec::new());
        for wrong in ["", "{}", "ok", r#"{"outputs": "a"}"#, r#"{"outputs": [{"text": "a"}]}"#] {
            assert_eq!(outputs(wrong.as_bytes()).unwrap_err().error.code, "push_answer_invalid", "{wrong}");
        }
    }
}
