//! From Markdown to the HTML that Telegram reads: a few marks and no blocks but quotes and code. Blocks become lines.
//!
//! CommonMark is read by `pulldown-cmark`, whose answer to every text is the specification's; only the writing is here.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// Schemes of links that Telegram opens.
const SCHEMES: [&str; 5] = ["http://", "https://", "tg://", "mailto:", "tel:"];

/// A text with marks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Html {
    /// The text.
    pub(crate) text: String,
    /// How long it is once the marks are read, in code units of UTF-16.
    pub(crate) units: usize,
}

/// Renders Markdown. HTML in it is shown as it is written.
pub(crate) fn render(markdown: &str) -> Html {
    let options = Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS;
    let mut writer = Writer::default();
    let mut events = Parser::new_ext(markdown, options).into_offset_iter();
    while let Some((event, range)) = events.next() {
        if let Event::Start(Tag::Table(_)) = event {
            // Columns stand below each other only in type of one width, and as they were written.
            writer.code(None, markdown[range].trim_end());
            events.by_ref().find(|(event, _)| matches!(event, Event::End(TagEnd::Table)));
            continue;
        }
        writer.event(event);
    }
    Html { text: writer.html, units: writer.units }
}

/// How many code units of UTF-16 a text has.
pub(crate) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

#[derive(Default)]
struct Writer {
    html: String,
    units: usize,
    /// Line ends that are due before whatever comes next.
    due: usize,
    quotes: usize,
    /// The numbers of the lists that it is in; none where they have none.
    lists: Vec<Option<u64>>,
    /// For each link that it is in: whether it was opened, where its text begins, and where it leads.
    links: Vec<(bool, usize, String)>,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text),
            Event::Code(code) => {
                self.mark("<code>");
                self.text(&code);
                self.html.push_str("</code>");
            }
            Event::SoftBreak | Event::HardBreak => self.text("\n"),
            Event::Rule => {
                self.line_ends(1);
                self.text("———");
                self.line_ends(1);
            }
            Event::TaskListMarker(done) => self.text(if done { "☑ " } else { "☐ " }),
            Event::FootnoteReference(_) | Event::InlineMath(_) | Event::DisplayMath(_) => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => self.mark(if level == HeadingLevel::H1 { "<b><u>" } else { "<b>" }),
            Tag::Strong => self.mark("<b>"),
            Tag::Emphasis => self.mark("<i>"),
            Tag::Strikethrough => self.mark("<s>"),
            Tag::BlockQuote(_) => {
                self.quotes += 1;
                // Telegram knows no quote in a quote.
                if self.quotes == 1 {
                    self.mark("<blockquote>");
                }
            }
            Tag::CodeBlock(kind) => {
                let language = match &kind {
                    CodeBlockKind::Fenced(info) => info.split([' ', ',']).next().filter(|word| is_language(word)),
                    CodeBlockKind::Indented => None,
                };
                self.open_code(language);
            }
            Tag::List(first) => {
                self.line_ends(1);
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.open_link(&dest_url),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph => self.line_ends(if self.lists.is_empty() { 2 } else { 1 }),
            TagEnd::Heading(level) => {
                self.html.push_str(if level == HeadingLevel::H1 { "</u></b>" } else { "</b>" });
                self.line_ends(2);
            }
            TagEnd::Strong => self.html.push_str("</b>"),
            TagEnd::Emphasis => self.html.push_str("</i>"),
            TagEnd::Strikethrough => self.html.push_str("</s>"),
            TagEnd::BlockQuote(_) => {
                self.quotes -= 1;
                if self.quotes == 0 {
                    self.html.push_str("</blockquote>");
                }
                self.due = 0;
                self.line_ends(1);
            }
            TagEnd::CodeBlock => self.close_code(),
            TagEnd::List(_) => {
                self.lists.pop();
                self.line_ends(if self.lists.is_empty() { 2 } else { 1 });
            }
            TagEnd::Item => self.line_ends(1),
            TagEnd::Link | TagEnd::Image => self.close_link(),
            TagEnd::HtmlBlock => self.line_ends(1),
            _ => {}
        }
    }

    /// Writes text, and before it the line ends that are due.
    fn text(&mut self, text: &str) {
        self.flush();
        for letter in text.chars() {
            self.units += letter.len_utf16();
            match letter {
                '&' => self.html.push_str("&amp;"),
                '<' => self.html.push_str("&lt;"),
                '>' => self.html.push_str("&gt;"),
                _ => self.html.push(letter),
            }
        }
    }

    /// Opens a mark, behind the line ends that are due.
    fn mark(&mut self, mark: &str) {
        self.flush();
        self.html.push_str(mark);
    }

    fn flush(&mut self) {
        if self.units > 0 {
            self.html.extend(std::iter::repeat_n('\n', self.due));
            self.units += self.due;
        }
        self.due = 0;
    }

    /// At least so many line ends come before the next text, if there is one.
    fn line_ends(&mut self, count: usize) {
        // What a text ended with counts.
        let there = self.html.len() - self.html.trim_end_matches('\n').len();
        self.due = self.due.max(count.saturating_sub(there));
    }

    fn item(&mut self) {
        self.line_ends(1);
        let indent = "  ".repeat(self.lists.len().saturating_sub(1));
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{indent}{}. ", *number - 1)
            }
            _ => format!("{indent}• "),
        };
        self.text(&mark);
    }

    fn code(&mut self, language: Option<&str>, code: &str) {
        self.open_code(language);
        self.text(code);
        self.close_code();
    }

    fn open_code(&mut self, language: Option<&str>) {
        self.line_ends(1);
        match language {
            Some(language) => self.mark(&format!("<pre><code class=\"language-{language}\">")),
            None => self.mark("<pre><code>"),
        }
    }

    fn close_code(&mut self) {
        if self.html.ends_with('\n') {
            self.html.pop();
            self.units -= 1;
        }
        self.html.push_str("</code></pre>");
        self.line_ends(1);
    }

    fn open_link(&mut self, target: &str) {
        // Telegram takes what is inside a link for its text, links too.
        let opened = self.links.is_empty() && SCHEMES.iter().any(|scheme| target.starts_with(scheme));
        if opened {
            let target = target.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
            self.mark(&format!("<a href=\"{target}\">"));
        }
        self.links.push((opened, self.units, target.to_owned()));
    }

    fn close_link(&mut self) {
        let Some((opened, begin, target)) = self.links.pop() else { return };
        if begin == self.units {
            self.text(&target);
        }
        if opened {
            self.html.push_str("</a>");
        }
    }
}

/// Whether a word names a language as Telegram writes it into an attribute.
fn is_language(word: &str) -> bool {
    (1..=32).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+#._-".contains(&byte))
}

#[cfg(test)]
mod tests;
