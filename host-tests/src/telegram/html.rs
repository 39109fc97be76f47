//! The marks of `parse_mode=HTML`, read as strictly as Telegram reads them.

/// Names of tags, each with whether it may stand in another of its kind.
const TAGS: [&str; 17] = [
    "b",
    "strong",
    "i",
    "em",
    "u",
    "ins",
    "s",
    "strike",
    "del",
    "code",
    "pre",
    "a",
    "span",
    "tg-spoiler",
    "tg-emoji",
    "blockquote",
    "br",
];

/// What is left once the marks are read, or what is wrong with them, in Telegram's words.
pub(super) fn visible(html: &str) -> Result<String, String> {
    let (mut open, mut seen): (Vec<String>, String) = (Vec::new(), String::new());
    let mut rest = html;
    while let Some(letter) = rest.chars().next() {
        match letter {
            '<' => rest = tag(rest, html.len() - rest.len(), &mut open)?,
            '&' => {
                let (letter, length) = entity(rest);
                seen.push(letter);
                rest = &rest[length..];
            }
            _ => {
                seen.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    match open.last() {
        None => Ok(seen),
        Some(name) => Err(format!("can't parse entities: Can't find end tag corresponding to start tag {name}")),
    }
}

/// Reads a tag and gives what stands behind it.
fn tag<'h>(rest: &'h str, offset: usize, open: &mut Vec<String>) -> Result<&'h str, String> {
    let wrong = |what: String| Err(format!("can't parse entities: {what} at byte offset {offset}"));
    let Some(end) = rest.find('>') else { return wrong("Unclosed start tag".to_owned()) };
    let (inside, after) = (&rest[1..end], &rest[end + 1..]);
    if let Some(name) = inside.strip_prefix('/') {
        return match open.pop() {
            Some(expected) if expected == name.trim() => Ok(after),
            Some(expected) => wrong(format!("Unmatched end tag, expected \"</{expected}>\", found \"</{name}>\"")),
            None => wrong("Unexpected end tag".to_owned()),
        };
    }
    let name = inside.split([' ', '\n']).next().unwrap_or_default().to_lowercase();
    if !TAGS.contains(&name.as_str()) || name == "br" {
        return wrong(format!("Unsupported start tag \"{name}\""));
    }
    if name == "blockquote" && open.contains(&name) {
        return wrong("Blockquote entities can't be nested".to_owned());
    }
    if inside.matches('"').count() % 2 == 1 {
        return wrong("Unclosed attribute value".to_owned());
    }
    open.push(name);
    Ok(after)
}

/// A letter that is written by name or number, and how long that is. What is no entity is the sign itself.
fn entity(rest: &str) -> (char, usize) {
    let named = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"')];
    let found = named.into_iter().find(|(name, _)| rest.starts_with(name));
    found.map_or(('&', 1), |(name, letter)| (letter, name.len()))
}

/// How long a text is, in code units of UTF-16.
pub(super) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}
