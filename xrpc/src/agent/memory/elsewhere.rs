//! Calls whose memories are too large for a row, and lie in the blob storage.
//!
//! A turn waits for nobody. What it wants of the blob storage it notes on its desk; that is done here, and the call made again, with the
//! same time, so that it comes to the same.

use murmuration_account::Account;
use murmuration_memory::{Desk, limits};
use murmuration_platform::{Blobs, BlobsError, Clock};

use crate::XrpcError;

/// Runs `call` until it wants nothing of the blob storage any more. `noted` sees to the alarm when something of the account was written
/// that it is to collect if nothing comes of the call.
///
/// # Errors
/// `UpstreamFailure` when the blob storage does not do its part, and `NotEnoughResources` while too much is on its way there: nothing was
/// changed then.
pub async fn with_blobs<T>(
    account: &Account,
    blobs: &dyn Blobs,
    clock: &dyn Clock,
    noted: impl AsyncFn() -> Result<(), XrpcError>,
    call: impl Fn(&dyn Clock) -> T,
) -> Result<T, XrpcError> {
    let (mut desk, at) = (Desk::default(), Still(clock.now_micros()));
    let mut outcome = account.with_desk(&mut desk, || call(&at));
    if !desk.is_waiting() {
        return Ok(outcome);
    }
    let mut rounds = 0;
    let done = loop {
        // Boxed: it is rare.
        if let Err(error) = Box::pin(serve(account, blobs, clock, &noted, &mut desk)).await {
            break Err(error);
        }
        outcome = account.with_desk(&mut desk, || call(&at));
        rounds += 1;
        if !desk.is_waiting() {
            break Ok(outcome);
        }
        if rounds >= MAX_ROUNDS {
            break Err(XrpcError::internal("a call wants more and more of the blob storage"));
        }
    };
    account.let_blobs_go(&desk.names());
    done
}

/// Deletes blobs that no memory names any more, and bytes of uploads of which nothing came, if it is time.
///
/// # Errors
/// The storage's; where a blob cannot be deleted, that is put off.
pub async fn sweep_blobs(
    account: &Account,
    blobs: &dyn Blobs,
    clock: &dyn Clock,
) -> Result<Option<BlobsError>, XrpcError> {
    let mut failure = None;
    if account.memory_blob_due()?.is_none_or(|due| due > clock.now_micros()) {
        return Ok(failure);
    }
    for name in account.memory_blobs_due(clock.now_micros(), SWEEP)? {
        match blobs.delete(&name).await {
            Ok(()) => account.memory_blob_gone(&name)?,
            Err(error) => {
                account.put_memory_blob_off(&name, clock.now_micros())?;
                failure = Some(error);
            }
        }
    }
    Ok(failure)
}

async fn serve(
    account: &Account,
    blobs: &dyn Blobs,
    clock: &dyn Clock,
    noted: &impl AsyncFn() -> Result<(), XrpcError>,
    desk: &mut Desk,
) -> Result<(), XrpcError> {
    let names: Vec<String> = desk.outgoing().map(|(name, _)| name.to_owned()).collect();
    if !names.is_empty() {
        account.hold_blobs(&names, clock.now_micros())?;
        noted().await?;
        for (name, bytes) in desk.outgoing() {
            blobs.put(name, bytes).await.map_err(away)?;
        }
        desk.sent();
    }
    for name in desk.wanted() {
        let bytes = blobs.get(&name, limits::MAX_BLOB_BYTES).await.map_err(away)?;
        desk.bring(&name, bytes);
    }
    Ok(())
}

pub(super) fn away(error: BlobsError) -> XrpcError {
    XrpcError::upstream("The blob storage does not answer").because(error)
}

/// A clock that stands still.
struct Still(u64);

impl Clock for Still {
    fn now_micros(&self) -> u64 {
        self.0
    }
}

/// Times that a call is made again at most: a part of an import has room for no more large memories.
const MAX_ROUNDS: usize = 16;

/// Blobs that one alarm deletes at most.
const SWEEP: u32 = 50;
