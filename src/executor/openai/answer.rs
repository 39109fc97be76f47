//! What the model said, gathered from a whole answer or from the chunks of a stream. Pure.

use serde_json::{Map, Value};

use crate::model::usage::Usage;

/// Why an answer cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is not what an endpoint of this kind says.
    Malformed(String),
    /// There is more text than the limit.
    TooLong(usize),
    /// The provider reports an error in the middle; the number is a status, when there is one.
    Reported(Option<u16>, String),
}

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub struct Answer {
    text: String,
    refusal: String,
    model: Option<String>,
    finish_reason: Option<String>,
    usage: Map<String, Value>,
    limit: usize,
}

impl Answer {
    /// Nothing yet; at most `limit` bytes of text.
    pub fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Takes one chunk of a stream, as JSON.
    pub fn take_chunk(&mut self, text: &str) -> Result<(), Unusable> {
        self.take(text.as_bytes(), "/choices/0/delta")
    }

    /// Takes an answer that came whole.
    pub fn take_whole(&mut self, body: &[u8]) -> Result<(), Unusable> {
        self.take(body, "/choices/0/message")?;
        if self.finish_reason.is_none() && self.said().is_empty() {
            return Err(Unusable::Malformed("the answer has no choice".to_owned()));
        }
        Ok(())
    }

    fn take(&mut self, json: &[u8], place: &str) -> Result<(), Unusable> {
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| Unusable::Malformed(format!("the answer is not JSON: {error}")))?;
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            return Err(Unusable::Reported(status, message(error)));
        }
        if let Some(said) = value.pointer(place) {
            push(&mut self.text, said.get("content"));
            push(&mut self.refusal, said.get("refusal"));
        }
        if self.text.len() + self.refusal.len() > self.limit {
            return Err(Unusable::TooLong(self.limit));
        }
        let named = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        self.model = named("/model").or(self.model.take());
        self.finish_reason = named("/choices/0/finish_reason").or(self.finish_reason.take());
        if let Some(Value::Object(usage)) = value.get("usage") {
            self.usage.clone_from(usage);
        }
        Ok(())
    }

    /// Whether the model has said why it ended.
    pub fn is_complete(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// Why the model ended, when it said.
    pub fn finish_reason(&self) -> Option<&str> {
        self.finish_reason.as_deref()
    }

    /// The text; a refusal where there is nothing else.
    pub fn said(&self) -> &str {
        if self.text.is_empty() { &self.refusal } else { &self.text }
    }

    /// What the answer took. `prices` are those of a million tokens read and written; a cost that the provider gives comes before
    /// one that is counted from them.
    pub fn usage(&self, model: &str, prices: Option<(f64, f64)>) -> Usage {
        let at = |names: &[&str]| names.iter().try_fold(&self.usage, |map, name| map.get(*name)?.as_object());
        let count = |object: &[&str], name: &str| at(object)?.get(name)?.as_u64();
        let (read, written) = (count(&[], "prompt_tokens"), count(&[], "completion_tokens"));
        let own = prices.and_then(|(input, output)| Some((read? as f64 * input + written? as f64 * output) / 1e6));
        Usage {
            input_tokens: read.unwrap_or(0),
            output_tokens: written.unwrap_or(0),
            cached_tokens: count(&["prompt_tokens_details"], "cached_tokens"),
            reasoning_tokens: count(&["completion_tokens_details"], "reasoning_tokens"),
            requests: None,
            cost: self.usage.get("cost").and_then(Value::as_f64).or(own),
            model: Some(self.model.as_deref().unwrap_or(model).to_owned()),
            finish_reason: self.finish_reason.clone(),
        }
    }
}

/// Adds a text, or the texts of a list of parts.
fn push(to: &mut String, content: Option<&Value>) {
    match content {
        Some(Value::String(text)) => to.push_str(text),
        Some(Value::Array(parts)) => parts.iter().for_each(|part| push(to, part.get("text"))),
        _ => {}
    }
}

/// What a provider says of an error: an object with a message, or a text.
pub fn message(error: &Value) -> String {
    let text = error.get("message").and_then(Value::as_str).or(error.as_str());
    text.map_or_else(|| error.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(chunks: &[&str]) -> Answer {
        let mut answer = Answer::new(1_000);
        chunks.iter().for_each(|chunk| answer.take_chunk(chunk).unwrap());
        answer
    }

    #[test]
    fn chunks_add_up() {
        let answer = streamed(&[
            r#"{"model":"m-1","choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"delta":{"content":"Hel"},"finish_reason":null}],"usage":null}"#,
            r#"{"choices":[{"delta":{"content":"lo"}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}}"#,
        ]);
        assert_eq!((answer.said(), answer.is_complete()), ("Hello", true));
        let expected = Usage {
            input_tokens: 4,
            output_tokens: 2,
            cached_tokens: Some(3),
            cost: Some(0.000_008),
            model: Some("m-1".to_owned()),
            finish_reason: Some("length".to_owned()),
            ..Usage::default()
        };
        assert_eq!(answer.usage("m", Some((1.0, 2.0))), expected);
    }

    #[test]
    fn a_provider_s_cost_comes_first_and_odd_usage_is_left_out() {
        let answer = streamed(&[r#"{"choices":[],"usage":{"prompt_tokens":"4","completion_tokens":-2,"cost":0.5}}"#]);
        let expected = Usage { cost: Some(0.5), model: Some("m".to_owned()), ..Usage::default() };
        assert_eq!(answer.usage("m", Some((1.0, 2.0))), expected);
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        let whole = |text: &str| Answer::new(4).take_whole(text.as_bytes()).unwrap_err();
        assert!(matches!(whole("<html>"), Unusable::Malformed(_)));
        assert!(matches!(whole("{}"), Unusable::Malformed(_)));
        assert_eq!(whole(r#"{"choices":[{"message":{"content":"12345"}}]}"#), Unusable::TooLong(4));
        let reported = whole(r#"{"error":{"code":503,"message":"busy"}}"#);
        assert_eq!(reported, Unusable::Reported(Some(503), "busy".to_owned()));
        assert_eq!(whole(r#"{"error":"no"}"#), Unusable::Reported(None, "no".to_owned()));
    }

    #[test]
    fn lists_of_parts_and_refusals_are_texts() {
        let mut answer = Answer::new(100);
        answer
            .take_whole(br#"{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"text":"b"}]}}]}"#)
            .unwrap();
        assert_eq!(answer.said(), "ab");
        let mut answer = Answer::new(100);
        answer.take_whole(br#"{"choices":[{"message":{"content":null,"refusal":"no"}}]}"#).unwrap();
        assert_eq!(answer.said(), "no");
    }
}
