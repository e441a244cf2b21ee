//! Letters to the owners of accounts.
//!
//! A host has one way to send them, or none: then its operator does what a letter would have done.

use std::future::Future;
use std::pin::Pin;

use thiserror::Error;

/// A letter. It may hold a code that opens an account, so it has no `Debug`: it is for its reader, and for no log.
#[derive(Clone, Eq, PartialEq)]
pub struct Letter {
    /// The address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// Why it is sent, in a word for the sender's statistics, such as `confirm_email`.
    pub purpose: &'static str,
}

/// Why a letter was not sent. Says nothing of what is in it.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[error("the letter was not sent: {0}")]
pub struct MailError(pub String);

/// The future of a letter. Not `Send`: a Worker has one thread.
pub type MailFuture<'a> = Pin<Box<dyn Future<Output = Result<(), MailError>> + 'a>>;

/// A way to send letters.
pub trait Mailer {
    /// Hands a letter over; it arrives later, or not at all.
    fn send(&self, letter: Letter) -> MailFuture<'_>;
}
