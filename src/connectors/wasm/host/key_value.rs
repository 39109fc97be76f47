//! `key-value`: reads what is committed, keeps writes until the call has ended well.

use super::HostFailure;
use crate::connectors::{
    Effect,
    wasm::{bindings::kheish::connector::key_value::Host, call::State},
};

/// Length of a key, in bytes.
const KEY_BYTES: usize = 512;
/// Length of a value, in bytes.
const VALUE_BYTES: usize = 64 * 1024;
/// Writes of one call.
const WRITES: usize = 64;

/// What a call wants written, in order.
#[derive(Default)]
pub(in crate::connectors::wasm) struct Effects(Vec<Effect>);

impl Effects {
    /// What this call has itself made of `key`: the value, none when it was deleted; nothing when it did not touch it.
    fn own(&self, wanted: &str) -> Option<Option<Vec<u8>>> {
        self.0.iter().rev().find_map(|effect| match effect {
            Effect::Set { key, value } if key == wanted => Some(Some(value.clone())),
            Effect::Delete { key } if key == wanted => Some(None),
            _ => None,
        })
    }

    fn add(&mut self, effect: Effect) -> Result<(), String> {
        if self.0.len() >= WRITES {
            return Err(format!("a call writes at most {WRITES} times"));
        }
        self.0.push(effect);
        Ok(())
    }

    /// The writes, for the transaction.
    pub(in crate::connectors::wasm) fn into_inner(self) -> Vec<Effect> {
        self.0
    }
}

impl Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        if let Some(own) = self.effects.own(&key) {
            return Ok(own);
        }
        let Some(context) = &self.context else { return Ok(None) };
        Ok(context.key_value.get(&context.connector, &key).await.map_err(HostFailure)?)
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), String>> {
        if key.is_empty() || key.len() > KEY_BYTES {
            return Ok(Err(format!("a key has 1 to {KEY_BYTES} bytes")));
        }
        if value.len() > VALUE_BYTES {
            return Ok(Err(format!("a value has at most {VALUE_BYTES} bytes")));
        }
        Ok(self.effects.add(Effect::Set { key, value }))
    }

    /// The contract gives a refusal no way back, so one delete too many ends the call.
    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        if key.len() > KEY_BYTES {
            return Ok(());
        }
        self.effects.add(Effect::Delete { key }).map_err(wasmtime::Error::msg)
    }
}
