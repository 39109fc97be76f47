//! `secrets`: guests hold handles; comparing and signing happen here, and the bytes stay here.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use wasmtime::component::Resource;

use crate::{
    connectors::wasm::{
        bindings::kheish::connector::secrets::{Hash, Host, HostSecret},
        call::State,
    },
    secrets::Secret,
};

/// What a guest's handle stands for.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Handle(Secret);

impl Host for State {
    fn open(&mut self, slot: String) -> wasmtime::Result<Option<Resource<Handle>>> {
        let secret = self.context.as_ref().and_then(|context| context.secrets.get(&slot));
        match secret.cloned() {
            Some(secret) => Ok(Some(self.table.push(Handle(secret))?)),
            None => Ok(None),
        }
    }
}

impl HostSecret for State {
    fn verify_hmac(
        &mut self,
        secret: Resource<Handle>,
        hash: Hash,
        message: Vec<u8>,
        mac: Vec<u8>,
    ) -> wasmtime::Result<bool> {
        let key = self.table.get(&secret)?.0.expose();
        match hash {
            Hash::Sha1 => verify::<Hmac<Sha1>>(key, &message, &mac),
            Hash::Sha256 => verify::<Hmac<Sha256>>(key, &message, &mac),
            Hash::Sha512 => verify::<Hmac<Sha512>>(key, &message, &mac),
        }
    }

    fn matches(&mut self, secret: Resource<Handle>, candidate: Vec<u8>) -> wasmtime::Result<bool> {
        // Digests are compared, so that neither content nor length shows in the time it takes.
        let secret = Sha256::digest(self.table.get(&secret)?.0.expose());
        Ok(secret.ct_eq(&Sha256::digest(candidate)).into())
    }

    fn sign_hmac(&mut self, secret: Resource<Handle>, hash: Hash, message: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        let key = self.table.get(&secret)?.0.expose();
        match hash {
            Hash::Sha1 => sign::<Hmac<Sha1>>(key, &message),
            Hash::Sha256 => sign::<Hmac<Sha256>>(key, &message),
            Hash::Sha512 => sign::<Hmac<Sha512>>(key, &message),
        }
    }

    fn drop(&mut self, secret: Resource<Handle>) -> wasmtime::Result<()> {
        self.table.delete(secret)?;
        Ok(())
    }
}

fn verify<M: Mac + KeyInit>(key: &[u8], message: &[u8], mac: &[u8]) -> wasmtime::Result<bool> {
    let keyed = <M as KeyInit>::new_from_slice(key).map_err(wasmtime::Error::new)?;
    Ok(keyed.chain_update(message).verify_slice(mac).is_ok())
}

fn sign<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> wasmtime::Result<Vec<u8>> {
    let keyed = <M as KeyInit>::new_from_slice(key).map_err(wasmtime::Error::new)?;
    Ok(keyed.chain_update(message).finalize().into_bytes().to_vec())
}
