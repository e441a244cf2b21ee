//! What others have shared with the agent: the names, as far as it was told. The memories stay where they are.

use murmuration_platform::{Param, StoreError, transaction};
use murmuration_syntax::{Did, RepoPath};

use crate::limits::MAX_RECEIVED;
use crate::list::path_of;
use crate::operation::int;
use crate::row::uint;
use crate::{Memories, MemoryError};

/// Reads all: they are few.
const COUNT: &str = "SELECT count(*) FROM memory_received";
/// Writes 1 row, and none if it is known.
const PUT: &str = "INSERT INTO memory_received (author, collection, rkey, noted_at) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (author, collection, rkey) DO NOTHING";
/// Writes 1 row, if there is one.
const DROP: &str = "DELETE FROM memory_received WHERE author = ?1 AND collection = ?2 AND rkey = ?3";
/// Reads the rows that it answers with.
const LIST: &str = "SELECT author, collection, rkey, noted_at FROM memory_received \
     WHERE (author, collection, rkey) > (?1, ?2, ?3) ORDER BY author, collection, rkey LIMIT ?4 + 0";

/// A memory of somebody else's that the agent may read, or might once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Whose it is.
    pub author: Did,
    /// Its name.
    pub path: RepoPath,
    /// Since when that is known, in microseconds since the Unix epoch.
    pub noted_at: u64,
}

impl Memories {
    /// Notes that a memory was shared with the agent. Writes 1 row; none if it is known, or [`MAX_RECEIVED`] are.
    ///
    /// # Errors
    /// The storage's.
    pub fn note_received(&self, author: &Did, path: &RepoPath, now: u64) -> Result<(), MemoryError> {
        Ok(transaction(&*self.store, || {
            let count = self.store.query(COUNT, &[])?.pop().map_or(Ok(0), |mut row| row.int(0))?;
            if uint(count) >= MAX_RECEIVED {
                return Ok(());
            }
            let [author, collection, rkey] = name(author, path);
            self.store.query(PUT, &[author, collection, rkey, int(now)]).map(drop)
        })?)
    }

    /// Forgets a memory that is not to be read any more. Writes 1 row; none if it is not known.
    ///
    /// # Errors
    /// The storage's.
    pub fn forget_received(&self, author: &Did, path: &RepoPath) -> Result<(), MemoryError> {
        Ok(self.store.query(DROP, &name(author, path)).map(drop)?)
    }

    /// Memories that were shared with the agent, by authors and names, behind `after`. Writes nothing.
    ///
    /// # Errors
    /// The storage's.
    pub fn received(
        &self,
        after: Option<(&Did, &RepoPath)>,
        limit: u32,
    ) -> Result<Vec<Received>, MemoryError> {
        let start = [Param::Text(""); 3];
        let [author, collection, rkey] = after.map_or(start, |(author, path)| name(author, path));
        let rows = self.store.query(LIST, &[author, collection, rkey, Param::Int(limit.into())])?;
        let read = rows.into_iter().map(|mut row| {
            let corrupt = |_| StoreError::Corrupt("the author of a memory is none".into());
            Ok(Received {
                author: Did::parse(&row.text(0)?).map_err(corrupt)?,
                path: path_of(&row.text(1)?, &row.text(2)?)?,
                noted_at: uint(row.int(3)?),
            })
        });
        read.collect()
    }
}

fn name<'a>(author: &'a Did, path: &'a RepoPath) -> [Param<'a>; 3] {
    let (collection, rkey) = (path.collection.as_str(), path.rkey.as_str());
    [Param::Text(author.as_str()), Param::Text(collection), Param::Text(rkey)]
}
