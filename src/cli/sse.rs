//! Reads server-sent events from bytes that arrive in any pieces.

/// The longest frame, in bytes.
const FRAME_BYTES: usize = 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where to go on after it; events without an id leave the place as it was.
    pub(crate) id: Option<String>,
    /// Its name; `message` when the stream gives none.
    pub(crate) event: String,
    /// Its data; several lines are joined.
    pub(crate) data: String,
}

/// The frame is longer than [`FRAME_BYTES`].
#[derive(Debug, thiserror::Error)]
#[error("an event has more than {FRAME_BYTES} bytes")]
pub(crate) struct TooLong;

/// What has been read of a frame so far.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    frame: Frame,
    has_data: bool,
    bytes: usize,
    after_return: bool,
    begun: bool,
}

impl Parser {
    /// Takes some bytes and gives the frames that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, TooLong> {
        let mut frames = Vec::new();
        for byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\r' | b'\n' => frames.extend(self.end_line()),
                other => self.line.push(*other),
            }
            self.bytes += 1;
            if self.bytes > FRAME_BYTES {
                return Err(TooLong);
            }
        }
        Ok(frames)
    }

    fn end_line(&mut self) -> Option<Frame> {
        let line = std::mem::take(&mut self.line);
        let mut line = String::from_utf8_lossy(&line).into_owned();
        if !std::mem::replace(&mut self.begun, true) && line.starts_with('\u{feff}') {
            line.remove(0);
        }
        if line.is_empty() {
            return self.end_frame();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.frame.event),
            "id" if !value.contains('\0') => self.frame.id = Some(value.to_owned()),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.frame.data.push('\n');
                }
                self.frame.data.push_str(value);
            }
            // Comments keep the connection warm; the rest is for later versions.
            _ => {}
        }
        None
    }

    fn end_frame(&mut self) -> Option<Frame> {
        self.bytes = 0;
        let mut frame = std::mem::take(&mut self.frame);
        if frame.event.is_empty() {
            "message".clone_into(&mut frame.event);
        }
        std::mem::take(&mut self.has_data).then_some(frame)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(id: Option<&str>, event: &str, data: &str) -> Frame {
        Frame { id: id.map(str::to_owned), event: event.to_owned(), data: data.to_owned() }
    }

    const STREAM: &str = "\u{feff}: hello\r\nid: 7\r\nevent: output\r\ndata: {\"a\":\"é\"}\r\n\r\nretry: 5\n\ndata:x\ndata\ndata:  y\n\n\
                          event: heartbeat\rdata: {}\r\rid\nid: 9\ndata: last\n\ndata: unfinished\n";

    fn expected() -> Vec<Frame> {
        vec![
            frame(Some("7"), "output", "{\"a\":\"é\"}"),
            frame(None, "message", "x\n\n y"),
            frame(None, "heartbeat", "{}"),
            frame(Some("9"), "message", "last"),
        ]
    }

    proptest! {
        #[test]
        fn borders_between_pieces_change_nothing(cuts in prop::collection::vec(0..STREAM.len(), 0..40)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let mut frames = Vec::new();
            for border in cuts.windows(2) {
                frames.extend(parser.push(&STREAM.as_bytes()[border[0]..border[1]]).unwrap());
            }
            prop_assert_eq!(frames, expected());
        }
    }

    #[test]
    fn a_frame_has_a_longest_length() {
        let mut parser = Parser::default();
        let short = format!("data: {}\n\n", "x".repeat(FRAME_BYTES / 2));
        for _ in 0..4 {
            assert_eq!(parser.push(short.as_bytes()).unwrap().len(), 1);
        }
        assert!(parser.push("x".repeat(FRAME_BYTES + 1).as_bytes()).is_err());
    }
}
