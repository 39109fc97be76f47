//! Known values, found fast: by the first bytes of each form, then by length.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use super::forms::{self, Bytes, Parts, SHORTEST};

/// Bytes by which forms are found: no form is shorter.
const HEAD: usize = SHORTEST;

/// Values and their forms.
#[derive(Default)]
pub(super) struct Index {
    heads: HashMap<[u8; HEAD], Bucket>,
    /// The forms of each value and of its lines, the oldest first.
    values: VecDeque<Vec<Arc<Form>>>,
    bytes: usize,
}

struct Form {
    bytes: Bytes,
    /// Whether this is a value as it is.
    plain: bool,
}

/// Forms with one head. Many have one: tokens of one kind begin alike.
#[derive(Default)]
struct Bucket {
    /// In the order of their bytes. Of two values with one form in common both have it here.
    forms: Vec<Arc<Form>>,
    /// How many forms have which length.
    lengths: BTreeMap<usize, usize>,
}

impl Bucket {
    /// Where forms with these bytes begin.
    fn position(&self, bytes: &[u8]) -> usize {
        self.forms.partition_point(|form| form.bytes.as_slice() < bytes)
    }

    fn add(&mut self, form: &Arc<Form>) {
        self.forms.insert(self.position(&form.bytes), Arc::clone(form));
        *self.lengths.entry(form.bytes.len()).or_default() += 1;
    }

    fn remove(&mut self, form: &Arc<Form>) {
        let from = self.position(&form.bytes);
        let Some(at) = self.forms[from..].iter().position(|other| Arc::ptr_eq(other, form)) else { return };
        self.forms.remove(from + at);
        if let Some(count) = self.lengths.get_mut(&form.bytes.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&form.bytes.len());
            }
        }
    }

    fn with(&self, bytes: &[u8]) -> impl Iterator<Item = &Arc<Form>> {
        self.forms[self.position(bytes)..].iter().take_while(move |form| form.bytes.as_slice() == bytes)
    }

    /// The length of the longest form that `text` begins with.
    fn longest(&self, text: &[u8]) -> Option<usize> {
        let lengths = self.lengths.range(..=text.len()).rev();
        lengths.map(|(length, _)| *length).find(|length| self.with(&text[..*length]).next().is_some())
    }
}

impl Index {
    /// Whether this value is known, and not only as a form or a line of another one. Of one that is too long to be masked as a
    /// whole, whether all of its lines are.
    pub(super) fn knows(&self, parts: &Parts<'_>) -> bool {
        let known = |text: &[u8], plain: bool| {
            let bucket = text.first_chunk().and_then(|head| self.heads.get(head));
            bucket.is_some_and(|bucket| bucket.with(text).any(|form| form.plain || !plain))
        };
        match parts.whole {
            Some(value) => known(value, true),
            None => parts.lines.iter().all(|line| known(line, false)),
        }
    }

    /// Adds a value.
    pub(super) fn add(&mut self, parts: &Parts<'_>) {
        let mut forms = Vec::new();
        let (whole, lines) =
            (parts.whole.iter().map(|value| (*value, true)), parts.lines.iter().map(|line| (*line, false)));
        for (text, whole) in whole.chain(lines) {
            for (number, bytes) in forms::of(text).into_iter().enumerate() {
                let Some(head) = bytes.first_chunk().copied() else { continue };
                let form = Arc::new(Form { plain: whole && number == 0, bytes });
                self.bytes += form.bytes.len();
                self.heads.entry(head).or_default().add(&form);
                forms.push(form);
            }
        }
        self.values.push_back(forms);
    }

    /// Forgets the oldest value.
    pub(super) fn forget_oldest(&mut self) {
        for form in self.values.pop_front().unwrap_or_default() {
            let Some(head) = form.bytes.first_chunk() else { continue };
            self.bytes -= form.bytes.len();
            if let Some(bucket) = self.heads.get_mut(head) {
                bucket.remove(&form);
                if bucket.forms.is_empty() {
                    self.heads.remove(head);
                }
            }
        }
    }

    /// How many values are known.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// How many bytes their forms have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where known forms stand in `text`, in order; those that overlap as one.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for at in 0..text.len().saturating_sub(HEAD - 1) {
            let rest = &text[at..];
            let bucket = rest.first_chunk().and_then(|head| self.heads.get(head));
            let Some(length) = bucket.and_then(|bucket| bucket.longest(rest)) else { continue };
            match found.last_mut() {
                Some(last) if at < last.end => last.end = last.end.max(at + length),
                _ => found.push(at..at + length),
            }
        }
        found
    }
}
