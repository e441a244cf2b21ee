//! Which account a code for a new password is for.

use murmuration_platform::{Param, StoreError};
use murmuration_syntax::Did;
use sha2::{Digest, Sha256};

use super::{Directory, did_column};

impl Directory<'_> {
    /// Notes a code of an account, in place of the one there was.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn note_reset(&self, did: &Did, code: &str) -> Result<(), StoreError> {
        let hash = hash(code);
        self.database.query(NOTE, &[did.as_str().into(), Param::Blob(&hash)]).await.map(drop)
    }

    /// The account that a code was made for, whether it is still good or not.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn by_reset(&self, code: &str) -> Result<Option<Did>, StoreError> {
        let hash = hash(code);
        let row = self.database.query(FIND, &[Param::Blob(&hash)]).await?.pop();
        row.map(|mut row| did_column(&mut row)).transpose()
    }

    /// Forgets the code of an account.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn forget_reset(&self, did: &Did) -> Result<(), StoreError> {
        self.database.query(FORGET, &[did.as_str().into()]).await.map(drop)
    }
}

/// As codes are typed: in any case, with blanks around.
fn hash(code: &str) -> [u8; 32] {
    Sha256::digest(code.trim().to_ascii_uppercase()).into()
}

/// Writes 2 rows: the row and its index entry.
const NOTE: &str = "INSERT INTO password_reset (did, hash) VALUES (?1, ?2) \
     ON CONFLICT (did) DO UPDATE SET hash = excluded.hash";
/// Reads 1 row and 1 index entry.
const FIND: &str = "SELECT did FROM password_reset WHERE hash = ?1";
/// Writes 2 rows.
const FORGET: &str = "DELETE FROM password_reset WHERE did = ?1";
