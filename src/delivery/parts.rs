//! Into which parts an output goes, for each of its targets. Pure but for the look at the connector's kind.

use serde_json::Value;

use super::{
    destinations::Destinations,
    split::{Limit, Unit, split, split_off},
    targets,
};
use crate::{
    connectors::manifest::{DeliverySpec, LengthUnit},
    model::target::ReplyTarget,
};

/// What one part carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its own text; none is the whole output's.
    pub text: Option<String>,
    /// The file that it is, as JSON.
    pub artifact: Option<String>,
}

/// How one target takes outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each in one part.
    Whole,
    /// Texts of at most so much, and each file by itself.
    Parts(Option<Limit>),
    /// The same, but the first file takes along the beginning of the text, as a caption of at most so much.
    Captioned(Option<Limit>, Limit),
}

impl Shape {
    /// The shape for a target. A connector that is not there gets outputs whole: it is a dead letter when it is sent.
    pub fn of(target: &ReplyTarget, destinations: &dyn Destinations) -> Self {
        let connector = targets::refers_to(target).and_then(|id| destinations.find(&id));
        connector.map_or(Self::Whole, |(plugin, _)| Self::declared(&plugin.manifest().delivery))
    }

    fn declared(spec: &DeliverySpec) -> Self {
        if spec.whole {
            return Self::Whole;
        }
        let unit = match spec.unit {
            LengthUnit::Bytes => Unit::Bytes,
            LengthUnit::Utf16 => Unit::Utf16,
            LengthUnit::Scalars => Unit::Scalars,
        };
        let texts = spec.limit.map(|size| Limit { size, unit });
        match spec.caption {
            Some(size) => Self::Captioned(texts, Limit { size, unit }),
            None => Self::Parts(texts),
        }
    }

    /// The parts of an output, at least one, with `artifacts` as a JSON array.
    pub fn cut(self, text: &str, artifacts: &str) -> Vec<Part> {
        let (limit, caption) = match self {
            Self::Whole => return vec![Part::default()],
            Self::Parts(limit) => (limit, None),
            Self::Captioned(limit, caption) => (limit, Some(caption)),
        };
        let mut files: Vec<Value> = serde_json::from_str(artifacts).unwrap_or_default();
        if let Some(caption) = caption.filter(|_| !files.is_empty() && !text.trim().is_empty()) {
            let (first, rest) = split_off(text, caption);
            let first = Part { text: Some(first), artifact: Some(files.remove(0).to_string()) };
            return [first].into_iter().chain(Self::apart(limit, &rest, files)).collect();
        }
        let parts = Self::apart(limit, text, files);
        match parts.as_slice() {
            // The whole output is one text.
            [] | [Part { artifact: None, .. }] => vec![Part::default()],
            _ => parts,
        }
    }

    /// Texts, and files by themselves.
    fn apart(limit: Option<Limit>, text: &str, files: Vec<Value>) -> Vec<Part> {
        let mut texts = limit.map(|limit| split(text, limit)).filter(|texts| texts.len() > 1).unwrap_or_default();
        if texts.is_empty() && !text.is_empty() {
            texts.push(text.to_owned());
        }
        let texts = texts.into_iter().map(|text| Part { text: Some(text), artifact: None });
        // The empty text stands for "not the whole output's".
        let files = files.into_iter().map(|file| Part { text: Some(String::new()), artifact: Some(file.to_string()) });
        texts.chain(files).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short() -> Shape {
        Shape::Parts(Some(Limit { size: 5, unit: Unit::Scalars }))
    }

    fn texts(parts: &[Part]) -> Vec<Option<&str>> {
        parts.iter().map(|part| part.text.as_deref()).collect()
    }

    #[test]
    fn what_fits_is_one_part_that_names_no_text() {
        for (shape, text) in
            [(short(), "hello"), (short(), ""), (Shape::Whole, "longer than that"), (Shape::Parts(None), "any")]
        {
            assert_eq!(shape.cut(text, "[]"), [Part::default()], "{text}");
        }
    }

    #[test]
    fn long_texts_and_files_become_parts_in_order() {
        let file = r#"{"asset_id":"a"}"#;
        let files = format!("[{file}]");
        let parts = short().cut("hello world", &files);
        assert_eq!(texts(&parts), [Some("hello"), Some("world"), Some("")]);
        assert_eq!(parts[2].artifact.as_deref(), Some(file));
        assert_eq!(texts(&short().cut("", &files)), [Some("")], "a file alone is one part");
        assert_eq!(Shape::Whole.cut("hello world", &files), [Part::default()], "the whole takes its files along");
    }

    #[test]
    fn the_first_file_takes_the_beginning_of_the_text_along() {
        let limit = |size| Limit { size, unit: Unit::Scalars };
        let shape = Shape::Captioned(Some(limit(8)), limit(5));
        let files = r#"[{"asset_id":"a"},{"asset_id":"b"}]"#;
        let parts = shape.cut("hello my world", files);
        assert_eq!(texts(&parts), [Some("hello"), Some("my world"), Some("")]);
        let named: Vec<_> = parts.iter().map(|part| part.artifact.as_deref()).collect();
        assert_eq!(named, [Some(r#"{"asset_id":"a"}"#), None, Some(r#"{"asset_id":"b"}"#)]);
        assert_eq!(texts(&shape.cut("hi", files)), [Some("hi"), Some("")]);
        assert_eq!(texts(&shape.cut("", files)), [Some(""), Some("")]);
        assert_eq!(shape.cut("hello my", "[]"), [Part::default()], "without a file it is a text like any other");
    }
}
