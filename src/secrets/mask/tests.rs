//! No known value survives, and nothing else changes.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use proptest::prelude::*;

use super::{forms::LONGEST, *};

fn known(values: &[&str]) -> Known {
    let known = Known::default();
    for value in values {
        known.add(value.as_bytes(), VALUES);
    }
    known
}

/// Values that occur in `[masked]` would come back with it.
fn values() -> impl Strategy<Value = Vec<String>> {
    let value = prop_oneof!["[abA0]{6,12}", "[a-z\"\\\\ é/+\n]{6,30}", "\\PC{6,20}"];
    proptest::collection::vec(value.prop_filter("is in what masks", |value| !MASKED.contains(value.trim())), 1..6)
}

fn text(values: &[String], parts: &[(usize, u8, String)]) -> String {
    let written = |(value, form, between): &(usize, u8, String)| {
        let value = &values[value % values.len()];
        let value = match form {
            0 => value.clone(),
            1 => serde_json::to_string(value).unwrap(),
            2 => BASE64_STANDARD.encode(value),
            3 => hex::encode(value),
            _ => BASE64_STANDARD.encode(format!("user:{value}!")),
        };
        format!("{value}{between}")
    };
    parts.iter().map(written).collect()
}

proptest! {
    #[test]
    fn no_known_value_survives(
        values in values(),
        parts in proptest::collection::vec((any::<usize>(), 0_u8..5, "[abA0 é]{0,8}"), 1..8),
    ) {
        let known = known(&values.iter().map(String::as_str).collect::<Vec<_>>());
        let text = text(&values, &parts);
        let masked = known.mask_text(&text);
        prop_assert!(masked.contains(MASKED));
        for value in &values {
            // A value that only comes about where another one was taken out was not in the text.
            let in_pieces = masked.split(MASKED).any(|piece| piece.contains(value.as_str()));
            prop_assert!(!in_pieces, "{value:?} is left in {masked:?}, which was {text:?}");
            prop_assert!(!masked.contains(&hex::encode(value)));
        }
        prop_assert_eq!(known.mask(text.as_bytes()).into_owned(), masked.into_owned().into_bytes());
    }

    #[test]
    fn other_texts_come_back_as_they_are(text in "[a-z0-9 \"é]{0,300}", values in proptest::collection::vec("[A-Z]{6}x", 0..9)) {
        let known = known(&values.iter().map(String::as_str).collect::<Vec<_>>());
        prop_assert!(matches!(known.mask_text(&text), Cow::Borrowed(same) if same == text));
        prop_assert!(matches!(known.mask(text.as_bytes()), Cow::Borrowed(_)));
    }
}

#[test]
fn values_are_masked_wherever_they_stand() {
    let known = known(&["hunter2-hunter2", "hunter2", "a\"b/c+d", " spaced-value\n", "short", "abcdef"]);
    let cases = [
        ("token=hunter2-hunter2!", "token=[masked]!"),
        ("token=hunter2-hunter3!", "token=[masked]-hunter3!"),
        ("hunter2hunter2", "[masked][masked]"),
        (r#"{"t":"a\"b/c+d"}"#, r#"{"t":"[masked]"}"#),
        ("https://h/?t=a%22b%2Fc%2Bd&u", "https://h/?t=[masked]&u"),
        ("<spaced-value>", "<[masked]>"),
        ("short", "short"),
        ("abcdeabcdefabcde", "abcde[masked]abcde"),
        ("é hunter2 é", "é [masked] é"),
    ];
    for (text, expected) in cases {
        assert_eq!(known.mask_text(text), expected, "{text}");
    }
    assert_eq!(known.mask_text(&BASE64_STANDARD.encode("hunter2")), MASKED);
    let header = format!("Basic {}", BASE64_STANDARD.encode("user:hunter2-hunter2"));
    assert!(!known.mask_text(&header).contains(&header[16..24]), "{}", known.mask_text(&header));
}

#[test]
fn lines_of_a_text_are_masked_one_by_one() {
    let key = "-----BEGIN KEY-----\nMIIEvQIBADAN\nkqhkiG9wAQ\nshort\n-----END KEY-----\n";
    let known = known(&[key, "MIIEvQIBADAN"]);
    assert_eq!(known.mask_text(&format!("<{key}>")), format!("<{MASKED}\n>"), "what stands together is one");
    let printed = "a -----BEGIN KEY-----\na MIIEvQIBADAN\na kqhkiG9wAQ\na short\n";
    assert_eq!(known.mask_text(printed), "a -----BEGIN KEY-----\na [masked]\na [masked]\na short\n");
    assert_eq!(known.mask_text(&BASE64_STANDARD.encode("kqhkiG9wAQ")), MASKED);
    assert_eq!(known.index.read().unwrap().len(), 2, "a line that is a secret of its own is one");
    let long = ["first-line-of-it", &"x".repeat(LONGEST), "last-line-of-it"].join("\n");
    for _ in 0..2 {
        known.add(long.as_bytes(), VALUES);
        assert_eq!(known.index.read().unwrap().len(), 3, "it is known once");
    }
    assert_eq!(known.mask_text("first-line-of-it, last-line-of-it"), "[masked], [masked]");
}

#[test]
fn values_that_overlap_are_masked_whole() {
    let known = known(&["first-key-0", "0-second-key"]);
    assert_eq!(known.mask_text("x first-key-0-second-key y"), "x [masked] y");
}

#[test]
fn bytes_that_are_no_text_are_masked_too() {
    let known = Known::default();
    known.add(&[0xa9, b'a', b'b', b'c', b'd', b'e'], VALUES);
    assert_eq!(known.mask(b"x\xff\xa9abcdey").as_ref(), b"x\xff[masked]y");
    assert_eq!(known.mask_text("\u{e9}abcde"), "\u{fffd}[masked]");
}

#[test]
fn lengths_are_bounded() {
    let known = Known::default();
    let (longest, longer) = ("x".repeat(4096), "y".repeat(4097));
    known.add(longest.as_bytes(), VALUES);
    known.add(longer.as_bytes(), VALUES);
    assert_eq!(known.mask_text(&longest), MASKED);
    assert_eq!(known.mask_text(&longer), longer);
}

#[test]
fn the_oldest_goes_when_there_are_too_many() {
    let known = Known::default();
    let value = |number: u32| format!("value-number-{number}");
    // The second is a form of the first: forgetting one must not forget the other.
    let second = hex::encode(value(1));
    assert!(!known.add(value(1).as_bytes(), 3));
    assert!(!known.add(second.as_bytes(), 3));
    assert!(!known.add(value(1).as_bytes(), 3));
    assert!(!known.add(value(3).as_bytes(), 3));
    assert!(known.add(value(4).as_bytes(), 3), "it is said once");
    let text = format!("{} {second} {}", value(1), value(3));
    assert_eq!(known.mask_text(&text), format!("{} {MASKED} {MASKED}", value(1)));
    assert!(!known.add(value(5).as_bytes(), 3));
    assert_eq!(known.mask_text(&text), format!("{} {second} {MASKED}", value(1)));
    for number in 6..9 {
        known.add(value(number).as_bytes(), 3);
    }
    let bytes = known.index.read().unwrap().bytes();
    for number in 9..99 {
        known.add(value(number).as_bytes(), 3);
    }
    assert!(known.index.read().unwrap().bytes() < bytes * 2, "what is forgotten is given back");
    assert_eq!(known.index.read().unwrap().len(), 3);
}

/// Far from exact, for machines are busy: a search that looks at every value takes a hundred times as long.
#[test]
fn many_values_cost_little() {
    let known = Known::default();
    for number in 0..5000 {
        known.add(format!("whsec_{:064x}", u128::from(number as u32) * 0x9e37_79b9_7f4a_7c15).as_bytes(), VALUES);
    }
    let line = "2026-01-01T00:00:00Z INFO kheish: delivered whsec_ to https://example.org/hooks/orders ".repeat(3);
    let fastest = (0..20)
        .map(|_| {
            let start = Instant::now();
            (0..10).for_each(|_| drop(std::hint::black_box(known.mask_text(&line))));
            start.elapsed() / 10
        })
        .min();
    println!("{} bytes: {fastest:?}", line.len());
    assert!(fastest < Some(Duration::from_micros(500)), "{fastest:?}");
}

#[test]
fn the_process_knows_one_set() {
    assert_eq!(mask("process-wide-value"), "process-wide-value");
    remember(&Secret::new("process-wide-value"));
    assert_eq!(mask("a process-wide-value here"), "a [masked] here");
    assert_eq!(mask_bytes(b"process-wide-value").as_ref(), MASKED.as_bytes());
}
