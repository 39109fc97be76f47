//! What somebody may have meant who wrote a name that nobody knows.

/// The longest name that is compared, in bytes: callers choose names, and comparing takes time by their length.
const COMPARED: usize = 64;

/// ` (did you mean ...?)` when one of `known` is near enough to what was written, else nothing.
pub fn suggestion<'k>(written: &str, known: impl Iterator<Item = &'k str>) -> String {
    if written.len() > COMPARED {
        return String::new();
    }
    let nearest = known.map(|name| (strsim::damerau_levenshtein(written, name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= written.len() / 3 + 1 => format!(" (did you mean `{name}`?)"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = || ["content", "reply_targets", "limit"].into_iter();
        assert_eq!(suggestion("contnt", known()), " (did you mean `content`?)");
        assert_eq!(suggestion("reply_target", known()), " (did you mean `reply_targets`?)");
        assert_eq!(suggestion("colour", known()), "");
        assert_eq!(suggestion(&"l".repeat(1 << 20), known()), "");
        assert_eq!(suggestion("x", std::iter::empty()), "");
    }
}
