//! Finding documents.

use murmuration_data::Cid;
use murmuration_memory::Meaning;
use murmuration_platform::Store;
use murmuration_recall::{Embedded, Hit, Query, tokens};
use murmuration_syntax::{Did, RepoPath, Rev};

use crate::document::uri;
use crate::index::word_token;
use crate::label::Wanted;
use crate::store;
use crate::{IndexError, PublicIndex};

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Search<'a> {
    /// In words.
    pub text: &'a str,
    /// In meaning, if the embedder has said.
    pub meaning: Option<&'a Meaning>,
    /// What an outer index has found for it: ids and cosines.
    pub outside: &'a [(String, f32)],
    /// Among which.
    pub wanted: Wanted<'a>,
    /// The least score, from 0 to 1.
    pub least: f32,
    /// How many, at most.
    pub limit: usize,
    /// The time, in microseconds since the Unix epoch.
    pub now: u64,
}

/// A document that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Whose it is.
    pub did: Did,
    /// The handle, of an account of another host.
    pub handle: Option<String>,
    /// Where it is.
    pub path: RepoPath,
    /// Its CID.
    pub cid: Cid,
    /// The revision of its repository with which it came.
    pub rev: Rev,
    /// When it was made, in microseconds since the Unix epoch.
    pub made: u64,
    /// The record as JSON.
    pub record: String,
    /// How well it fits, and by what.
    pub hit: Hit,
}

impl PublicIndex {
    /// The documents that fit best, the best first. What is taken down, and whose account is not served, is not there.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn search(&self, store: &dyn Store, search: &Search<'_>) -> Result<Vec<Found>, IndexError> {
        let embedded = search.meaning.and_then(|meaning| {
            Some(Embedded { by: self.number_of(&meaning.model)?, vector: meaning.vector.clone() })
        });
        let words = tokens(search.text, word_token);
        let near = self.near(search.outside);
        let query = Query { embedded, near, words, now: search.now, limit: search.limit, ..Query::default() };
        let shown = |did: &Did| self.accounts.get(did.as_str()).is_none_or(|account| !account.inactive);
        let hits = self.recall.search(&query, |slot| {
            self.labels.get(&slot).is_some_and(|label| {
                search.wanted.takes(label, search.now)
                    && shown(&label.did)
                    && (self.hidden.is_empty() || !self.hidden.contains(&uri(&label.did, &label.path)))
            })
        });
        let mut found = Vec::new();
        for hit in hits.into_iter().filter(|hit| hit.score >= search.least) {
            let Some(label) = self.labels.get(&hit.slot) else { continue };
            let Some((cid, record)) = store::record(store, hit.slot)? else { continue };
            found.push(Found {
                did: label.did.clone(),
                handle: self.accounts.get(label.did.as_str()).and_then(|account| account.handle.clone()),
                path: label.path.clone(),
                cid,
                rev: label.rev,
                made: label.made,
                record,
                hit,
            });
        }
        Ok(found)
    }
}
