//! A hash of a set of records that does not depend on their order, and is changed by adding and removing one.
//!
//! LtHash (<https://eprint.iacr.org/2019/227>) as proposal 0016 has it
//! (<https://github.com/bluesky-social/proposals/tree/main/0016-permissioned-data>): a record is the text
//! `{collection}/{rkey}/{cid}`, expanded to 2,048 bytes by BLAKE3; those are 1,024 lanes of 16 bits, little end first, which are added
//! to the state's or subtracted from them. What is shown is the SHA-256 of the state.

use murmuration_data::Cid;
use murmuration_platform::StoreError;
use murmuration_syntax::RepoPath;
use sha2::{Digest, Sha256};

/// The state of a set. The empty set is all zeros.
#[derive(Clone, PartialEq, Eq)]
pub struct SetHash([u16; LANES]);

impl Default for SetHash {
    fn default() -> Self {
        Self([0; LANES])
    }
}

impl std::fmt::Debug for SetHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SetHash").field(&data_encoding::HEXLOWER.encode(&self.digest())).finish()
    }
}

impl SetHash {
    /// Adds a record.
    pub fn add(&mut self, path: &RepoPath, cid: &Cid) {
        for (lane, more) in self.0.iter_mut().zip(lanes(path, cid)) {
            *lane = lane.wrapping_add(more);
        }
    }

    /// Removes a record that was added.
    pub fn remove(&mut self, path: &RepoPath, cid: &Cid) {
        for (lane, less) in self.0.iter_mut().zip(lanes(path, cid)) {
            *lane = lane.wrapping_sub(less);
        }
    }

    /// The hash of the set.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    /// The state, to be stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|lane| lane.to_le_bytes()).collect()
    }

    /// Reads what [`SetHash::to_bytes`] gives.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when there are more or fewer bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let (pairs, rest) = bytes.as_chunks::<2>();
        if pairs.len() != LANES || !rest.is_empty() {
            return Err(StoreError::Corrupt("a set hash has not its length".into()));
        }
        let mut state = Self::default();
        for (lane, pair) in state.0.iter_mut().zip(pairs) {
            *lane = u16::from_le_bytes(*pair);
        }
        Ok(state)
    }
}

/// What a record is expanded to.
fn lanes(path: &RepoPath, cid: &Cid) -> impl Iterator<Item = u16> {
    let mut bytes = [0; LANES * 2];
    let element = format!("{path}/{cid}");
    blake3::Hasher::new().update(element.as_bytes()).finalize_xof().fill(&mut bytes);
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect::<Vec<_>>().into_iter()
}

/// Lanes of a state.
const LANES: usize = 1024;

#[cfg(test)]
mod tests {
    use murmuration_data::cid_of_cbor;

    use super::*;

    fn record(name: &str) -> (RepoPath, Cid) {
        (RepoPath::parse(&format!("agent.memory.note/{name}")).unwrap(), cid_of_cbor(name.as_bytes()))
    }

    #[test]
    fn the_order_of_writes_does_not_show() {
        let records: Vec<_> = ["a", "b", "c", "d"].map(record).into();
        let (mut forth, mut back) = (SetHash::default(), SetHash::default());
        records.iter().for_each(|(path, cid)| forth.add(path, cid));
        records.iter().rev().for_each(|(path, cid)| back.add(path, cid));
        assert_eq!(forth, back);
        for (path, cid) in &records {
            assert_ne!(forth.digest(), SetHash::default().digest());
            forth.remove(path, cid);
        }
        assert_eq!(forth, SetHash::default());
        assert_eq!(SetHash::from_bytes(&back.to_bytes()).unwrap(), back);
        assert!(SetHash::from_bytes(&back.to_bytes()[1..]).is_err());
    }

    #[test]
    fn a_record_counts_by_its_name_and_its_cid() {
        let ((a, cid_a), (b, cid_b)) = (record("a"), record("b"));
        let of = |path, cid| {
            let mut hash = SetHash::default();
            hash.add(path, cid);
            hash.digest()
        };
        let all = [of(&a, &cid_a), of(&a, &cid_b), of(&b, &cid_a), of(&b, &cid_b)];
        for (at, one) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|other| other != one));
        }
    }
}
