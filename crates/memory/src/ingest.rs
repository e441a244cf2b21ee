//! What was said is read once.
//!
//! Of each thread the object knows which turns were read, as keyed hashes in one sealed row: so many that a client which sends the whole
//! of a conversation again and again pays for what is new in it. Threads that nothing came from for the longest give way.

use murmuration_platform::{Param, StoreError};
use murmuration_syntax::Did;

use crate::limits::{MAX_KNOWN_TURNS, MAX_THREADS};
use crate::loaded::Loaded;
use crate::memories::check_size;
use crate::operation::int;
use crate::secret::{NAME_BYTES, Secret};
use crate::{Draft, Keeper, Memories, MemoryError, Written};

/// Reads 1 row.
const SELECT: &str = "SELECT turns FROM memory_thread WHERE name = ?1";
/// Writes 1 row.
const STORE: &str = "INSERT INTO memory_thread (name, read_at, turns) VALUES (?1, ?2, ?3) \
     ON CONFLICT (name) DO UPDATE SET read_at = excluded.read_at, turns = excluded.turns";
/// Reads all, which are few, and writes a row for each that gives way.
const GIVE_WAY: &str = "DELETE FROM memory_thread WHERE name IN \
     (SELECT name FROM memory_thread ORDER BY read_at DESC, name LIMIT -1 OFFSET ?1 + 0)";

impl Memories {
    /// Which of some turns of a thread were not read before: their places. A turn that comes twice among them is one. Writes nothing.
    ///
    /// # Errors
    /// When what is kept does not open.
    pub fn unread(
        &self,
        keeper: Keeper<'_>,
        thread: &str,
        turns: &[Vec<u8>],
    ) -> Result<Vec<usize>, MemoryError> {
        self.look(keeper, (0..turns.len()).collect(), |loaded| {
            let mut known = self.read_turns(loaded, keeper.ring.did(), thread)?;
            let mut unread = Vec::new();
            for (place, turn) in turns.iter().enumerate() {
                let name = turn_name(&loaded.secret, turn);
                if !known.contains(&name) {
                    known.push(name);
                    unread.push(place);
                }
            }
            Ok(unread)
        })
    }

    /// Keeps what was found in some turns of a thread, and notes that they were read: all of it or nothing. Writes 1 row, and what each of
    /// the memories writes.
    ///
    /// # Errors
    /// As [`Memories::create`].
    pub fn learn(
        &self,
        keeper: Keeper<'_>,
        thread: &str,
        turns: &[Vec<u8>],
        drafts: &[Draft<'_>],
    ) -> Result<Vec<Written>, MemoryError> {
        drafts.iter().try_for_each(|draft| check_size(draft.record))?;
        self.change(keeper, |loaded| {
            let made = drafts
                .iter()
                .map(|draft| self.make(loaded, keeper, draft, None))
                .collect::<Result<_, _>>()?;
            let mut known = self.read_turns(loaded, keeper.ring.did(), thread)?;
            for turn in turns {
                let name = turn_name(&loaded.secret, turn);
                if !known.contains(&name) {
                    known.push(name);
                }
            }
            known.drain(..known.len().saturating_sub(MAX_KNOWN_TURNS));
            self.store_turns(loaded, keeper, thread, &known)?;
            Ok(made)
        })
    }

    fn read_turns(&self, loaded: &Loaded, did: &Did, thread: &str) -> Result<Vec<TurnName>, MemoryError> {
        let name = thread_name(&loaded.secret, thread);
        let Some(mut row) = self.store.query(SELECT, &[Param::Blob(&name)])?.pop() else {
            return Ok(Vec::new());
        };
        let opened = loaded.secret.open(&place(did, &name), &row.blob(0)?)?;
        match opened.as_chunks() {
            (names, []) => Ok(names.to_vec()),
            _ => Err(StoreError::Corrupt("what was read of a thread is not as it was written".into()).into()),
        }
    }

    fn store_turns(
        &self,
        loaded: &Loaded,
        keeper: Keeper<'_>,
        thread: &str,
        known: &[TurnName],
    ) -> Result<(), MemoryError> {
        let name = thread_name(&loaded.secret, thread);
        let place = place(keeper.ring.did(), &name);
        let sealed = loaded.secret.seal(&place, known.as_flattened(), keeper.entropy);
        self.store.query(STORE, &[Param::Blob(&name), int(keeper.now), Param::Blob(&sealed)])?;
        self.store.query(GIVE_WAY, &[Param::Int(MAX_THREADS)])?;
        Ok(())
    }
}

fn thread_name(secret: &Secret, thread: &str) -> [u8; NAME_BYTES] {
    secret.name("thread", thread.as_bytes())
}

fn turn_name(secret: &Secret, turn: &[u8]) -> TurnName {
    let [a, b, c, d, e, f, g, h, ..] = secret.name("turn", turn);
    [a, b, c, d, e, f, g, h]
}

/// What the turns of a thread are sealed for.
fn place(did: &Did, name: &[u8]) -> String {
    format!("thread {did} {}", data_encoding::HEXLOWER.encode(name))
}

/// A turn, as a keyed hash.
type TurnName = [u8; 8];
