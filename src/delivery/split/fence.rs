//! The code fences of a Markdown text, line by line: which one is open where, and what closes and reopens it. Pure.

use super::Limit;

/// A line of the text. `inside` is the fence that is open before its end, `after` the one that is open from its end on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) start: usize,
    /// Where its line break begins.
    pub(super) end: usize,
    pub(super) inside: Option<usize>,
    pub(super) after: Option<usize>,
    /// A line that opens or closes a fence.
    pub(super) mark: Mark,
}

/// What a line is to a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Opens,
    Closes,
}

/// A code fence that is kept whole over cuts.
#[derive(Clone, Debug)]
pub(super) struct Fence {
    /// What a part begins with when it begins within the fence.
    pub(super) reopen: String,
    /// What a part ends with when it ends within the fence.
    pub(super) close: String,
}

/// The lines of a text, and its fences. A fence that would take more than half of each part is text like any other.
pub(super) fn read(text: &str, limit: Limit) -> (Vec<Line>, Vec<Fence>) {
    let (mut lines, mut fences) = (Vec::new(), Vec::new());
    // The open fence: its mark, how often, and its place in `fences` unless it is too long.
    let mut open: Option<(char, usize, Option<usize>)> = None;
    let mut start = 0;
    for whole in text.split_inclusive('\n') {
        let bare = whole.strip_suffix('\n').map_or(whole, |line| line.strip_suffix('\r').unwrap_or(line));
        let inside = open.and_then(|(_, _, fence)| fence);
        let was_open = open.is_some();
        open = match open {
            Some((mark, count, _)) if closes(bare, mark, count) => None,
            Some(same) => Some(same),
            None => opening(bare).map(|(mark, count)| (mark, count, keep(bare, mark, count, limit, &mut fences))),
        };
        let after = open.and_then(|(_, _, fence)| fence);
        let mark = match (was_open, open.is_some()) {
            (false, true) if after.is_some() => Mark::Opens,
            (true, false) if inside.is_some() => Mark::Closes,
            _ => Mark::None,
        };
        lines.push(Line { start, end: start + bare.len(), inside, after, mark });
        start += whole.len();
    }
    (lines, fences)
}

fn keep(line: &str, mark: char, count: usize, limit: Limit, fences: &mut Vec<Fence>) -> Option<usize> {
    let fence = Fence { reopen: format!("{line}\n"), close: format!("\n{}", mark.to_string().repeat(count)) };
    let cost = limit.unit.of(&fence.reopen) + limit.unit.of(&fence.close);
    (cost <= limit.size / 2).then(|| {
        fences.push(fence);
        fences.len() - 1
    })
}

/// The mark of a fence and how often it stands there, at the beginning of a line that opens one.
fn opening(line: &str) -> Option<(char, usize)> {
    let (mark, count, rest) = run(line)?;
    (mark == '~' || !rest.contains('`')).then_some((mark, count))
}

fn closes(line: &str, open: char, least: usize) -> bool {
    run(line).is_some_and(|(mark, count, rest)| mark == open && count >= least && rest.trim().is_empty())
}

fn run(line: &str) -> Option<(char, usize, &str)> {
    let bare = line.trim_start_matches(' ');
    let mark = bare.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let rest = bare.trim_start_matches(mark);
    let count = bare.len() - rest.len();
    (line.len() - bare.len() <= 3 && count >= 3).then_some((mark, count, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_are_those_of_commonmark() {
        for (line, expected) in [
            ("```", Some(('`', 3))),
            ("   ````rust ignore", Some(('`', 4))),
            ("~~~ a`b", Some(('~', 3))),
            ("    ```", None),
            ("``", None),
            ("``` a`b", None),
            ("a ```", None),
        ] {
            assert_eq!(opening(line), expected, "{line}");
        }
        assert!(closes(" ```` ", '`', 3) && closes("~~~", '~', 3));
        assert!(!closes("```", '`', 4) && !closes("``` x", '`', 3) && !closes("~~~", '`', 3));
    }
}
