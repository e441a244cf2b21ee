//! A DID document that changes: the authority of the DID has it, and the account says so.
//!
//! The account is told before the change and after it. What comes in between may die, or be lost on the way; then nobody
//! is left who knows that something is to be said, and the account says it by itself when nobody can still be at it. So an
//! `#identity` event may come without a change, which does no harm: it only has its readers look.

use crate::{Account, AccountError, Notice};

/// Microseconds from [`Account::document_changing`] to when the account says it by itself. Several times what the requests to
/// the directory of DIDs take, of which each gives up after ten seconds.
const PATIENCE_MICROS: u64 = 60 * 1_000_000;

impl Account {
    /// Notes that the DID document is about to change: 1 row.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn document_changing(&self, now: u64) -> Result<(), AccountError> {
        self.edit(&[], now, |profile| profile.document_changing_since = Some(now)).map(drop)
    }

    /// Says that the DID document has changed: 1 row for the event, and 1 if it was noted that it would.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn document_changed(&self, now: u64) -> Result<(), AccountError> {
        self.edit(&[Notice::Document], now, |profile| profile.document_changing_since = None).map(drop)
    }

    /// When the account is to say by itself that its DID document has changed, in microseconds since the Unix epoch; `None`
    /// if no change is under way.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn document_due(&self) -> Result<Option<u64>, AccountError> {
        Ok(self.profile()?.document_changing_since.map(|since| since.saturating_add(PATIENCE_MICROS)))
    }

    /// As [`Account::document_changed`], if that is due.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn say_document_if_due(&self, now: u64) -> Result<(), AccountError> {
        match self.document_due()? {
            Some(at) if at <= now => self.document_changed(now),
            _ => Ok(()),
        }
    }
}
