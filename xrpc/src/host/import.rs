//! Who may have signed a repository that moves in.

use murmuration_bridge::BridgeError;
use murmuration_bridge::resolver::Purpose;
use murmuration_syntax::Did;

use super::Host;
use crate::XrpcError;

impl Host<'_> {
    /// The keys, as `did:key`, with which the commits of an account may be signed that it brings along: those that its DID
    /// names or, where the DID's method keeps its history, has ever named. A backup is older than the last change of keys
    /// when it is needed most.
    ///
    /// # Errors
    /// `UpstreamFailure` when the DID cannot be resolved.
    pub async fn import_keys(&self, did: &Did) -> Result<Vec<String>, XrpcError> {
        let unresolved = |error: BridgeError| {
            XrpcError::upstream("The account's DID could not be resolved").because(error)
        };
        if did.method() == "plc" {
            return self.resolver().plc().signing_keys(did).await.map_err(unresolved);
        }
        let document = self.resolver().document(did, Purpose::Refresh).await.map_err(unresolved)?;
        Ok(document.signing_key().map(|key| key.did_key()).into_iter().collect())
    }
}
