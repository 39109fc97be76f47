//! A statement with its arguments, before a driver is chosen.

use std::borrow::Cow;

use super::value::Value;

/// A statement with its arguments.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) text: Cow<'static, str>,
    pub(super) arguments: Vec<Value>,
}

impl Query {
    /// A statement written out, with a `?` for each argument.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), arguments: Vec::new() }
    }

    /// The next argument.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.arguments.push(value.into());
        self
    }

    /// Further arguments, in order.
    #[must_use]
    pub fn bind_all(mut self, values: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        self.arguments.extend(values.into_iter().map(Into::into));
        self
    }

    /// `head (?,?),(?,?) tail`: one statement for many rows of `width` columns. The arguments are bound row by row.
    pub fn rows(head: &str, width: usize, count: usize, tail: &str) -> Self {
        let row = list(width);
        let mut text = String::with_capacity(head.len() + tail.len() + count * (row.len() + 1) + 2);
        text.push_str(head);
        text.push(' ');
        for index in 0..count {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&row);
        }
        text.push(' ');
        text.push_str(tail);
        Self { text: text.into(), arguments: Vec::with_capacity(width * count) }
    }

    /// `head (?,?,?) tail`, bound to `values`.
    pub fn within<V: Into<Value>>(head: &str, values: impl IntoIterator<Item = V>, tail: &str) -> Self {
        let arguments: Vec<Value> = values.into_iter().map(Into::into).collect();
        Self { text: format!("{head} {} {tail}", list(arguments.len())).into(), arguments }
    }

    /// The text with `$1`, `$2`, … in place of each `?`, as PostgreSQL writes it. No statement of ours has a `?` in a
    /// literal.
    pub(super) fn numbered(&self) -> String {
        let mut numbered = String::with_capacity(self.text.len() + self.arguments.len() * 2);
        let mut pieces = self.text.split('?');
        numbered.push_str(pieces.next().unwrap_or_default());
        for (index, piece) in pieces.enumerate() {
            numbered.push('$');
            numbered.push_str(&(index + 1).to_string());
            numbered.push_str(piece);
        }
        numbered
    }
}

/// What rows must fulfil, all of it. Wishes that were not made are left out.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    texts: Vec<&'static str>,
    values: Vec<Value>,
}

impl Conditions {
    /// Demands `text`, which has one `?`, where there is a value for it.
    #[must_use]
    pub fn and(mut self, text: &'static str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.texts.push(text);
            self.values.push(value.into());
        }
        self
    }

    /// `head WHERE … tail`, bound so far.
    pub fn query(self, head: &str, tail: &str) -> Query {
        let demanded = if self.texts.is_empty() { "1 = 1".to_owned() } else { self.texts.join(" AND ") };
        Query::new(format!("{head} WHERE {demanded} {tail}")).bind_all(self.values)
    }
}

/// Rows of a statement, where there are many and where there are few.
const MANY: usize = 512;
const FEW: usize = 64;

/// Rows in portions for one statement each: large ones, so that few statements are run, but of few sizes, because each size is a
/// text that a connection prepares and keeps.
pub fn portions<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = if rows.len() >= MANY { MANY } else { rows.len().min(FEW) };
        let (portion, rest) = rows.split_at(size);
        rows = rest;
        (size > 0).then_some(portion)
    })
}

fn list(width: usize) -> String {
    let mut list = String::with_capacity(width * 2 + 1);
    list.push('(');
    for index in 0..width {
        list.push_str(if index > 0 { ",?" } else { "?" });
    }
    list.push(')');
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_all_the_rows_in_their_order() {
        for (rows, sizes) in [(0, vec![]), (1, vec![1]), (130, vec![64, 64, 2]), (1_089, vec![512, 512, 64, 1])] {
            let rows: Vec<usize> = (0..rows).collect();
            assert_eq!(portions(&rows).map(<[usize]>::len).collect::<Vec<_>>(), sizes);
            assert_eq!(portions(&rows).flatten().copied().collect::<Vec<_>>(), rows);
        }
    }

    #[test]
    fn rows_repeat_the_group_and_postgres_numbers_it() {
        let query = Query::rows("INSERT INTO t (a, b) VALUES", 2, 2, "RETURNING a").bind(1).bind(2).bind(3).bind(4);
        assert_eq!(query.text, "INSERT INTO t (a, b) VALUES (?,?),(?,?) RETURNING a");
        assert_eq!(query.numbered(), "INSERT INTO t (a, b) VALUES ($1,$2),($3,$4) RETURNING a");
    }
}
