//! `logging`: guests' lines in the daemon's log, bounded and on one line each.

use crate::connectors::wasm::{
    bindings::kheish::connector::logging::{Host, Level},
    call::State,
};

/// Length of a line, in bytes; the rest is cut off.
const LINE_BYTES: usize = 4 * 1024;

impl Host for State {
    fn log(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let mut line = message;
        for (name, value) in fields {
            line.push_str(&format!(" {name}={value}"));
        }
        self.write_line(level, &line);
        Ok(())
    }
}

impl State {
    /// Writes one line of a guest, as far as its share allows.
    pub(in crate::connectors::wasm) fn write_line(&mut self, level: Level, line: &str) {
        let line = plain(line);
        if level == Level::Error {
            self.last_error = Some(line.clone());
        }
        if self.log.spend(line.len()) {
            emit(level, &self.who(), &line);
        }
    }
}

/// Puts one line of a guest into the log.
pub(in crate::connectors::wasm) fn emit(level: Level, connector: &str, line: &str) {
    match level {
        Level::Trace => tracing::trace!(target: "guest", connector, "{line}"),
        Level::Debug => tracing::debug!(target: "guest", connector, "{line}"),
        Level::Info => tracing::info!(target: "guest", connector, "{line}"),
        Level::Warn => tracing::warn!(target: "guest", connector, "{line}"),
        Level::Error => tracing::error!(target: "guest", connector, "{line}"),
    }
}

/// A line that cannot pretend to be several, nor steer a terminal.
pub(in crate::connectors::wasm) fn plain(line: &str) -> String {
    let mut end = line.len().min(LINE_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let mut plain = String::with_capacity(end);
    for character in line[..end].chars() {
        if character.is_control() {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    if end < line.len() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_long_lines_cut_at_a_character() {
        assert_eq!(plain("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        let long = "é".repeat(LINE_BYTES);
        assert!(plain(&long).len() <= LINE_BYTES + '…'.len_utf8());
    }
}
