//! Asks the person at the terminal: for a yes, or for a secret that does not show.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, IsTerminal, Read, Write},
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::secrets::Secret;

/// The longest secret that is taken, in bytes.
const SECRET_BYTES: usize = 64 * 1024;

/// Goes on when the person says yes, or has said so by `--yes`; where nobody can be asked, only by that.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::Usage(format!("{question} Nobody is here to ask: say --yes")));
    }
    write!(io::stderr(), "{question} [y/N] ").ok();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(unusable)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::Failed("nothing was changed".to_owned())),
    }
}

/// Reads a secret from the terminal. It neither shows nor stays in any history.
pub(crate) fn secret(question: &str) -> Result<Secret, Failure> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|_| {
        Failure::Usage("there is no terminal to ask for the value: give --from-env, --from-file or --stdin".to_owned())
    })?;
    let silent = Silent::new(terminal)?;
    write!(&silent.terminal, "{question}: ").map_err(unusable)?;
    let typed = read_typed(&silent.terminal);
    writeln!(&silent.terminal).map_err(unusable)?;
    match typed? {
        Some(typed) => Ok(Secret::new(typed.to_vec())),
        None => Err(Failure::Failed("nothing was changed".to_owned())),
    }
}

fn unusable(error: impl Into<io::Error>) -> Failure {
    Failure::Failed(format!("the terminal cannot be used: {}", error.into()))
}

/// A terminal that shows nothing and hands on every key, until this is dropped. Interrupting keys are read here too: the
/// signal would end the process and leave the terminal silent.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn new(terminal: File) -> Result<Self, Failure> {
        let before = tcgetattr(&terminal).map_err(unusable)?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(&terminal, OptionalActions::Flush, &modes).map_err(unusable)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        tcsetattr(&self.terminal, OptionalActions::Flush, &self.before).ok();
    }
}

/// What was typed up to the end of the line; none when it was called off.
fn read_typed(keys: impl Read) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let mut typed = Zeroizing::new(Vec::with_capacity(256));
    for key in BufReader::new(keys).bytes() {
        match key.map_err(unusable)? {
            b'\n' | b'\r' => return Ok(Some(typed)),
            // Ctrl-C, and Ctrl-D on an empty line.
            3 => return Ok(None),
            4 => return Ok((!typed.is_empty()).then_some(typed)),
            // Backspace takes a whole character, Ctrl-U all of them.
            8 | 127 => while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            21 => typed.clear(),
            _ if typed.len() == SECRET_BYTES => {
                return Err(Failure::Usage(format!("a secret has at most {SECRET_BYTES} bytes")));
            }
            byte => typed.push(byte),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> Option<Vec<u8>> {
        read_typed(keys).unwrap().map(|typed| typed.to_vec())
    }

    #[test]
    fn a_line_is_edited_and_called_off_as_usual() {
        assert_eq!(typed(b"secret\r").as_deref(), Some(&b"secret"[..]));
        assert_eq!(typed("sé\u{7f}ecrets\u{8}\n".as_bytes()).as_deref(), Some(&b"secret"[..]));
        assert_eq!(typed(b"wrong\x15right\n").as_deref(), Some(&b"right"[..]));
        assert_eq!([typed(b"half\x03"), typed(b"\x04"), typed(b"no end")], [None, None, None]);
    }
}
