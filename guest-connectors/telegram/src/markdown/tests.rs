//! What Markdown looks like in Telegram.

use proptest::prelude::*;

use super::*;

fn html(markdown: &str) -> String {
    render(markdown).text
}

#[test]
fn marks_become_tags() {
    for (markdown, expected) in [
        ("plain", "plain"),
        ("**bold** *italic* ~~gone~~ `code`", "<b>bold</b> <i>italic</i> <s>gone</s> <code>code</code>"),
        ("***both***", "<i><b>both</b></i>"),
        ("[docs](https://x.example/?a=1&b=\"2\")", "<a href=\"https://x.example/?a=1&amp;b=&quot;2&quot;\">docs</a>"),
        ("<https://x.example>", "<a href=\"https://x.example\">https://x.example</a>"),
        ("[here](/relative) [run](javascript:x)", "here run"),
        ("![a cat](https://x.example/cat.png)", "<a href=\"https://x.example/cat.png\">a cat</a>"),
        ("![](https://x.example/cat.png)", "<a href=\"https://x.example/cat.png\">https://x.example/cat.png</a>"),
        ("# Title\n## Part\ntext", "<b><u>Title</u></b>\n\n<b>Part</b>\n\ntext"),
        ("one\ntwo\n\nthree  \nfour", "one\ntwo\n\nthree\nfour"),
        ("a\n\n---\n\nb", "a\n\n———\nb"),
    ] {
        assert_eq!(html(markdown), expected, "{markdown}");
    }
}

#[test]
fn blocks_become_lines() {
    for (markdown, expected) in [
        ("- a\n- b\n  - c\n\nend", "• a\n• b\n  • c\n\nend"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("- [x] done\n- [ ] open", "• ☑ done\n• ☐ open"),
        ("> quoted\n> > deeper\n\nafter", "<blockquote>quoted\n\ndeeper</blockquote>\nafter"),
        (
            "```rust\nlet a = 1 < 2;\n```\nafter",
            "<pre><code class=\"language-rust\">let a = 1 &lt; 2;</code></pre>\nafter",
        ),
        ("```\"><b>\nx\n```", "<pre><code>x</code></pre>"),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n\nend", "<pre><code>| a | b |\n|---|---|\n| 1 | 2 |</code></pre>\nend"),
    ] {
        assert_eq!(html(markdown), expected, "{markdown}");
    }
}

#[test]
fn nothing_of_the_text_is_taken_for_a_tag() {
    assert_eq!(html("a < b && c > d"), "a &lt; b &amp;&amp; c &gt; d");
    assert_eq!(html("<b>x</b> <script>"), "&lt;b&gt;x&lt;/b&gt; &lt;script&gt;");
    assert_eq!(html("1 &lt; 2 &amp;amp;"), "1 &lt; 2 &amp;amp;");
}

#[test]
fn the_length_is_counted_without_marks_in_utf_16() {
    assert_eq!(render("**a&b** 😀").units, 6);
    assert_eq!(units("a😀é"), 4);
}

/// What a reader of the HTML sees, or what is wrong with the HTML: the rules are those of Telegram's own parser.
fn seen(html: &str) -> Result<String, String> {
    let (mut open, mut seen, mut rest) = (Vec::new(), String::new(), html);
    while let Some(first) = rest.chars().next() {
        if first == '<' {
            let end = rest.find('>').ok_or("a tag has no end")?;
            let (tag, after) = (&rest[1..end], &rest[end + 1..]);
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                (open.pop() == Some(name.to_owned())).then_some(()).ok_or(format!("</{name}> closes nothing"))?;
                continue;
            }
            let name = tag.split(' ').next().unwrap_or_default();
            if !["b", "i", "u", "s", "code", "pre", "a", "blockquote"].contains(&name) {
                return Err(format!("there is no <{name}>"));
            }
            if name == "blockquote" && open.iter().any(|outer| outer == name) {
                return Err("a quote in a quote".to_owned());
            }
            open.push(name.to_owned());
        } else if first == '&' {
            let (entity, letter) = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>')]
                .into_iter()
                .find(|(entity, _)| rest.starts_with(entity))
                .ok_or("a bare &")?;
            seen.push(letter);
            rest = &rest[entity.len()..];
        } else {
            seen.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    if open.is_empty() { Ok(seen) } else { Err(format!("{open:?} stay open")) }
}

proptest! {
    #[test]
    fn any_text_becomes_html_that_telegram_reads(
        markdown in "([*_~`>#\\[\\]()!<&|\\-+ \n0-9.a-z\"😀]|https://x\\.example/|\\*\\*|```|\n\n|> |- |1\\. |\\| a \\|\n\\|---\\|\n){0,60}",
    ) {
        let rendered = render(&markdown);
        let seen = seen(&rendered.text).map_err(|wrong| TestCaseError::fail(format!("{wrong}: {:?}", rendered.text)))?;
        prop_assert_eq!(units(&seen), rendered.units);
    }

    #[test]
    fn words_survive(words in prop::collection::vec("[a-z]{1,8}", 1..12)) {
        let text = words.join(" ");
        prop_assert_eq!(html(&text), text);
    }
}
