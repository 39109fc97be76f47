//! Cuts a text into parts that a platform takes: at paragraph, line, word, then grapheme borders. Code fences that are open
//! at a cut are closed there and opened again in the next part. Pure.

use unicode_segmentation::UnicodeSegmentation as _;

mod fence;
#[cfg(test)]
mod tests;

use fence::{Fence, Line, Mark};

/// How long a part may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The most of `unit` in one part. Less than the longest character takes counts as that.
    pub size: usize,
    /// What is counted.
    pub unit: Unit,
}

/// What the length of a text is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of UTF-8.
    Bytes,
    /// Code units of UTF-16.
    Utf16,
    /// Unicode scalar values.
    Scalars,
}

impl Unit {
    /// The length of a text.
    pub fn of(self, text: &str) -> usize {
        match self {
            Self::Bytes => text.len(),
            Self::Utf16 => text.encode_utf16().count(),
            Self::Scalars => text.chars().count(),
        }
    }

    fn of_char(self, character: char) -> usize {
        match self {
            Self::Bytes => character.len_utf8(),
            Self::Utf16 => character.len_utf16(),
            Self::Scalars => 1,
        }
    }

    /// What any character fits into.
    fn least(self) -> usize {
        match self {
            Self::Bytes => 4,
            Self::Utf16 => 2,
            Self::Scalars => 1,
        }
    }
}

/// Cuts a text into parts of at most `limit`, in time linear in its length.
///
/// A text that fits is one part, unchanged. White space at a cut is dropped: line breaks and blank lines at the border of
/// lines, one space at the border of words, and a run that would make a blank part. No part is empty or blank, so that a
/// blank text has no parts: no platform takes one.
///
/// ```
/// use kheish::delivery::split::{Limit, Unit, split};
///
/// let limit = Limit { size: 12, unit: Unit::Scalars };
/// assert_eq!(split("One two.\n\nThree four.", limit), ["One two.", "Three four."]);
/// assert_eq!(split("Thirteen chars", limit), ["Thirteen", "chars"]);
/// ```
pub fn split(text: &str, limit: Limit) -> Vec<String> {
    let limit = Limit { size: limit.size.max(limit.unit.least()), ..limit };
    if text.trim().is_empty() {
        return Vec::new();
    }
    if limit.unit.of(text) <= limit.size {
        return vec![text.to_owned()];
    }
    pieces(text, limit).iter().map(|piece| piece.render(text)).collect()
}

/// Cuts off a beginning of at most `limit`, at the border where [`split`] would cut: the beginning, and the rest as a text of its
/// own, which is empty where all fits. A blank text has no beginning.
pub fn split_off(text: &str, limit: Limit) -> (String, String) {
    let limit = Limit { size: limit.size.max(limit.unit.least()), ..limit };
    if text.trim().is_empty() {
        return (String::new(), String::new());
    }
    if limit.unit.of(text) <= limit.size {
        return (text.to_owned(), String::new());
    }
    match pieces(text, limit).as_slice() {
        [first, second, ..] => (first.render(text), format!("{}{}", second.reopen, &text[second.start..])),
        [only] => (only.render(text), String::new()),
        [] => (String::new(), String::new()),
    }
}

/// A stretch of the text, and the fences around it.
#[derive(Clone, Debug)]
struct Piece {
    reopen: String,
    start: usize,
    end: usize,
    close: String,
}

impl Piece {
    fn render(&self, text: &str) -> String {
        format!("{}{}{}", self.reopen, &text[self.start..self.end], self.close)
    }
}

/// Where the text may be cut: what stands between `end` and `next` is white space.
#[derive(Clone, Copy, Debug)]
struct Border {
    end: usize,
    next: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Paragraph,
    Line,
    Word,
}

/// Where a part can end: the latest place of each kind. Paragraphs and lines count only behind a third of what has room, so
/// that parts are not many and small.
#[derive(Clone, Copy, Debug, Default)]
struct Cuts {
    paragraph: Option<Border>,
    line: Option<Border>,
    any: Option<Border>,
    grapheme: Option<usize>,
    scalar: Option<usize>,
}

struct Source<'a> {
    text: &'a str,
    limit: Limit,
    lines: Vec<Line>,
    fences: Vec<Fence>,
    borders: Vec<Border>,
    /// For each byte, whether a grapheme begins there.
    graphemes: Vec<bool>,
}

fn pieces(text: &str, limit: Limit) -> Vec<Piece> {
    let mut graphemes = vec![false; text.len() + 1];
    for (at, _) in text.grapheme_indices(true) {
        graphemes[at] = true;
    }
    graphemes[text.len()] = true;
    let (lines, fences) = fence::read(text, limit);
    let borders = borders(text, &lines, &graphemes);
    Source { text, limit, lines, fences, borders, graphemes }.cut()
}

/// All borders, in order. None is right behind the opening of a fence, right before its closing, or within these lines.
fn borders(text: &str, lines: &[Line], graphemes: &[bool]) -> Vec<Border> {
    let mut borders = Vec::new();
    let mut last: Option<(usize, &Line)> = None;
    for (number, line) in lines.iter().enumerate() {
        let whole = &text[line.start..line.end];
        let inner = whole.trim();
        if inner.is_empty() {
            continue;
        }
        if let Some((before, previous)) = last
            && previous.mark != Mark::Opens
            && line.mark != Mark::Closes
        {
            let kind = if number - before > 1 { Kind::Paragraph } else { Kind::Line };
            borders.push(Border { end: previous.end, next: line.start, kind });
        }
        last = Some((number, line));
        if line.mark == Mark::None {
            let from = line.start + (whole.len() - whole.trim_start().len());
            words(inner, from, graphemes, &mut borders);
        }
    }
    borders
}

fn words(inner: &str, from: usize, graphemes: &[bool], borders: &mut Vec<Border>) {
    for (at, space) in inner.char_indices().filter(|(_, character)| parts_words(*character)) {
        let (end, next) = (from + at, from + at + space.len_utf8());
        if graphemes[end] && graphemes[next] {
            borders.push(Border { end, next, kind: Kind::Word });
        }
    }
}

/// White space but for that which is there to keep words together.
fn parts_words(character: char) -> bool {
    character.is_whitespace() && !matches!(character, '\u{a0}' | '\u{2007}' | '\u{202f}')
}

impl Source<'_> {
    fn cut(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut start = 0;
        // The first line and the first border that are not behind `start`.
        let (mut line, mut border) = (0, 0);
        while let Some(blank) = self.text[start..].find(|character: char| !character.is_whitespace()) {
            while line + 1 < self.lines.len() && self.lines[line + 1].start <= start {
                line += 1;
            }
            while border < self.borders.len() && self.borders[border].end < start {
                border += 1;
            }
            let reopen = self.open_at(line, start).map_or("", |fence| &fence.reopen);
            let ink = start + blank;
            let (cut, next) = match self.choose(start, ink, (line, border), reopen) {
                Choice::Rest(end) => (end, self.text.len()),
                Choice::Cut { end, next } => (end, next),
                Choice::Skip(to) => {
                    start = to;
                    continue;
                }
            };
            let close = if next == self.text.len() { "" } else { self.close_at(line, cut) };
            pieces.push(Piece { reopen: reopen.to_owned(), start, end: cut, close: close.to_owned() });
            start = next;
        }
        pieces
    }

    /// The fence that is open at a place in this line or a later one.
    fn open_at(&self, mut line: usize, at: usize) -> Option<&Fence> {
        while line + 1 < self.lines.len() && self.lines[line + 1].start <= at {
            line += 1;
        }
        self.open_in(line, at)
    }

    fn open_in(&self, line: usize, at: usize) -> Option<&Fence> {
        let line = self.lines.get(line)?;
        let open = if at < line.end { line.inside } else { line.after };
        open.and_then(|fence| self.fences.get(fence))
    }

    fn close_at(&self, line: usize, at: usize) -> &str {
        self.open_at(line, at).map_or("", |fence| &fence.close)
    }

    /// Where the part that begins at `start` ends; its first character that is not blank stands at `ink`.
    fn choose(&self, start: usize, ink: usize, from: (usize, usize), reopen: &str) -> Choice {
        let budget = self.limit.size - self.limit.unit.of(reopen);
        let cuts = match self.scan(start, ink, from, budget) {
            Ok(end) => return Choice::Rest(end),
            Err(cuts) => cuts,
        };
        if let Some(Border { end, next, .. }) = cuts.paragraph.or(cuts.line).or(cuts.any) {
            return Choice::Cut { end, next };
        }
        let grapheme = (start..=ink).rev().find(|at| self.graphemes[*at]).unwrap_or(start);
        match (cuts.grapheme, cuts.scalar) {
            (Some(end), _) => Choice::Cut { end, next: end },
            // White space goes before a grapheme is torn for it.
            _ if grapheme > start => Choice::Skip(grapheme),
            (None, Some(end)) => Choice::Cut { end, next: end },
            (None, None) => Choice::Skip(ink),
        }
    }

    /// Goes as far as a part can reach. `Ok` is the end of the text when that was reached.
    fn scan(&self, start: usize, ink: usize, from: (usize, usize), budget: usize) -> Result<usize, Cuts> {
        let (mut line, mut border) = from;
        let (mut cuts, mut used) = (Cuts::default(), 0);
        let last = self.text.trim_end().len();
        for (offset, character) in self.text[start..].char_indices() {
            let at = start + offset;
            while line + 1 < self.lines.len() && self.lines[line + 1].start <= at {
                line += 1;
            }
            while border < self.borders.len() && self.borders[border].end < at {
                border += 1;
            }
            if at >= last {
                let whole = used + self.limit.unit.of(&self.text[at..]) <= budget;
                return Ok(if whole { self.text.len() } else { at });
            }
            let close = self.open_in(line, at).map_or(0, |fence| self.limit.unit.of(&fence.close));
            if at > ink && used + close <= budget {
                self.note(&mut cuts, (at, line), self.borders.get(border), 3 * used >= budget);
            }
            used += self.limit.unit.of_char(character);
            if used > budget {
                return Err(cuts);
            }
        }
        Ok(self.text.len())
    }

    fn note(&self, cuts: &mut Cuts, (at, line): (usize, usize), border: Option<&Border>, enough: bool) {
        cuts.scalar = Some(at);
        let Line { start, end, mark, .. } = self.lines[line];
        let within_mark = match mark {
            Mark::None => false,
            Mark::Opens => start < at && at <= end,
            Mark::Closes => start <= at && at < end,
        };
        if self.graphemes[at] && !within_mark {
            cuts.grapheme = Some(at);
        }
        let Some(border) = border.filter(|border| border.end == at) else { return };
        cuts.any = Some(*border);
        match border.kind {
            Kind::Paragraph if enough => cuts.paragraph = Some(*border),
            Kind::Line if enough => cuts.line = Some(*border),
            _ => {}
        }
    }
}

/// What is done with the part that is being cut.
enum Choice {
    /// It is the last and ends here.
    Rest(usize),
    /// It ends at `end`, and another begins at `next`.
    Cut { end: usize, next: usize },
    /// It is to begin later: what stands before that is blank.
    Skip(usize),
}
