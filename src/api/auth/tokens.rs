//! The operator's two tokens: where each comes from, and which of them a request shows.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::token_file::{self, TokenFile};
use crate::secrets::{Secret, mask};

/// What is kept of a token: two digests are compared, so that neither content nor length shows in the time it takes.
pub(super) type Digest = [u8; 32];

/// A token's digest.
pub(super) fn digest(token: &[u8]) -> Digest {
    Sha256::digest(token).into()
}

/// One of the two, by what it is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    /// In sentences.
    role: &'static str,
    /// The variable with the token.
    variable: &'static str,
    /// The variable with the token file's path.
    file_variable: &'static str,
}

/// May do everything.
pub(super) const ADMIN: Name =
    Name { role: "admin", variable: "KHEISH_DAEMON_ADMIN_TOKEN", file_variable: "KHEISH_DAEMON_ADMIN_TOKEN_FILE" };

/// May look.
pub(super) const READ_ONLY: Name = Name {
    role: "read-only",
    variable: "KHEISH_DAEMON_READONLY_TOKEN",
    file_variable: "KHEISH_DAEMON_READONLY_TOKEN_FILE",
};

/// Where a token comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A variable, with the token in it.
    Variable(Secret),
    /// A file.
    File(PathBuf),
}

impl Name {
    /// Finds where this token comes from: one of its variables, else the file of the settings.
    pub(super) fn source(
        self,
        variable: impl Fn(&str) -> Option<OsString>,
        file: Option<&Path>,
    ) -> Result<Option<Source>, String> {
        let (token, path) = (variable(self.variable), variable(self.file_variable));
        match (token, path) {
            (Some(_), Some(_)) => {
                Err(format!("{} and {} are both set: keep one of them", self.variable, self.file_variable))
            }
            (Some(token), None) => {
                let whole = Secret::new(token.into_vec());
                let token = Secret::new(whole.expose().trim_ascii());
                token_file::check(token.expose())
                    .map_err(|what| format!("{} is set and {what}, or unset it", self.variable))?;
                mask::remember(&token);
                Ok(Some(Source::Variable(token)))
            }
            (None, Some(path)) if path.is_empty() => {
                Err(format!("{} is set and empty: give the file's path, or unset it", self.file_variable))
            }
            (None, Some(path)) => Ok(Some(Source::File(path.into()))),
            (None, None) => Ok(file.map(|path| Source::File(path.to_owned()))),
        }
    }

    /// The variables that would set it.
    pub(super) fn variables(self) -> String {
        format!("{} or {}", self.variable, self.file_variable)
    }
}

/// The tokens that count.
#[derive(Debug)]
pub(super) struct Tokens {
    admin: Token,
    read_only: Option<Token>,
    /// Whether it has been said that the two are the same.
    alike: AtomicBool,
}

#[derive(Debug)]
enum Token {
    Fixed(Digest),
    File(TokenFile),
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Everything.
    Admin,
    /// Looking.
    ReadOnly,
    /// Nothing: it is none of ours.
    Nothing,
    /// Nobody can say: a token file is not what it should be.
    Unknown,
}

impl Tokens {
    /// Reads both. One sentence for each thing to mend.
    pub(super) fn open(admin: Source, read_only: Option<Source>, now_ms: i64) -> Result<Self, Vec<String>> {
        let admin = Token::open(admin, ADMIN, now_ms);
        let read_only = read_only.map(|source| Token::open(source, READ_ONLY, now_ms)).transpose();
        let (admin, read_only) = match (admin, read_only) {
            (Ok(admin), Ok(read_only)) => (admin, read_only),
            (admin, read_only) => return Err(admin.err().into_iter().chain(read_only.err()).collect()),
        };
        let tokens = Self { admin, read_only, alike: AtomicBool::new(false) };
        match tokens.current(now_ms) {
            (Some(admin), Some(read_only)) if admin == read_only => {
                Err(vec!["the admin token and the read-only token are the same: give each its own".to_owned()])
            }
            _ => Ok(tokens),
        }
    }

    /// Says what a token is good for.
    pub(super) fn judge(&self, sent: &[u8], now_ms: i64) -> Shown {
        let sent = digest(sent);
        let (admin, read_only) = self.current(now_ms);
        let is = |token: Option<Digest>| token.is_some_and(|token| bool::from(token.ct_eq(&sent)));
        // Both are always compared.
        let (is_admin, is_read_only) = (is(admin), is(read_only));
        if self.are_alike(admin, read_only) {
            return Shown::Unknown;
        }
        match (is_admin, is_read_only) {
            (true, _) => Shown::Admin,
            (_, true) => Shown::ReadOnly,
            _ if admin.is_none() || (self.read_only.is_some() && read_only.is_none()) => Shown::Unknown,
            _ => Shown::Nothing,
        }
    }

    fn current(&self, now_ms: i64) -> (Option<Digest>, Option<Digest>) {
        (self.admin.digest(now_ms), self.read_only.as_ref().and_then(|token| token.digest(now_ms)))
    }

    /// Two that are the same would make every reader an admin.
    fn are_alike(&self, admin: Option<Digest>, read_only: Option<Digest>) -> bool {
        let alike = admin.is_some() && admin == read_only;
        if self.alike.swap(alike, Ordering::Relaxed) != alike && alike {
            tracing::error!("the admin token and the read-only token are the same now, and both are refused");
        }
        alike
    }
}

impl Token {
    fn open(source: Source, name: Name, now_ms: i64) -> Result<Self, String> {
        match source {
            Source::Variable(token) => Ok(Self::Fixed(digest(token.expose()))),
            Source::File(path) => Ok(Self::File(TokenFile::open(&path, name.role, now_ms)?)),
        }
    }

    fn digest(&self, now_ms: i64) -> Option<Digest> {
        match self {
            Self::Fixed(digest) => Some(*digest),
            Self::File(file) => file.digest(now_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(token: &str) -> Source {
        Source::Variable(Secret::new(token))
    }

    #[test]
    fn each_token_is_good_for_its_own() {
        let tokens = Tokens::open(fixed("admin"), Some(fixed("reader")), 0).unwrap();
        for (sent, shown) in
            [("admin", Shown::Admin), ("reader", Shown::ReadOnly), ("", Shown::Nothing), ("admin ", Shown::Nothing)]
        {
            assert_eq!(tokens.judge(sent.as_bytes(), 0), shown, "{sent:?}");
        }
        assert!(Tokens::open(fixed("same"), Some(fixed("same")), 0).is_err());
    }

    #[test]
    fn a_variable_goes_before_the_file_of_the_settings() {
        let file = Path::new("/settings/file");
        let source = |token: Option<&str>, path: Option<&str>| {
            let find = |name: &str| match name {
                "KHEISH_DAEMON_ADMIN_TOKEN" => token.map(OsString::from),
                "KHEISH_DAEMON_ADMIN_TOKEN_FILE" => path.map(OsString::from),
                _ => None,
            };
            ADMIN.source(find, Some(file))
        };
        assert!(matches!(source(Some(" tok\n"), None), Ok(Some(Source::Variable(token))) if token.expose() == b"tok"));
        assert!(matches!(source(None, Some("/a")), Ok(Some(Source::File(path))) if path == Path::new("/a")));
        assert!(matches!(source(None, None), Ok(Some(Source::File(path))) if path == file));
        for (token, path, word) in [
            (Some("a"), Some("/b"), "both"),
            (Some(" "), None, "empty"),
            (None, Some(""), "empty"),
            (Some("a\nb"), None, "line"),
        ] {
            assert!(source(token, path).unwrap_err().contains(word));
        }
    }
}
