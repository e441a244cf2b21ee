//! Paths of records in a repository.

use std::cmp::Ordering;
use std::fmt;

use crate::newtype::parse_traits;
use crate::{Kind, Nsid, RecordKey, SyntaxError};

/// A record's path in its repository, which is also its key in the tree: `app.bsky.feed.post/3jzfcijpj2z2a`.
///
/// Paths are ordered as their texts are, byte by byte, because that is the order of the tree. It is not the order of the
/// pair: `a.b.c.d/x` comes before `a.b.c/x`, since `.` sorts before `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepoPath {
    /// The collection.
    pub collection: Nsid,
    /// The record's key in the collection.
    pub rkey: RecordKey,
}

impl RepoPath {
    /// The path of a record.
    #[must_use]
    pub fn new(collection: Nsid, rkey: RecordKey) -> Self {
        Self { collection, rkey }
    }

    /// Reads `collection/rkey`.
    ///
    /// # Errors
    /// When there is no slash, or either part is malformed.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let (collection, rkey) = text.split_once('/').ok_or(SyntaxError::Form {
            kind: Kind::RepoPath,
            rule: "is not a collection, a slash and a key",
        })?;
        Ok(Self { collection: Nsid::parse(collection)?, rkey: RecordKey::parse(rkey)? })
    }

    /// The bytes of the text, without building it.
    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.collection.as_str().bytes().chain([b'/']).chain(self.rkey.as_str().bytes())
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection, self.rkey)
    }
}

impl Ord for RepoPath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl PartialOrd for RepoPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

parse_traits!(RepoPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_sort_as_their_texts_do() {
        let texts = ["a.b.c/z", "a.b.c.d/a", "a.b.cc/a", "a.b.c/a", "a.b-c.d/a", "a.b.c/a.b"];
        let mut paths: Vec<RepoPath> = texts.iter().map(|text| RepoPath::parse(text).unwrap()).collect();
        paths.sort();
        let mut sorted = texts.map(String::from);
        sorted.sort();
        assert_eq!(paths.iter().map(ToString::to_string).collect::<Vec<_>>(), sorted);
    }

    #[test]
    fn rejects_paths_of_one_or_three_parts() {
        assert!(RepoPath::parse("a.b.c").is_err());
        assert!(RepoPath::parse("a.b.c/").is_err());
        assert!(RepoPath::parse("/self").is_err());
        assert!(RepoPath::parse("a.b.c/self/more").is_err());
    }
}
