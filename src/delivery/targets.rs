//! Reply targets, checked when they are set: the plugin delivers, and the address is one of its own.

use super::http::HttpTarget;
use crate::model::target::ReplyTarget;

/// Checks a target that an operator chose. The error says what is wrong.
pub fn check(target: &ReplyTarget) -> Result<(), String> {
    parse(target).map(drop)
}

/// Checks a target that a caller's payload chose: it may not grant itself the private network.
pub fn check_untrusted(target: &ReplyTarget) -> Result<(), String> {
    if parse(target)?.allow_private_network() {
        return Err(
            "allow_private_network is the operator's to give: put the target into default_reply_targets".to_owned()
        );
    }
    Ok(())
}

fn parse(target: &ReplyTarget) -> Result<HttpTarget, String> {
    match target.plugin.as_str() {
        "http" => HttpTarget::parse(&target.address),
        other => Err(format!("no plugin named `{other}` delivers here; `http` does")),
    }
}
