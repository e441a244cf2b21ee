//! The directory's HTTP interface.

use murmuration_data::Cid;
use murmuration_platform::Outbound;
use murmuration_syntax::Did;

use super::{AuditEntry, Operation, Verified, verify, verify_audit, verify_next};
use crate::{BridgeError, Document, fetch};

/// A PLC directory.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    origin: &'a str,
    outbound: &'a dyn Outbound,
}

impl<'a> Client<'a> {
    /// The directory at an origin such as `https://plc.directory`, without a slash at the end.
    #[must_use]
    pub fn new(origin: &'a str, outbound: &'a dyn Outbound) -> Self {
        Self { origin, outbound }
    }

    /// Submits an operation. It may be repeated: where the directory has it already, that is success.
    ///
    /// A refusal or a lost answer is checked against the directory's last operation before it counts as a failure, so
    /// that a request whose answer was lost does not look as if it had never been made.
    ///
    /// # Errors
    /// [`BridgeError::Refused`] when the directory will not have it; [`BridgeError::Outbound`] or
    /// [`BridgeError::Status`] when it is not known whether it has it.
    pub async fn submit(&self, did: &Did, operation: &Operation) -> Result<(), BridgeError> {
        let url = self.url(did, "")?;
        let failure =
            match fetch::post_json(self.outbound, &url, operation.to_json()?, MAX_NOTICE_BYTES).await {
                Ok((200..=299, _)) => return Ok(()),
                Ok((status @ 400..=499, body)) if status != 429 => BridgeError::Refused(notice(&body)),
                Ok((status, _)) => BridgeError::Status { url, status },
                Err(error) => error,
            };
        match self.last_operation(did).await {
            Ok(last) if last.cid() == operation.cid() => Ok(()),
            _ => Err(failure),
        }
    }

    /// The DID's document, made from its log: what the directory says of the document is not asked for. So it can withhold
    /// the last operations, and no more.
    ///
    /// # Errors
    /// [`BridgeError::DidDeactivated`] when it has ended; else as [`Client::verified`].
    pub async fn document(&self, did: &Did) -> Result<Document, BridgeError> {
        let state = self.verified(did).await?.state;
        let state = state.ok_or_else(|| BridgeError::DidDeactivated(did.clone()))?;
        Ok(Document::of_state(did, &state))
    }

    /// The last operation in force, as the directory tells it: what an update follows.
    ///
    /// # Errors
    /// [`BridgeError::DidNotFound`] when there is no such DID; else as the fetch fails.
    pub async fn last_operation(&self, did: &Did) -> Result<Operation, BridgeError> {
        Operation::from_json(&self.get(did, "/log/last", "application/json", MAX_OPERATION_JSON_BYTES).await?)
    }

    /// The DID's state, from its log of operations in force, verified from the genesis on.
    ///
    /// # Errors
    /// As [`verify`]; [`BridgeError::DidNotFound`] when there is no such DID; else as the fetch fails.
    pub async fn verified(&self, did: &Did) -> Result<Verified, BridgeError> {
        verify(did, &self.log(did).await?)
    }

    /// The DID's operations in force, verified from the genesis on.
    ///
    /// # Errors
    /// As [`Client::verified`].
    pub async fn operations(&self, did: &Did) -> Result<Vec<Operation>, BridgeError> {
        let log = self.log(did).await?;
        verify(did, &log)?;
        Ok(log)
    }

    /// Every key, as `did:key`, that the DID names or has named for its repository, from its log of operations in force,
    /// verified from the genesis on. The last one comes first, and each once.
    ///
    /// # Errors
    /// As [`Client::verified`].
    pub async fn signing_keys(&self, did: &Did) -> Result<Vec<String>, BridgeError> {
        let log = self.operations(did).await?;
        let mut keys: Vec<String> = Vec::new();
        for state in log.iter().rev().filter_map(Operation::state) {
            keys.extend(
                state.signing_key().filter(|key| !keys.iter().any(|known| known == key)).map(str::to_owned),
            );
        }
        Ok(keys)
    }

    /// The DID's state, from its audit log: as [`Client::verified`], and forks are judged too.
    ///
    /// # Errors
    /// As [`verify_audit`]; [`BridgeError::DidNotFound`] when there is no such DID; else as the fetch fails.
    pub async fn audited(&self, did: &Did) -> Result<Verified, BridgeError> {
        verify_audit(did, &self.audit_log(did).await?)
    }

    /// Judges an operation that somebody else signed, against the DID's audit log: whether the directory may take it now,
    /// or has it in force already as the last one. The answer is the DID's state without it.
    ///
    /// # Errors
    /// As [`Client::audited`] and [`verify_next`].
    pub async fn judge(
        &self,
        did: &Did,
        operation: &Operation,
        now_millis: u64,
    ) -> Result<Verified, BridgeError> {
        let log = self.audit_log(did).await?;
        let verified = verify_audit(did, &log)?;
        if verified.tip != operation.cid() {
            verify_next(did, &log, operation, now_millis)?;
        }
        Ok(verified)
    }

    async fn log(&self, did: &Did) -> Result<Vec<Operation>, BridgeError> {
        let body = self.get(did, "/log", "application/json", MAX_LOG_BYTES).await?;
        serde_json::from_slice(&body).map_err(|_| BridgeError::Log("is not a list of operations"))
    }

    async fn audit_log(&self, did: &Did) -> Result<Vec<AuditEntry>, BridgeError> {
        let body = self.get(did, "/log/audit", "application/json", MAX_LOG_BYTES).await?;
        serde_json::from_slice(&body).map_err(|_| BridgeError::Log("is not a list of entries"))
    }

    /// The CID of the last operation in force; `None` when the directory has no such DID.
    ///
    /// # Errors
    /// As the fetch fails.
    pub async fn tip(&self, did: &Did) -> Result<Option<Cid>, BridgeError> {
        match self.last_operation(did).await {
            Ok(operation) => Ok(Some(operation.cid())),
            Err(BridgeError::DidNotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn get(
        &self,
        did: &Did,
        suffix: &str,
        accept: &str,
        max_bytes: usize,
    ) -> Result<Vec<u8>, BridgeError> {
        let body = fetch::get(self.outbound, &self.url(did, suffix)?, accept, max_bytes).await?;
        body.ok_or_else(|| BridgeError::DidNotFound(did.clone()))
    }

    fn url(&self, did: &Did, suffix: &str) -> Result<String, BridgeError> {
        let id = did.as_str().strip_prefix("did:plc:").unwrap_or_default();
        if id.len() != 24 || !id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')) {
            return Err(BridgeError::UnsupportedMethod(did.clone()));
        }
        Ok(format!("{}/{did}{suffix}", self.origin))
    }
}

/// What the directory says when it refuses: the `message` of its JSON answer, shortened.
fn notice(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Notice {
        message: String,
    }
    let message = serde_json::from_slice::<Notice>(body).map(|notice| notice.message).unwrap_or_default();
    message.chars().take(MAX_NOTICE_CHARS).collect()
}

/// Bytes of the directory's answer to a submitted operation.
const MAX_NOTICE_BYTES: usize = 16 * 1024;
/// Characters of its message that are kept.
const MAX_NOTICE_CHARS: usize = 200;
/// Bytes of one operation as JSON: the encoded limit of 7,500 with room for escapes.
const MAX_OPERATION_JSON_BYTES: usize = 32 * 1024;
/// Bytes of a log: over a thousand operations. The directory takes at most 100 a week for a DID.
const MAX_LOG_BYTES: usize = 1024 * 1024;
