//! Secret values: held, compared and used, never shown.

use std::{collections::BTreeMap, fmt};

use zeroize::Zeroizing;

pub mod mask;
pub mod master_key;
pub mod run_token;
pub mod seal;
pub mod webhook;

/// The bytes of one secret. Wiped when dropped; its `Debug` form says nothing.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes, for the one line that compares, signs or sends them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The secrets of one connector, by slot name. A slot that the operator left unset is absent.
pub type SecretSet = BTreeMap<String, Secret>;
