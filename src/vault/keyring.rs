//! The master keys that a vault holds: one, and during a replacement two.

use std::sync::{PoisonError, RwLock};

use crate::{
    secrets::seal::{DataKey, MasterKey, SealError, sealed_by},
    store::data_keys::WrappedKey,
};

/// What wraps and unwraps data keys.
pub(super) struct Keyring(RwLock<Masters>);

struct Masters {
    current: MasterKey,
    /// The one that takes its place, from before the store depends on it; afterwards the one whose place it took.
    other: Option<MasterKey>,
}

impl Keyring {
    pub(super) fn new(master: MasterKey) -> Self {
        Self(RwLock::new(Masters { current: master, other: None }))
    }

    /// Unwraps a data key with the master key that wrapped it.
    pub(super) fn unwrap(&self, key: &WrappedKey) -> Result<DataKey, SealError> {
        let wrapped_by = sealed_by(&key.wrapped)?;
        let master = {
            let masters = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let other = masters.other.clone().filter(|other| other.id() == wrapped_by);
            other.unwrap_or_else(|| masters.current.clone())
        };
        master.unwrap(key.id, &key.wrapped)
    }

    /// A new data key with this id, and its wrapped form.
    pub(super) fn make(&self, id: i64) -> Result<WrappedKey, SealError> {
        let master = self.0.read().unwrap_or_else(PoisonError::into_inner).current.clone();
        Ok(WrappedKey { id, wrapped: master.wrap(&DataKey::random(id)?)? })
    }

    /// Knows a further master key.
    pub(super) fn expect(&self, next: MasterKey) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).other = Some(next);
    }

    /// Wraps with this master key from now on, and knows the former one still.
    pub(super) fn replace(&self, next: MasterKey) {
        let mut masters = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if masters.current.id() != next.id() {
            masters.other = Some(std::mem::replace(&mut masters.current, next));
        }
    }

    /// Forgets every master key but the one that wraps.
    pub(super) fn forget_other(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).other = None;
    }
}
