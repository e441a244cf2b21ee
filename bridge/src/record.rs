//! A record of somebody else's repository, proven: the host that serves it is not believed.
//!
//! `com.atproto.sync.getRecord` answers with a signed commit and the nodes of the tree that lead to the record, or show that
//! there is none. The key that must have signed is that of the DID's document. What a host cannot make up, it can still hold back:
//! an old commit verifies, too, and so whoever reads keys this way keeps what it saw last.

use murmuration_platform::Outbound;
use murmuration_repo::{RepoError, verify_proof};
use murmuration_syntax::RepoPath;

use crate::{BridgeError, Document, fetch};

/// Fetches the record at `path` from the host that the document names: its DAG-CBOR, `None` when it is proven that there is none.
///
/// # Errors
/// [`BridgeError::Proof`] when the answer proves nothing, [`BridgeError::Unproven`] when the host says that there is nothing and
/// shows no proof; else as the fetch fails.
pub(crate) async fn fetch(
    outbound: &dyn Outbound,
    document: &Document,
    path: &RepoPath,
) -> Result<Option<Vec<u8>>, BridgeError> {
    let (did, key, pds) = (document.did(), document.signing_key()?, document.pds()?);
    let RepoPath { collection, rkey } = path;
    let url = format!("{pds}/xrpc/com.atproto.sync.getRecord?did={did}&collection={collection}&rkey={rkey}");
    let car = match fetch::status(outbound, &url, CAR, MAX_PROOF_BYTES).await? {
        (200, car) => car,
        (400 | 404, _) => return Err(BridgeError::Unproven(did.clone())),
        (status, _) => return Err(BridgeError::Status { url, status }),
    };
    let proven = verify_proof(&car, did, &key, path)?;
    match (proven.value, proven.record) {
        (None, _) => Ok(None),
        (Some(_), Some(record)) if record.len() > MAX_RECORD_BYTES => {
            Err(BridgeError::Answer { url, wanted: "a record of at most 64 KiB" })
        }
        (Some(_), Some(record)) => Ok(Some(record)),
        (Some(cid), None) => Err(RepoError::MissingBlock(cid).into()),
    }
}

const CAR: &str = "application/vnd.ipld.car";
/// Bytes of a record: what 32 epochs of keys take (`agent.identity.keys`), and what a cache can hold some hundreds of.
const MAX_RECORD_BYTES: usize = 64 * 1024;
/// Bytes of a proof: a record, and the nodes on the way to it, which are a few kilobytes each.
const MAX_PROOF_BYTES: usize = MAX_RECORD_BYTES + 256 * 1024;
