//! Language tags, as the `language` format of schemas has them.

use std::collections::BTreeSet;

use crate::{Kind, SyntaxError};

/// Checks that a text is a well-formed language tag (BCP 47, RFC 5646 section 2.2.9) with no repeated part.
///
/// The primary language is two or three lower case letters, or one of the prefixes `i` and `x`. The order of what
/// follows is not looked into, nor whether a part is registered.
///
/// # Errors
/// When a part is empty, too long or has other characters than letters and digits; when a variant or an extension is
/// repeated, or an extension is empty.
pub fn check(text: &str) -> Result<(), SyntaxError> {
    crate::error::check_length(text, Kind::Language, MAX_LANGUAGE_BYTES)?;
    let mut parts = text.split('-');
    let primary = parts.next().unwrap_or_default();
    let private = match primary {
        "x" | "X" => true,
        "i" => false,
        _ if matches!(primary.len(), 2 | 3) && primary.bytes().all(|byte| byte.is_ascii_lowercase()) => false,
        _ => return Err(form("the primary language is not two or three lower case letters")),
    };
    let mut scan = Scan { private, dangling: private || primary == "i", ..Scan::default() };
    for part in parts {
        scan.take(part)?;
    }
    if scan.dangling { Err(form("a prefix with nothing after it")) } else { Ok(()) }
}

/// What was seen of a tag so far.
#[derive(Default)]
struct Scan {
    /// After `x`: anything goes.
    private: bool,
    /// After any single character: parts belong to an extension.
    extended: bool,
    /// A prefix stands last.
    dangling: bool,
    variants: BTreeSet<String>,
    extensions: BTreeSet<char>,
}

impl Scan {
    fn take(&mut self, part: &str) -> Result<(), SyntaxError> {
        crate::error::check_length(part, Kind::Language, MAX_PART_BYTES)?;
        if !part.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(SyntaxError::Character { kind: Kind::Language });
        }
        if self.private {
            self.dangling = false;
            return Ok(());
        }
        let mut chars = part.chars().map(|char| char.to_ascii_lowercase());
        if let (Some(singleton), None) = (chars.next(), chars.next()) {
            if self.dangling || !self.extensions.insert(singleton) {
                return Err(form("an extension is empty or repeated"));
            }
            (self.private, self.extended, self.dangling) = (singleton == 'x', true, true);
            return Ok(());
        }
        self.dangling = false;
        if !self.extended && is_variant(part) && !self.variants.insert(part.to_ascii_lowercase()) {
            return Err(form("a variant is repeated"));
        }
        Ok(())
    }
}

/// Five to eight characters, or four of which the first is a digit.
fn is_variant(part: &str) -> bool {
    part.len() > 4 || (part.len() == 4 && part.starts_with(|first: char| first.is_ascii_digit()))
}

fn form(rule: &'static str) -> SyntaxError {
    SyntaxError::Form { kind: Kind::Language, rule }
}

/// The longest tag, in bytes. The standard names none; the reference implementations take 128.
const MAX_LANGUAGE_BYTES: usize = 128;

/// The longest part, in bytes (RFC 5646).
const MAX_PART_BYTES: usize = 8;
