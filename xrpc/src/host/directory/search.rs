//! Finding accounts for the operator. No index is there for this: the two that keep names apart serve the prefixes, and
//! the primary key serves the rest.

use murmuration_platform::{Row, StoreError};

use super::{Directory, Entry, entry};

/// Accounts of a page, and the cursor of the next one.
type Page = (Vec<Entry>, Option<String>);

impl Directory<'_> {
    /// The rows of those DIDs that have one, in no order.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn entries(&self, dids: &[&str]) -> Result<Vec<Entry>, StoreError> {
        let list = serde_json::to_string(dids).map_err(|error| StoreError::Engine(error.to_string()))?;
        entries(self.database.query(BY_DIDS, &[list.as_str().into()]).await?)
    }

    /// A page of all accounts, by DID.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn all(&self, cursor: Option<&str>, limit: u32) -> Result<Page, StoreError> {
        let params = [cursor.unwrap_or_default().into(), i64::from(limit).into()];
        let found = entries(self.database.query(ALL, &params).await?)?;
        let next = is_full(&found, limit).then(|| found.last().map(|last| last.did.to_string())).flatten();
        Ok((found, next))
    }

    /// A page of the accounts whose e-mail address begins with `text`, by address, and then of the others whose handle
    /// does, by handle. `text` is in lower case and not empty.
    ///
    /// The cursor is the last address or the last handle of a page: only an address has an `@`.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn beginning(&self, text: &str, cursor: Option<&str>, limit: u32) -> Result<Page, StoreError> {
        let end = format!("{text}{}", char::MAX);
        let (email, handle) = match cursor {
            None => (Some(""), ""),
            Some(cursor) if cursor.contains('@') => (Some(cursor), ""),
            Some(cursor) => (None, cursor),
        };
        let mut found = Vec::new();
        if let Some(after) = email {
            let params = [text.max(after).into(), end.as_str().into(), after.into(), i64::from(limit).into()];
            found = entries(self.database.query(BY_EMAIL_PREFIX, &params).await?)?;
            if is_full(&found, limit) {
                let next = found.last().and_then(|last| last.email.clone());
                return Ok((found, next));
            }
        }
        let rest = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(limit));
        let params = [
            text.max(handle).into(),
            end.as_str().into(),
            handle.into(),
            text.into(),
            i64::from(rest).into(),
        ];
        found.extend(entries(self.database.query(BY_HANDLE_PREFIX, &params).await?)?);
        let next = is_full(&found, limit).then(|| found.last().map(|last| last.handle.to_string())).flatten();
        Ok((found, next))
    }
}

fn entries(rows: Vec<Row>) -> Result<Vec<Entry>, StoreError> {
    rows.into_iter().map(entry).collect()
}

fn is_full(found: &[Entry], limit: u32) -> bool {
    usize::try_from(limit).is_ok_and(|limit| found.len() >= limit)
}

/// Reads 1 row for each DID that has one.
const BY_DIDS: &str = "SELECT did, handle, email, status, created_at, next_handle, next_since FROM account \
     WHERE did IN (SELECT value FROM json_each(?1))";
/// Reads as many rows as it answers, and the reservations between them.
const ALL: &str = "SELECT did, handle, email, status, created_at, next_handle, next_since FROM account \
     WHERE did > ?1 AND status <> 'reserved' ORDER BY did LIMIT ?2";
/// Reads as many rows and index entries as it answers, and the reservations between them.
const BY_EMAIL_PREFIX: &str = "SELECT did, handle, email, status, created_at, next_handle, next_since FROM account \
     WHERE email >= ?1 AND email < ?2 AND email <> ?3 AND status <> 'reserved' ORDER BY email LIMIT ?4";
/// Reads as many rows and index entries as it answers, and between them the reservations and what is found by its address.
const BY_HANDLE_PREFIX: &str = "SELECT did, handle, email, status, created_at, next_handle, next_since FROM account \
     WHERE handle >= ?1 AND handle < ?2 AND handle <> ?3 AND (email IS NULL OR email < ?4 OR email >= ?2) \
     AND status <> 'reserved' ORDER BY handle LIMIT ?5";
