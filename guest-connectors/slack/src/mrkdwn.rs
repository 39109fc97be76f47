//! Slack's own markup, made of what agents write.
//!
//! Everything is escaped first of all: no answer can ping a channel, name a user or show one address and lead to another. The
//! only angle brackets that come out are those of links made here.

use crate::settings::TextFormat;

/// The text as Slack takes it.
pub(crate) fn render(text: &str, format: TextFormat) -> String {
    match format {
        TextFormat::Plain => escape(text),
        TextFormat::Markdown => markdown(text),
    }
}

/// The three characters that mean something wherever they stand.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|one| push(&mut out, one));
    out
}

fn push(out: &mut String, one: char) {
    match one {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        other => out.push(other),
    }
}

fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut fence: Option<&str> = None;
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let mark = fence_mark(line);
        match (fence, mark) {
            (Some(open), Some(mark)) if mark.starts_with(open) && line.trim() == mark => {
                fence = None;
                out.push_str("```");
            }
            (Some(_), _) => out.push_str(&escape(line)),
            (None, Some(mark)) => {
                // What stands behind the mark names a language, which Slack would show as code.
                fence = Some(mark);
                out.push_str("```");
            }
            (None, None) => block(&mut out, line),
        }
    }
    out
}

/// The run of ticks or tildes that opens or closes a code block.
fn fence_mark(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let first = line.chars().next().filter(|first| ['`', '~'].contains(first))?;
    let run = line.len() - line.trim_start_matches(first).len();
    // Ticks behind ticks are a span of code in one line.
    (run >= 3 && !(first == '`' && line[run..].contains('`'))).then(|| &line[..run])
}

/// A line outside of code.
fn block(out: &mut String, line: &str) {
    let body = line.trim_start();
    let indent = &line[..line.len() - body.len()];
    let hashes = body.len() - body.trim_start_matches('#').len();
    if (1..=6).contains(&hashes) && body[hashes..].starts_with(' ') {
        let title = body[hashes..].trim().trim_end_matches('#').trim_end().replace("**", "");
        if !title.is_empty() {
            out.push('*');
            inline(out, &title);
            out.push('*');
            return;
        }
    }
    out.push_str(indent);
    match body.strip_prefix(['-', '*', '+']).and_then(|rest| rest.strip_prefix(' ')) {
        Some(item) if !item.trim().is_empty() => {
            out.push_str("• ");
            inline(out, item);
        }
        _ => inline(out, body),
    }
}

/// Text within a line: code, links, and marks in pairs.
fn inline(out: &mut String, text: &str) {
    let mut rest = text;
    let mut before = ' ';
    while let Some(one) = rest.chars().next() {
        let taken = match one {
            '`' => code(out, rest),
            '[' => link(out, rest),
            '!' if rest.starts_with("![") => link(out, &rest[1..]).map(|taken| taken + 1),
            '<' => address(out, rest),
            '*' | '~' | '_' => pair(out, rest, before),
            _ => None,
        };
        let taken = taken.unwrap_or_else(|| {
            push(out, one);
            one.len_utf8()
        });
        before = rest[..taken].chars().next_back().unwrap_or(' ');
        rest = &rest[taken..];
    }
}

/// A span of code: nothing in it means anything. Gives the bytes that it takes.
fn code(out: &mut String, text: &str) -> Option<usize> {
    let run = text.len() - text.trim_start_matches('`').len();
    let ticks = &text[..run];
    let mut from = run;
    loop {
        let at = from + text[from..].find(ticks)?;
        let end = at + text[at..].len() - text[at..].trim_start_matches('`').len();
        if end - at == run {
            let inner = text[run..at].replace('`', "'");
            out.push('`');
            out.push_str(&escape(if run > 1 { inner.trim() } else { &inner }));
            out.push('`');
            return Some(end);
        }
        from = end;
    }
}

/// `[label](address)`.
fn link(out: &mut String, text: &str) -> Option<usize> {
    let close = text.find("](")?;
    let label = &text[1..close];
    let end = close + 2 + text[close + 2..].find(')')?;
    let target = text[close + 2..end].split(' ').next().unwrap_or_default();
    if label.contains(['[', ']', '\n']) || !is_address(target) {
        return None;
    }
    push_link(out, target, Some(label).filter(|label| !label.trim().is_empty()));
    Some(end + 1)
}

/// `<address>`.
fn address(out: &mut String, text: &str) -> Option<usize> {
    let end = text.find('>')?;
    is_address(&text[1..end]).then(|| {
        push_link(out, &text[1..end], None);
        end + 1
    })
}

fn is_address(text: &str) -> bool {
    let known =
        ["https://", "http://", "mailto:"].iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme));
    known && !text.contains(|one: char| one.is_whitespace() || one.is_control() || "<>|\"".contains(one))
}

fn push_link(out: &mut String, target: &str, label: Option<&str>) {
    out.push('<');
    out.push_str(&escape(target));
    if let Some(label) = label {
        out.push('|');
        // A label that looks like an address would say that it leads there.
        let label = if label.contains("://") && label != target { target } else { label };
        out.push_str(&escape(&label.replace('|', "/").replace("**", "")));
    }
    out.push('>');
}

/// `**bold**`, `__bold__`, `~~strike~~` and `*italic*`. Others are left as they are; `_italic_` is Slack's own.
fn pair(out: &mut String, text: &str, before: char) -> Option<usize> {
    const MARKS: [(&str, &str, &str); 5] =
        [("***", "*_", "_*"), ("**", "*", "*"), ("__", "*", "*"), ("~~", "~", "~"), ("*", "_", "_")];
    if before.is_alphanumeric() {
        return None;
    }
    let (mark, open, close) = *MARKS.iter().find(|(mark, ..)| text.starts_with(mark))?;
    let inner = &text[mark.len()..];
    let end = inner.find(mark)?;
    let (said, after) = (&inner[..end], &inner[end + mark.len()..]);
    let tight = !said.is_empty() && said.trim() == said;
    let ends = after.chars().next().is_none_or(|next| !next.is_alphanumeric() && !mark.starts_with(next));
    if !tight || !ends || said.starts_with(&mark[..1]) {
        return None;
    }
    out.push_str(open);
    inline(out, said);
    out.push_str(close);
    Some(mark.len() + end + mark.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        render(text, TextFormat::Markdown)
    }

    #[test]
    fn what_agents_write_becomes_slacks_own_marks() {
        for (text, expected) in [
            ("plain text", "plain text"),
            ("**bold** and *italic* and ~~gone~~", "*bold* and _italic_ and ~gone~"),
            ("***both***, __strong__, _soft_", "*_both_*, *strong*, _soft_"),
            ("**a *b* c**", "*a _b_ c*"),
            ("# Title\n## **Sub** ##", "*Title*\n*Sub*"),
            ("- one\n  * two\n+ three", "• one\n  • two\n• three"),
            ("see [the docs](https://a.example/x?y=1&z=2)", "see <https://a.example/x?y=1&amp;z=2|the docs>"),
            ("![cat](https://a.example/c.png)", "<https://a.example/c.png|cat>"),
            ("<https://a.example/>", "<https://a.example/>"),
            ("`a < b` and ``x ` y``", "`a &lt; b` and `x ' y`"),
            ("```rust\nlet a = &b; // **no**\n```\nafter", "```\nlet a = &amp;b; // **no**\n```\nafter"),
            ("~~~\ncode\n~~~", "```\ncode\n```"),
            ("> quoted", "&gt; quoted"),
            ("# ", "# "),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_mark_stays() {
        for text in [
            "2 * 3 * 4",
            "snake_case_name",
            "a**b**c",
            "**open",
            "* ",
            "[label](ftp://x)",
            "[a](javascript:b)",
            "5 ~ 6",
            "***",
        ] {
            assert_eq!(shown(text), escape(text), "{text}");
        }
    }

    #[test]
    fn nothing_pings_and_no_link_lies() {
        assert_eq!(shown("<!channel> <@U123> <#C1>"), "&lt;!channel&gt; &lt;@U123&gt; &lt;#C1&gt;");
        assert_eq!(shown("[x](https://a.example|<!here>)"), "[x](https://a.example|&lt;!here&gt;)");
        assert_eq!(
            shown("[https://bank.example](https://evil.example)"),
            "<https://evil.example|https://evil.example>"
        );
        assert_eq!(render("**a** <!here>", TextFormat::Plain), "**a** &lt;!here&gt;");
    }

    proptest! {
        #[test]
        fn every_bracket_that_comes_out_is_a_link(text in "([a-z ]|[*_~`<>!@#|&()\\[\\]\\-]|\\n|https://|```){0,60}") {
            let rendered = shown(&text);
            let mut rest = rendered.as_str();
            while let Some(at) = rest.find('<') {
                let end = rest[at..].find('>');
                prop_assert!(end.is_some(), "{rendered}");
                let inner = &rest[at + 1..at + end.unwrap()];
                prop_assert!(inner.starts_with("https://") && !inner.contains('<') && inner.matches('|').count() < 2, "{rendered}");
                rest = &rest[at + end.unwrap() + 1..];
            }
            prop_assert!(!rest.contains('>'), "{rendered}");
        }

        #[test]
        fn any_text_can_be_rendered_and_words_survive(text in ".{0,200}", word in "[a-z]{3,8}") {
            let rendered = shown(&format!("{text} {word}"));
            prop_assert!(rendered.contains(&word));
        }
    }
}
