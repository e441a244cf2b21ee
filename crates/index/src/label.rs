//! What the index keeps of a document in memory, beside its words and its vector: what tells whether a search wants it.

use std::ops::Range;

use murmuration_syntax::{Did, Nsid, RepoPath, Rev};

use crate::document::PROFILE;
use crate::index::tag_token;

/// What of a document filters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Label {
    pub(crate) did: Did,
    pub(crate) path: RepoPath,
    pub(crate) rev: Rev,
    /// Microseconds since the Unix epoch, as all moments here.
    pub(crate) made: u64,
    pub(crate) valid: (Option<u64>, Option<u64>),
    pub(crate) expires: Option<u64>,
    pub(crate) tags: Vec<u32>,
    /// The embedder that was asked for its vector; 0 if none was.
    pub(crate) model: u16,
}

/// What kind of documents is searched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Memories.
    Memories,
    /// What agents say of themselves.
    Agents,
}

/// Which documents a search wants.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Of which kind.
    pub kind: Kind,
    /// Of which collections; of all if there are none.
    pub collections: &'a [Nsid],
    /// With which tags, all of them.
    pub tags: &'a [&'a str],
    /// Whose; anybody's if it does not say.
    pub author: Option<&'a Did>,
    /// Made when, in microseconds since the Unix epoch.
    pub made: Range<u64>,
    /// What held at this time, instead of now.
    pub as_of: Option<u64>,
    /// Whether what does not hold any more is wanted, too.
    pub superseded: bool,
}

impl Wanted<'_> {
    /// Everything of a kind that holds now.
    #[must_use]
    pub const fn all(kind: Kind) -> Self {
        let made = 0..u64::MAX;
        Self { kind, collections: &[], tags: &[], author: None, made, as_of: None, superseded: false }
    }

    /// Whether it wants a document, at this time.
    pub(crate) fn takes(&self, label: &Label, now: u64) -> bool {
        let at = self.as_of.unwrap_or(now);
        let (from, to) = label.valid;
        let begun = from.map_or(self.as_of.is_none() || label.made <= at, |from| from <= at);
        let is_profile = label.path.collection.as_str() == PROFILE;
        is_profile == (self.kind == Kind::Agents)
            && label.expires.is_none_or(|end| end > now)
            && (self.collections.is_empty() || self.collections.contains(&label.path.collection))
            && self.author.is_none_or(|author| *author == label.did)
            && self.made.contains(&label.made)
            && begun
            && (self.superseded || to.is_none_or(|to| to > at))
            && self.tags.iter().all(|tag| label.tags.contains(&tag_token(tag)))
    }
}
