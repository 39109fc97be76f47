//! Links to files for those who get an output: good for one file, for a while.
//!
//! The key lies beside the files: whoever reads that folder has the files already. So links outlive a restart.

use std::io::{self, Read as _, Write as _};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const KEY_FILE: &str = "link.key";

/// Makes and checks links.
pub struct Links {
    key: [u8; 32],
    life_ms: i64,
}

impl Links {
    /// Reads the key, or makes one.
    pub(super) fn open(folder: &Dir, life_ms: u64) -> io::Result<Self> {
        let mut key = [0; 32];
        let life_ms = i64::try_from(life_ms).unwrap_or(i64::MAX);
        match folder.open(KEY_FILE).and_then(|mut file| file.read_exact(&mut key)) {
            Ok(()) => return Ok(Self { key, life_ms }),
            Err(error) if ![io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof].contains(&error.kind()) => {
                return Err(error);
            }
            Err(_) => {}
        }
        rand::fill(&mut key[..]);
        let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
        let mut file = folder.open_with(KEY_FILE, &options)?;
        file.write_all(&key)?;
        file.sync_all()?;
        Ok(Self { key, life_ms })
    }

    /// A path below the daemon's address under which a file can be had for `assets.link_life_ms` from now on. It is called so
    /// there: that is no secret and proves nothing, so the token says nothing of it.
    pub fn path(&self, asset_id: &str, name: &str, now_ms: i64) -> String {
        let until = now_ms.saturating_add(self.life_ms);
        let mac = self.mac(asset_id, until).map(|mac| hex::encode(mac.finalize().into_bytes())).unwrap_or_default();
        format!("/v1/assets/{asset_id}/raw?name={}&token={until:x}.{mac}", escaped(name))
    }

    /// A key for another purpose, as good as this one and of no use for links.
    pub fn derived_key(&self, purpose: &str) -> [u8; 32] {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key).map(|mac| mac.chain_update(format!("key\n{purpose}")));
        mac.map(|mac| mac.finalize().into_bytes().into()).unwrap_or_default()
    }

    /// Whether `token` is good for this file now. Compared in constant time.
    pub fn is_good(&self, asset_id: &str, token: &str, now_ms: i64) -> bool {
        let Some((until, sent)) = token.split_once('.') else { return false };
        let (Ok(until), Ok(sent)) = (i64::from_str_radix(until, 16), hex::decode(sent)) else { return false };
        let is_ours = self.mac(asset_id, until).is_some_and(|mac| mac.verify_slice(&sent).is_ok());
        is_ours && now_ms < until
    }

    fn mac(&self, asset_id: &str, until: i64) -> Option<Hmac<Sha256>> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        Some(mac.chain_update(format!("asset link\n{asset_id}\n{until}")))
    }
}

/// A text as it can stand in a query, and in a header's parameter as RFC 8187 has it.
pub fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_for_one_file_and_its_time() {
        let links = Links { key: [7; 32], life_ms: 1_000 };
        let path = links.path("aa", "a&token=b.txt", 5_000);
        assert!(path.starts_with("/v1/assets/aa/raw?name=a%26token%3Db.txt&token="), "{path}");
        let token = path.split_once("token=").unwrap().1;
        assert!(links.is_good("aa", token, 5_999));
        assert!(!links.is_good("aa", token, 6_000), "its time is over");
        assert!(!links.is_good("ab", token, 5_000), "another file");
        let longer = token.replacen("1770", "2770", 1);
        assert_ne!(longer, token);
        assert!(!links.is_good("aa", &longer, 5_000), "another time");
        for wrong in ["", ".", "1770.", &token[..token.len() - 2]] {
            assert!(!links.is_good("aa", wrong, 5_000), "{wrong}");
        }
        assert!(!Links { key: [8; 32], life_ms: 1_000 }.is_good("aa", token, 5_000), "another key");
    }
}
