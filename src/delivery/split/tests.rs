//! What holds for any text and any limit, and what people expect of some.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn scalars(size: usize) -> Limit {
    Limit { size, unit: Unit::Scalars }
}

/// The fence that is open before `at`, found anew: its opening line, and what closes it.
fn open_before(text: &str, at: usize) -> Option<(String, String)> {
    let mut open: Option<(String, char, usize)> = None;
    for line in text[..at].split_inclusive('\n') {
        // A line that goes on behind `at` has not opened or closed anything yet.
        let whole = line.ends_with('\n') || text[at..].starts_with('\n') || text[at..].starts_with("\r\n");
        let bare = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
        let marks = bare.trim_start_matches(' ');
        let Some(mark) = marks.chars().next().filter(|mark| "`~".contains(*mark)) else { continue };
        let count = marks.chars().take_while(|other| *other == mark).count();
        if !whole || count < 3 || bare.len() - marks.len() > 3 {
            continue;
        }
        let info = &marks[count..];
        match &open {
            None if mark == '~' || !info.contains('`') => open = Some((bare.to_owned(), mark, count)),
            Some((_, same, least)) if mark == *same && count >= *least && info.trim().is_empty() => open = None,
            _ => {}
        }
    }
    open.map(|(line, mark, count)| (format!("{line}\n"), format!("\n{}", mark.to_string().repeat(count))))
}

/// The fence that is carried over a cut at `at`: none that would fill half of a part.
fn carried(text: &str, at: usize, limit: Limit) -> (String, String) {
    open_before(text, at)
        .filter(|(reopen, close)| limit.unit.of(reopen) + limit.unit.of(close) <= limit.size / 2)
        .unwrap_or_default()
}

/// Everything that is promised of the parts of one text.
fn holds(text: &str, limit: Limit) -> Result<(), TestCaseError> {
    let parts = split(text, limit);
    if text.trim().is_empty() {
        prop_assert_eq!(parts.len(), 0);
        return Ok(());
    }
    for part in &parts {
        prop_assert!(limit.unit.of(part) <= limit.size, "{part:?} is longer than {limit:?}");
        prop_assert!(!part.trim().is_empty(), "a blank part");
    }
    if limit.unit.of(text) <= limit.size {
        prop_assert_eq!(parts, [text]);
        return Ok(());
    }
    let pieces = pieces(text, limit);
    prop_assert_eq!(pieces.len(), parts.len());
    let mut reached = 0;
    for (number, (piece, part)) in pieces.iter().zip(&parts).enumerate() {
        prop_assert!(text[reached..piece.start].trim().is_empty(), "{:?} was lost", &text[reached..piece.start]);
        let last = number + 1 == pieces.len();
        let (reopen, _) = carried(text, piece.start, limit);
        let (_, close) = if last { Default::default() } else { carried(text, piece.end, limit) };
        prop_assert_eq!(part, &format!("{reopen}{}{close}", &text[piece.start..piece.end]));
        reached = piece.end;
    }
    prop_assert!(text[reached..].trim().is_empty(), "the end was lost");
    whole_graphemes(text, &pieces, limit)
}

/// A cut within a grapheme is one that no part has room for.
fn whole_graphemes(text: &str, pieces: &[Piece], limit: Limit) -> Result<(), TestCaseError> {
    for (at, grapheme) in text.grapheme_indices(true) {
        let torn = |place: usize| at < place && place < at + grapheme.len();
        if pieces.iter().any(|piece| torn(piece.start) || torn(piece.end)) {
            let (reopen, close) = carried(text, at, limit);
            let around = limit.unit.of(&reopen) + limit.unit.of(&close);
            let blank = grapheme.trim().is_empty();
            prop_assert!(blank || around + limit.unit.of(grapheme) > limit.size, "{grapheme:?} was torn");
        }
    }
    Ok(())
}

fn limit() -> impl Strategy<Value = Limit> {
    let unit = prop_oneof![Just(Unit::Bytes), Just(Unit::Utf16), Just(Unit::Scalars)];
    (unit, prop_oneof![1usize..12, 12usize..80]).prop_map(|(unit, size)| Limit { size: size.max(unit.least()), unit })
}

fn markdown() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("\n".to_owned()),
        Just("\n\n".to_owned()),
        Just("\r\n".to_owned()),
        Just(" ".to_owned()),
        Just("    ".to_owned()),
        Just("```\n".to_owned()),
        Just("\n```rust\n".to_owned()),
        Just("\n~~~~ text\n".to_owned()),
        Just("\n  ~~~~\n".to_owned()),
        Just("```".to_owned()),
        Just("\u{a0}\u{2003}".to_owned()),
        Just("👩‍👩‍👧‍👦🇪🇺🇫🇷".to_owned()),
        Just("e\u{301}\u{302}".to_owned()),
        Just(" \u{301}".to_owned()),
        "[a-z]{1,12}",
        "\\PC{0,4}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat())
}

#[test]
fn a_fence_that_a_beginning_closes_is_opened_again_in_the_rest() {
    let (first, rest) = split_off("```sh\none two three\n```\nfour", scalars(20));
    assert_eq!((first.as_str(), rest.as_str()), ("```sh\none two\n```", "```sh\nthree\n```\nfour"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_beginning_is_the_first_part_and_the_rest_is_the_others(text in "[a-z \n]{0,200}", size in 1usize..40) {
        let (first, rest) = split_off(&text, scalars(size));
        let parts = split(&text, scalars(size));
        prop_assert_eq!(parts.first().map(String::as_str).unwrap_or_default(), first);
        prop_assert_eq!(split(&rest, scalars(size)), parts.get(1..).unwrap_or_default());
    }

    #[test]
    fn nothing_is_lost_of_any_text(text in any::<String>(), limit in limit()) {
        holds(&text, limit)?;
    }

    #[test]
    fn nothing_is_lost_of_markdown(text in markdown(), limit in limit()) {
        holds(&text, limit)?;
    }
}

#[test]
fn the_best_border_is_taken() {
    let cases: [(&str, usize, &[&str]); 9] = [
        ("One two.\n\nThree four.\nFive.", 18, &["One two.", "Three four.\nFive."]),
        ("One two.\r\n \r\nThree.", 12, &["One two.", "Three."]),
        ("One.\nTwo three four.", 16, &["One.\nTwo three", "four."]),
        ("  indented\n  again", 12, &["  indented", "  again"]),
        ("abcdefghij", 4, &["abcd", "efgh", "ij"]),
        ("a bcdefgh", 8, &["a", "bcdefgh"]),
        ("kept\u{a0}together now", 14, &["kept\u{a0}together", "now"]),
        ("two  spaces", 6, &["two ", "spaces"]),
        ("👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 8, &["👩‍👩‍👧‍👦", "👩‍👩‍👧‍👦"]),
    ];
    for (text, size, parts) in cases {
        assert_eq!(split(text, scalars(size)), parts, "{text:?}");
    }
}

#[test]
fn a_limit_counts_its_unit() {
    for (unit, parts) in [(Unit::Bytes, 8), (Unit::Utf16, 4), (Unit::Scalars, 2)] {
        assert_eq!(split(&"😀".repeat(16), Limit { size: 8, unit }).len(), parts, "{unit:?}");
    }
    assert_eq!(split("😀😀", Limit { size: 0, unit: Unit::Bytes }), ["😀", "😀"]);
}

#[test]
fn blank_text_has_no_parts_and_blank_stretches_make_none() {
    assert!(split("", scalars(4)).is_empty());
    assert!(split(" \n\t\n", scalars(4)).is_empty());
    assert_eq!(split(&format!("a{}b{}", "\n".repeat(50), " ".repeat(50)), scalars(4)), ["a", "b"]);
}

#[test]
fn an_open_fence_is_closed_and_opened_again() {
    let text = "Look:\n\n  ```rust,ignore\nlet one = 1;\nlet two = 2;\nlet three = 3;\n  ```\nDone.";
    let parts = split(text, scalars(48));
    assert_eq!(
        parts,
        [
            "Look:\n\n  ```rust,ignore\nlet one = 1;\n```",
            "  ```rust,ignore\nlet two = 2;\n```",
            "  ```rust,ignore\nlet three = 3;\n  ```\nDone."
        ]
    );
}

#[test]
fn a_longer_fence_holds_shorter_ones() {
    let text = format!("~~~~\n```\n{}```\n~~~\n~~~~\nafter", "line of code\n".repeat(8));
    let parts = split(&text, scalars(60));
    assert!(parts.len() > 2);
    for part in &parts[..parts.len() - 1] {
        assert!(part.starts_with("~~~~\n") && part.ends_with("\n~~~~"), "{part}");
    }
    assert!(parts[parts.len() - 1].ends_with("~~~\n~~~~\nafter"));
}

#[test]
fn a_megabyte_is_cut_at_once() {
    let cases = ["word ", "\n", "x", "```\n", "🇪🇺", "e\u{301}", "\u{301}", "a\n\n```rust\ncode\n```\n", " \u{301}"];
    for unit in cases {
        for size in [1, 40, 2_000] {
            let text = format!("a{}", unit.repeat(1024 * 1024 / unit.len()));
            let started = Instant::now();
            split(&text, scalars(size));
            let took = started.elapsed();
            assert!(took < Duration::from_secs(60), "{unit:?} at {size} took {took:?}");
        }
    }
}
