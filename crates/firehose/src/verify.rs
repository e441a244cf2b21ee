//! What a relay checks before it passes an event on.
//!
//! The checks of indigo's relay (`cmd/relay/relay/verify.go`), all of them strict, in the order of their cost. An agent
//! runs them over its own commit before it stores it: the last line of defence against publishing what nobody accepts.
//!
//! Not checked here, because only the caller knows: that the event came from the account's current host, that the account
//! is active, and that its DID still has this key.

use murmuration_keys::Verify;
use murmuration_repo::{Action, Commit, Partial, RecordOp, car, empty_root, invert};
use murmuration_syntax::Rev;

use crate::limits::{MAX_BLOCKS_BYTES, MAX_OPS, MAX_REV_AHEAD_MICROS, MAX_SYNC_BLOCKS_BYTES};
use crate::{Cid, CommitEvent, SyncEvent, VerifyError};

/// The state of a repository as a verifier must remember it: all that the next event is checked against.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// The rev of the last commit.
    pub rev: Rev,
    /// The root of its tree.
    pub data: Cid,
}

/// Checks a `#commit` against the repository's last known state, and gives the state after it.
///
/// `previous` is `None` when nothing is known of the repository. Then a commit that says it is the first (no `since`)
/// must begin with the empty tree, and any other must at least be true to its own `prevData`. `key` is either half of the
/// account's signing key, `now_micros` the verifier's clock.
///
/// # Errors
/// The first check that fails.
pub fn verify_commit(
    event: &CommitEvent,
    previous: Option<&Head>,
    key: &impl Verify,
    now_micros: u64,
) -> Result<Head, VerifyError> {
    at_most("operations", event.ops.len(), MAX_OPS)?;
    at_most("bytes of blocks", event.blocks.len(), MAX_BLOCKS_BYTES)?;
    check_chain(event, previous)?;
    event.ops.iter().try_for_each(check_op)?;
    let car = car::Car::read(&event.blocks, car::Limits::EVENT)?;
    let commit = commit_in(&car)?;
    if car.roots.first() != Some(&event.commit) {
        return Err(VerifyError::CommitMissing);
    }
    if commit.did != event.repo {
        return Err(VerifyError::Mismatch("repo"));
    }
    if commit.rev != event.rev {
        return Err(VerifyError::Mismatch("rev"));
    }
    check_rev(commit.rev, previous, now_micros)?;
    for op in &event.ops {
        if op.cid.is_some_and(|cid| !car.blocks.contains_key(&cid)) {
            return Err(VerifyError::RecordMissing(op.path.to_string()));
        }
    }
    let tree = Partial::load(commit.data, |cid| car.blocks.get(cid).map(AsRef::as_ref))?;
    let before = invert(&tree, commit.data, &event.ops)?;
    if before != event.prev_data.unwrap_or_else(empty_root) {
        return Err(VerifyError::Inversion);
    }
    commit.verify(key)?;
    Ok(Head { rev: commit.rev, data: commit.data })
}

/// Checks a `#sync`, and gives the state that it asserts. It may be the state that is known already.
///
/// # Errors
/// The first check that fails.
pub fn verify_sync(
    event: &SyncEvent,
    previous: Option<&Head>,
    key: &impl Verify,
    now_micros: u64,
) -> Result<Head, VerifyError> {
    at_most("bytes of blocks", event.blocks.len(), MAX_SYNC_BLOCKS_BYTES)?;
    let commit = commit_in(&car::Car::read(&event.blocks, car::Limits::EVENT)?)?;
    if commit.did != event.did {
        return Err(VerifyError::Mismatch("did"));
    }
    if commit.rev != event.rev {
        return Err(VerifyError::Mismatch("rev"));
    }
    let head = Head { rev: commit.rev, data: commit.data };
    if previous != Some(&head) {
        check_rev(commit.rev, previous, now_micros)?;
    }
    commit.verify(key)?;
    Ok(head)
}

fn at_most(what: &'static str, actual: usize, limit: usize) -> Result<(), VerifyError> {
    if actual > limit { Err(VerifyError::TooLarge { what, actual, limit }) } else { Ok(()) }
}

/// Whether the event begins where the last one ended.
fn check_chain(event: &CommitEvent, previous: Option<&Head>) -> Result<(), VerifyError> {
    let Some(previous) = previous else {
        return if event.since.is_some() == event.prev_data.is_some() {
            Ok(())
        } else {
            Err(VerifyError::BrokenPrevData)
        };
    };
    if event.since != Some(previous.rev) {
        return Err(VerifyError::BrokenSince);
    }
    if event.prev_data != Some(previous.data) {
        return Err(VerifyError::BrokenPrevData);
    }
    Ok(())
}

/// Whether an operation has the fields of its action, and a path that is one.
fn check_op(op: &RecordOp) -> Result<(), VerifyError> {
    let shape = match op.action {
        Action::Create => op.cid.is_some() && op.prev.is_none(),
        Action::Update => op.cid.is_some() && op.prev.is_some(),
        Action::Delete => op.cid.is_none() && op.prev.is_some(),
    };
    if shape && op.path.path().is_ok() { Ok(()) } else { Err(VerifyError::BadOp(op.path.to_string())) }
}

fn check_rev(rev: Rev, previous: Option<&Head>, now_micros: u64) -> Result<(), VerifyError> {
    if rev.micros() > now_micros.saturating_add(MAX_REV_AHEAD_MICROS) {
        return Err(VerifyError::FutureRev);
    }
    if previous.is_some_and(|previous| rev <= previous.rev) {
        return Err(VerifyError::StaleRev);
    }
    Ok(())
}

/// The commit that a CAR's first root names.
fn commit_in(car: &car::Car) -> Result<Commit, VerifyError> {
    let block = car.roots.first().and_then(|root| car.blocks.get(root)).ok_or(VerifyError::CommitMissing)?;
    Ok(Commit::decode(block)?)
}
