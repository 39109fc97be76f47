//! Tokens by which whoever was sent a run may speak of it and fetch its files: good for one run under one epoch, and for
//! nothing else. Pure.
//!
//! The fence ends a token: when the epoch is over, every call under it is refused. So no time is in it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What a token begins with, so that it is known where it turns up.
const PREFIX: &str = "khr_";

/// Makes and checks tokens.
pub struct RunTokens {
    key: Zeroizing<[u8; 32]>,
}

impl RunTokens {
    /// Tokens under this key, which must be used for nothing else.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(key) }
    }

    /// The token of a run under an epoch. A run's name has no dot.
    pub fn token(&self, run: &str, epoch: i64) -> String {
        let mac = self.mac(run, epoch).map(|mac| hex::encode(mac.finalize().into_bytes())).unwrap_or_default();
        format!("{PREFIX}{run}.{epoch:x}.{mac}")
    }

    /// The run and the epoch that a token is good for, if it is one of ours. Compared in constant time.
    pub fn holder<'t>(&self, token: &'t [u8]) -> Option<(&'t str, i64)> {
        let mut words = std::str::from_utf8(token).ok()?.strip_prefix(PREFIX)?.split('.');
        let (run, epoch, sent) = (words.next()?, words.next()?, words.next()?);
        let (epoch, sent) = (i64::from_str_radix(epoch, 16).ok()?, hex::decode(sent).ok()?);
        let is_ours = words.next().is_none() && self.mac(run, epoch)?.verify_slice(&sent).is_ok();
        is_ours.then_some((run, epoch))
    }

    /// The epoch that a token is good for, if it is one of this run.
    pub fn epoch(&self, run: &str, token: &[u8]) -> Option<i64> {
        self.holder(token).filter(|(of, _)| *of == run).map(|(_, epoch)| epoch)
    }

    fn mac(&self, run: &str, epoch: i64) -> Option<Hmac<Sha256>> {
        let mac = Hmac::<Sha256>::new_from_slice(&*self.key).ok()?;
        Some(mac.chain_update(format!("run token\n{run}\n{epoch}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_one_run_under_one_epoch() {
        let tokens = RunTokens::new([7; 32]);
        let token = tokens.token("run_a", 26);
        assert_eq!(tokens.epoch("run_a", token.as_bytes()), Some(26));
        assert_eq!(tokens.epoch("run_b", token.as_bytes()), None, "another run");
        assert_eq!(tokens.holder(token.as_bytes()), Some(("run_a", 26)));
        let stolen = token.replacen("run_a", "run_b", 1);
        assert_eq!(tokens.epoch("run_b", stolen.as_bytes()), None, "another name");
        let later = token.replacen("1a.", "1b.", 1);
        assert_ne!(later, token);
        assert_eq!(tokens.epoch("run_a", later.as_bytes()), None, "another epoch");
        assert_eq!(RunTokens::new([8; 32]).epoch("run_a", token.as_bytes()), None, "another key");
        for wrong in
            ["", "khr_", "khr_run_a.1a.", "run_a.1a.00", &format!("{token}.00"), &token[..token.len() - 2], &token[4..]]
        {
            assert_eq!(tokens.epoch("run_a", wrong.as_bytes()), None, "{wrong}");
        }
    }
}
