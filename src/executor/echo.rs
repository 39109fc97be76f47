//! Answers with what was said.

use async_trait::async_trait;

use super::Executor;
use crate::model::{
    output::Output,
    run::{Run, RunError, RunInput},
};

/// Says back the text of a run, one output for all of it.
pub struct Echo;

#[async_trait]
impl Executor for Echo {
    async fn perform(&self, run: &Run) -> Result<Vec<Output>, RunError> {
        let texts: Vec<&str> = run
            .request
            .input
            .iter()
            .filter_map(|part| match part {
                RunInput::Text { text } => Some(text.as_str()),
                RunInput::Asset { .. } | RunInput::RemoteFile(_) => None,
            })
            .collect();
        Ok(vec![Output { content: texts.join("\n") }])
    }
}
