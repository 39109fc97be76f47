//! Answers with what was said.

use async_trait::async_trait;

use super::{
    Answer, Executor,
    attempt::{Attempt, Failure},
};
use crate::model::run::{Run, RunInput};

/// Says back the text of a run, one output for all of it.
pub struct Echo;

#[async_trait]
impl Executor for Echo {
    async fn perform(&self, run: &Run, _: &Attempt<'_>) -> Result<Answer, Failure> {
        let texts: Vec<&str> = run
            .request
            .input
            .iter()
            .filter_map(|part| match part {
                RunInput::Text { text } => Some(text.as_str()),
                RunInput::Asset { .. } | RunInput::RemoteFile(_) | RunInput::UnavailableFile { .. } => None,
            })
            .collect();
        Ok(Answer::Said(vec![texts.join("\n").into()]))
    }
}
