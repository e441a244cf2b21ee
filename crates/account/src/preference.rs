//! Preferences: what an account's clients keep for it, private to the account.
//!
//! One row a namespace, because clients read and write a namespace whole. What stands in it is theirs: a JSON text.

use murmuration_platform::Param;

use crate::AccountError;
use crate::account::Account;

/// Reads 1 row.
const SELECT: &str = "SELECT value FROM preference WHERE namespace = ?1";
/// Writes 1 row.
const UPSERT: &str = "INSERT INTO preference (namespace, value) VALUES (?1, ?2) \
     ON CONFLICT (namespace) DO UPDATE SET value = excluded.value";

impl Account {
    /// What is kept in a namespace, if anything ever was.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn preferences(&self, namespace: &str) -> Result<Option<String>, AccountError> {
        self.read(|_| Ok(()))?;
        let row = self.store.query(SELECT, &[Param::Text(namespace)])?.pop();
        Ok(row.map(|mut row| row.text(0)).transpose()?)
    }

    /// Puts a JSON text in the place of what is kept in a namespace.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn set_preferences(&self, namespace: &str, json: &str) -> Result<(), AccountError> {
        self.read(|_| Ok(()))?;
        Ok(self.store.query(UPSERT, &[Param::Text(namespace), Param::Text(json)]).map(drop)?)
    }
}
