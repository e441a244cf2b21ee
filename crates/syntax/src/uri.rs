//! Generic URIs, as the `uri` format of schemas has them.

use crate::{Kind, SyntaxError};

/// Checks that a text is a URI: a scheme, a colon, and something that holds no blank and no control character.
///
/// Nothing more: records link to every kind of thing, and characters beyond ASCII are seen in the wild
/// (<https://atproto.com/specs/lexicon>, RFC 3986).
///
/// # Errors
/// When there is no scheme of at most 81 characters, nothing after it, a blank, or more than 8 KiB.
pub fn check(text: &str) -> Result<(), SyntaxError> {
    crate::error::check_length(text, Kind::Uri, MAX_URI_BYTES)?;
    let (scheme, rest) =
        text.split_once(':').ok_or(SyntaxError::Form { kind: Kind::Uri, rule: "has no scheme" })?;
    crate::error::check_length(scheme, Kind::Uri, MAX_SCHEME_BYTES)?;
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(SyntaxError::Form { kind: Kind::Uri, rule: "the scheme starts with no letter" });
    }
    if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
        return Err(SyntaxError::Character { kind: Kind::Uri });
    }
    if rest.is_empty() {
        return Err(SyntaxError::Form { kind: Kind::Uri, rule: "has nothing after its scheme" });
    }
    if rest.chars().any(|char| char.is_whitespace() || char.is_control()) {
        return Err(SyntaxError::Character { kind: Kind::Uri });
    }
    Ok(())
}

/// The longest URI, in bytes (<https://atproto.com/specs/lexicon>).
pub const MAX_URI_BYTES: usize = 8192;

/// The longest scheme, in bytes (the reference implementations' rule).
const MAX_SCHEME_BYTES: usize = 81;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_uri_is_taken_and_one_byte_more_is_not() {
        let longest = format!("https://{}", "a".repeat(MAX_URI_BYTES - 8));
        assert!(check(&longest).is_ok());
        assert!(check(&format!("{longest}a")).is_err());
    }

    #[test]
    fn rejects_control_characters() {
        assert!(check("https://example.com/\u{0}").is_err());
        assert!(check("https://example.com/\u{2028}").is_err());
        assert!(check("https://example.com/é").is_ok());
    }
}
