//! Keys of the tree.

use std::fmt;
use std::sync::Arc;

use murmuration_syntax::RepoPath;
use sha2::{Digest, Sha256};

use crate::{MAX_KEY_BYTES, RepoError};

/// A key of the tree: `collection/rkey`, in the letters that the reference implementation allows.
///
/// A [`RepoPath`] is always a key. The reverse does not hold: a tree from elsewhere may hold a key whose collection is
/// no NSID, and it must still be read, hashed and inverted; [`Key::path`] is where that is found out.
///
/// Keys are shared, not copied: nodes, edits and changes hold the same text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Reads a key.
    ///
    /// # Errors
    /// [`RepoError::Key`] when it is longer than [`MAX_KEY_BYTES`], is not two parts around one slash, or has a
    /// character outside `A-Z a-z 0-9 . - _ : ~`.
    pub fn parse(text: &str) -> Result<Self, RepoError> {
        check(text.as_bytes())?;
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes, by which keys are ordered.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The layer of the tree this key belongs to. Costs one SHA-256.
    #[must_use]
    pub fn layer(&self) -> u32 {
        layer_of(self.as_bytes())
    }

    /// The key as a path of a record.
    ///
    /// # Errors
    /// [`RepoError::Path`] when the collection is no NSID or the rest no record key.
    pub fn path(&self) -> Result<RepoPath, RepoError> {
        Ok(RepoPath::parse(self.as_str())?)
    }

    /// The collection, as text.
    #[must_use]
    pub fn collection(&self) -> &str {
        self.0.split_once('/').map_or("", |(collection, _)| collection)
    }

    /// The record key, as text.
    #[must_use]
    pub fn rkey(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, rkey)| rkey)
    }
}

impl From<&RepoPath> for Key {
    fn from(path: &RepoPath) -> Self {
        Self(path.to_string().into())
    }
}

impl From<RepoPath> for Key {
    fn from(path: RepoPath) -> Self {
        Self::from(&path)
    }
}

impl From<&Self> for Key {
    fn from(key: &Self) -> Self {
        key.clone()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The layer of a key: half the leading zero bits of its SHA-256, rounded down. A quarter of all keys rise one layer,
/// which is where the tree's fanout of four comes from (<https://atproto.com/specs/repository#mst-structure>).
#[must_use]
pub fn layer_of(key: &[u8]) -> u32 {
    let mut zeros = 0;
    for byte in Sha256::digest(key) {
        zeros += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    zeros / 2
}

/// How many bytes two keys share at their beginning.
#[must_use]
pub fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(a, b)| a == b).count()
}

fn check(key: &[u8]) -> Result<(), RepoError> {
    if key.len() > MAX_KEY_BYTES {
        return Err(RepoError::Key { rule: "is longer than 1024 bytes" });
    }
    let mut slash = None;
    for (index, byte) in key.iter().enumerate() {
        match byte {
            b'/' if slash.is_none() => slash = Some(index),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b':' | b'~' => {}
            b'/' => return Err(RepoError::Key { rule: "has more than one slash" }),
            _ => return Err(RepoError::Key { rule: "has a character that may not stand in a key" }),
        }
    }
    match slash {
        None => Err(RepoError::Key { rule: "has no slash" }),
        Some(index) if index == 0 || index + 1 == key.len() => {
            Err(RepoError::Key { rule: "has an empty part" })
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_keys_that_are_not_two_parts() {
        for bad in ["", "/", "a/", "/a", "a", "a/b/c", "a//b", "a/b ", "a/é", "a/b\0"] {
            assert!(Key::parse(bad).is_err(), "{bad}");
        }
        assert!(Key::parse(&format!("a/{}", "b".repeat(1022))).is_ok());
        assert!(Key::parse(&format!("a/{}", "b".repeat(1023))).is_err());
    }

    #[test]
    fn a_path_is_a_key_and_a_key_may_be_no_path() {
        let path = RepoPath::parse("app.bsky.feed.post/3jzfcijpj2z2a").unwrap();
        let key = Key::from(&path);
        assert_eq!(key.path().unwrap(), path);
        assert_eq!((key.collection(), key.rkey()), ("app.bsky.feed.post", "3jzfcijpj2z2a"));
        assert!(Key::parse("A0/374913").unwrap().path().is_err());
    }
}
