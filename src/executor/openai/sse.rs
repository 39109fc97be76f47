//! Events of an SSE stream, wherever its chunks are cut. Pure. Only the data counts here: names, ids and comments are passed over.

/// A line or an event is longer than it may be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {0} bytes")]
pub struct TooLong(usize);

/// Reads one stream.
#[derive(Debug)]
pub struct Reader {
    limit: usize,
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return: a line feed after it belongs to it.
    after_return: bool,
    /// No line is complete yet: a byte order mark may stand in front of it.
    first: bool,
}

impl Reader {
    /// A reader that holds at most `limit` bytes of one event.
    pub fn new(limit: usize) -> Self {
        Self { limit, line: Vec::new(), data: Vec::new(), has_data: false, after_return: false, first: true }
    }

    /// Takes some bytes and returns the data of the events that they complete. Bytes that are not UTF-8 are replaced. What is
    /// incomplete when the stream ends was never an event.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ if self.line.len() + self.data.len() >= self.limit => return Err(TooLong(self.limit)),
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<String> {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.first) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then(|| String::from_utf8_lossy(&data).into_owned());
        }
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[],
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            _ => return None,
        };
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut reader = Reader::new(1 << 20);
        chunks.iter().flat_map(|chunk| reader.feed(chunk).unwrap()).collect()
    }

    #[test]
    fn comments_names_and_ends_of_every_form_are_read() {
        let stream =
            "\u{feff}: ping\r\ndata: a\r\n\r\nevent: x\rdata:b\rdata\rdata:  c\r\rid: 1\n\ndata: d\n\ndata: cut";
        assert_eq!(read(&[stream.as_bytes()]), ["a", "b\n\n c", "d"]);
    }

    #[test]
    fn an_event_has_a_limit() {
        let mut reader = Reader::new(16);
        assert!(reader.feed(b"data: 12345678\n\n").is_ok());
        assert_eq!(reader.feed(b"data: 12345678901"), Err(TooLong(16)));
        let mut reader = Reader::new(16);
        assert_eq!(reader.feed(b"data: 1234567\ndata: 1234567\ndata: 1\n"), Err(TooLong(16)));
    }

    fn line_end() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            said in prop::collection::vec(prop::collection::vec("[^\r\n]{0,12}", 1..3), 1..6),
            end in line_end(),
            comment in "[^\r\n]{0,8}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut stream = String::new();
            for lines in &said {
                stream += &format!(":{comment}{end}");
                lines.iter().for_each(|line| stream += &format!("data: {line}{end}"));
                stream += end;
            }
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
            let expected: Vec<String> = said.iter().map(|lines| lines.join("\n")).collect();
            prop_assert_eq!(read(&chunks), expected);
        }

        #[test]
        fn no_bytes_break_it(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8)) {
            let mut reader = Reader::new(40);
            for chunk in chunks {
                if reader.feed(&chunk).is_err() {
                    break;
                }
            }
        }
    }
}
