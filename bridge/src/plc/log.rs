//! Logs of operations: verified, never believed.

use murmuration_data::Cid;
use murmuration_syntax::Did;
use serde::{Deserialize, Serialize};

use super::{Operation, State};
use crate::BridgeError;

/// What a verified log says of its DID now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    /// The DID.
    pub did: Did,
    /// The CID of the last operation in force: the `prev` of the next one.
    pub tip: Cid,
    /// What that operation says; `None` when it is a tombstone.
    pub state: Option<State>,
}

/// An entry of the directory's audit log (`/<did>/log/audit`): with its time, and with those that were undone.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Whose log it is.
    pub did: Did,
    /// The operation.
    pub operation: Operation,
    /// Its CID, as the directory claims it.
    pub cid: String,
    /// Whether a stronger key undid it, as the directory claims it.
    pub nullified: bool,
    /// When the directory took it: RFC 3339 in UTC. Only the directory vouches for it.
    pub created_at: String,
}

/// Verifies a log of operations in force, in order (`/<did>/log`).
///
/// Each must name the one before it and be signed by one of its rotation keys; nothing may follow a tombstone. Whether the
/// directory left a fork out does not show here; [`verify_audit`] sees it.
///
/// # Errors
/// The first rule that the log breaks.
pub fn verify(did: &Did, log: &[Operation]) -> Result<Verified, BridgeError> {
    let (first, rest) = log.split_first().ok_or(BridgeError::Log("is empty"))?;
    let mut state = verify_genesis(did, first)?;
    let mut last = first;
    for operation in rest {
        let before = state.ok_or(BridgeError::Log("goes on after a tombstone"))?;
        if operation.prev() != Some(last.cid().to_string().as_str()) {
            return Err(BridgeError::Log("an operation does not follow the one before it"));
        }
        verify_update(operation, &before.rotation_keys)?;
        state = operation.state();
        last = operation;
    }
    Ok(Verified { did: did.clone(), tip: last.cid(), state })
}

/// Verifies an audit log: every operation that the directory ever took, forks included.
///
/// An operation may name, instead of the last one in force, an earlier one, and so undo what came after it. It must then
/// be signed by a stronger key than the first one that it undoes (one that stands earlier in the list of rotation keys of
/// the operation where they part), at most 72 hours after it. The `nullified` marks must be what follows from that.
///
/// # Errors
/// The first rule that the log breaks.
pub fn verify_audit(did: &Did, log: &[AuditEntry]) -> Result<Verified, BridgeError> {
    let chain = in_force(did, log)?;
    let (_, last, _) = chain.last().ok_or(BridgeError::Log("is empty"))?;
    Ok(Verified { did: did.clone(), tip: last.cid(), state: last.state() })
}

/// Verifies that an operation may follow an audit log at a time, in milliseconds since the Unix epoch: as the directory
/// judges it, so that what it would refuse is never sent, and what it should refuse is never made.
///
/// # Errors
/// The first rule that the log or the operation breaks.
pub fn verify_next(
    did: &Did,
    log: &[AuditEntry],
    next: &Operation,
    now_millis: u64,
) -> Result<(), BridgeError> {
    let chain = in_force(did, log)?;
    // This host's clock may be behind the directory's.
    let latest = chain.last().map_or(0, |(_, _, latest)| latest.saturating_add(1));
    fork_point(&chain, next, now_millis.max(latest)).map(drop)
}

/// An entry in force: its position in the log, its operation and its time.
type Link<'a> = (usize, &'a Operation, u64);

/// The entries of an audit log that are in force, after all of it was verified.
fn in_force<'a>(did: &Did, log: &'a [AuditEntry]) -> Result<Vec<Link<'a>>, BridgeError> {
    let mut chain: Vec<Link<'_>> = Vec::new();
    for (position, entry) in log.iter().enumerate() {
        let operation = &entry.operation;
        if entry.did != *did {
            return Err(BridgeError::Log("an entry is of another DID"));
        }
        if entry.cid != operation.cid().to_string() {
            return Err(BridgeError::Log("an entry's CID is not its operation's"));
        }
        let time = millis(&entry.created_at).ok_or(BridgeError::Log("an entry's time is not RFC 3339"))?;
        if position == 0 {
            verify_genesis(did, operation)?;
        } else {
            let kept = fork_point(&chain, operation, time)?;
            chain.truncate(kept);
        }
        chain.push((position, operation, time));
    }
    let mut live = chain.iter().map(|(position, ..)| *position).peekable();
    for (position, entry) in log.iter().enumerate() {
        if live.next_if_eq(&position).is_some() == entry.nullified {
            return Err(BridgeError::Log("an entry is wrongly marked as nullified or not"));
        }
    }
    Ok(chain)
}

/// How much of `chain` stays when `operation` joins it at `time`: all of it, but for a fork.
fn fork_point(chain: &[Link<'_>], operation: &Operation, time: u64) -> Result<usize, BridgeError> {
    let prev = operation.prev().ok_or(BridgeError::Log("has a second genesis"))?;
    // From the end: all but forks follow the last.
    let at = chain
        .iter()
        .rposition(|(_, candidate, _)| candidate.cid().to_string() == prev)
        .ok_or(BridgeError::Log("an operation follows none in force"))?;
    let kept = at.saturating_add(1);
    let parent = chain.get(at).and_then(|(_, parent, _)| parent.state());
    let keys = parent.ok_or(BridgeError::Log("goes on after a tombstone"))?.rotation_keys;
    let Some((_, disputed, disputed_time)) = chain.get(kept) else {
        verify_update(operation, &keys)?;
        return Ok(kept);
    };
    let signer = disputed.signer(&keys).ok_or(BridgeError::Signature)?;
    verify_update(operation, keys.get(..signer).unwrap_or_default())?;
    if time.saturating_sub(*disputed_time) > RECOVERY_MILLIS {
        return Err(BridgeError::Log("an operation was undone after more than 72 hours"));
    }
    if chain.last().is_some_and(|(_, _, latest)| time <= *latest) {
        return Err(BridgeError::Log("an operation was undone before it was made"));
    }
    Ok(kept)
}

fn verify_genesis(did: &Did, operation: &Operation) -> Result<Option<State>, BridgeError> {
    let state = operation.state().ok_or(BridgeError::Log("begins with a tombstone"))?;
    if operation.did()? != *did {
        return Err(BridgeError::Log("begins with another DID's genesis"));
    }
    operation.signer(&state.rotation_keys).ok_or(BridgeError::Signature)?;
    Ok(Some(state))
}

fn verify_update(operation: &Operation, rotation_keys: &[String]) -> Result<(), BridgeError> {
    if operation.is_legacy() {
        return Err(BridgeError::Log("has a legacy operation that is not its genesis"));
    }
    operation.signer(rotation_keys).map(drop).ok_or(BridgeError::Signature)
}

/// Milliseconds since the Unix epoch of `YYYY-MM-DDTHH:MM:SS[.fff]Z`, the one form that the directory writes.
fn millis(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(digits);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = clock.splitn(3, ':').map(digits);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let in_range = year <= 9999 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_range || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    digits(fraction)?;
    let thousandths = digits(&format!("{fraction:0<3}").chars().take(3).collect::<String>())?;
    // Days of the civil calendar, counted from March so that the leap day ends a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(EPOCH_DAYS)?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + thousandths)
}

fn digits(text: &str) -> Option<u64> {
    let few = !text.is_empty() && text.len() <= 9;
    (few && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Milliseconds in which a stronger rotation key may undo an operation (did:plc specification: 72 hours).
const RECOVERY_MILLIS: u64 = 72 * 60 * 60 * 1000;
/// Days from the first of March of the year 0 to the Unix epoch.
const EPOCH_DAYS: u64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_directorys_times() {
        assert_eq!(millis("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(millis("1970-01-04T00:00:01.500Z"), Some(3 * 86_400_000 + 1_500));
        assert_eq!(millis("2024-02-29T23:59:59.999Z"), Some(1_709_251_199_999));
        assert_eq!(millis("2026-01-01T00:00:00Z"), Some(1_767_225_600_000));
    }

    #[test]
    fn refuses_other_times() {
        for text in
            ["", "2026-01-01", "2026-01-01T00:00:00.000+01:00", "2026-13-01T00:00:00Z", "2026-01-01T0:0Z"]
        {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
