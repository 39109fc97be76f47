//! Log lines, written to the host's log under the connector's name. The host bounds how many and how long.

use std::panic::{self, PanicHookInfo};

use crate::bindings::imports::kheish::connector::logging;
pub use logging::Level;

/// Writes a line with fields.
pub fn line(level: Level, message: &str, fields: &[(&str, &str)]) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    logging::log(level, message, &fields);
}

/// Writes a line that an operator should see now and then.
pub fn info(message: &str) {
    line(Level::Info, message, &[]);
}

/// Writes a line about something that is probably wrong.
pub fn warn(message: &str) {
    line(Level::Warn, message, &[]);
}

/// Writes a line about something that failed.
pub fn error(message: &str) {
    line(Level::Error, message, &[]);
}

/// From now on a panic logs its message before it traps: the trap itself carries no text.
pub(crate) fn panics() {
    panic::set_hook(Box::new(report));
}

fn report(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    error(&format!("panicked at {place}: {message}"));
}
