//! What is left to do for an account that was deleted, until nothing of it is left.
//!
//! ```text
//!  object: mark, event ──> directory: row ──> relay: event ──> relay: older events ──> blobs ──> object: storage
//! ```
//!
//! The first step is [`Account::delete`](murmuration_account::Account::delete), and its mark goes with the last one. Any
//! step in between may be done twice and does no harm the second time, so whoever finds the mark begins at the front: the
//! call that deleted the account, and after a crash the object's alarm.

use murmuration_account::{Account, AccountError};
use murmuration_syntax::Did;

use crate::XrpcError;
use crate::host::{Directory, Task};

/// What an account leaves outside of its tables. A host implements it over its bindings.
pub trait Remains {
    /// Has the relay take every event that it has not.
    fn announce(&self) -> Task<'_, Result<(), XrpcError>>;

    /// Has the relay forget what the account said before its event `before`.
    fn purge<'a>(&'a self, did: &'a Did, before: u64) -> Task<'a, Result<(), XrpcError>>;

    /// Deletes a blob's bytes, be they there or not.
    fn delete_blob<'a>(&'a self, key: &'a str) -> Task<'a, Result<(), XrpcError>>;

    /// Empties the object's storage.
    fn wipe(&self) -> Task<'_, Result<(), XrpcError>>;
}

/// Does what is left. Does nothing for an account that was not deleted, or of which nothing is left.
///
/// # Errors
/// That of the first step that fails; those after it were not begun, but for the deletion of other blobs.
pub async fn finish(
    account: &Account,
    directory: Directory<'_>,
    remains: &dyn Remains,
) -> Result<(), XrpcError> {
    match account.is_deleted() {
        Ok(true) => {}
        Ok(false) | Err(AccountError::Vacant) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let did = account.did()?;
    directory.remove(&did).await?;
    directory.end_agent(&did).await?;
    directory.forget_reset(&did).await?;
    directory.forget_invites(&did).await?;
    remains.announce().await?;
    remains.purge(&did, account.last_ord()?).await?;
    delete_blobs(account, remains).await?;
    delete_memory_blobs(account, remains).await?;
    remains.wipe().await?;
    account.forget();
    Ok(())
}

/// Deletes the bytes of every blob; one that stays is in nobody's way. When of a whole batch nothing can be deleted, those
/// who keep the bytes are away, and the rest is not tried.
async fn delete_blobs(account: &Account, remains: &dyn Remains) -> Result<(), XrpcError> {
    let (mut after, mut failure) = (None, None);
    loop {
        let batch = account.left_blobs(after.as_ref())?;
        let Some((last, _)) = batch.last() else { return failure.map_or(Ok(()), Err) };
        after = Some(*last);
        let mut any_deleted = false;
        for (cid, key) in batch {
            match remains.delete_blob(&key).await {
                Ok(()) => {
                    account.remove_blob(&cid)?;
                    any_deleted = true;
                }
                Err(error) => failure = Some(error),
            }
        }
        if !any_deleted {
            return failure.map_or(Ok(()), Err);
        }
    }
}

/// The same of those that memories have in the blob storage.
async fn delete_memory_blobs(account: &Account, remains: &dyn Remains) -> Result<(), XrpcError> {
    let (mut after, mut failure) = (String::new(), None);
    loop {
        let batch = account.left_memory_blobs(&after)?;
        let Some(last) = batch.last() else { return failure.map_or(Ok(()), Err) };
        after.clone_from(last);
        let mut any_deleted = false;
        for name in batch {
            match remains.delete_blob(&name).await {
                Ok(()) => {
                    account.remove_memory_blob(&name)?;
                    any_deleted = true;
                }
                Err(error) => failure = Some(error),
            }
        }
        if !any_deleted {
            return failure.map_or(Ok(()), Err);
        }
    }
}
