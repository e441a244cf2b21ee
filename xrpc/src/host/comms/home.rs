//! Where an agent lives: here, or on another host.
//!
//! The directory keeps the row of an account that has moved away, that its owner has put to rest, or that was taken down. So a row
//! alone says neither that messages for it are delivered here nor that what it sends comes from a neighbour.

use murmuration_bridge::resolver::Purpose;
use murmuration_syntax::Did;

use super::super::Host;
use super::super::directory::Status;
use crate::XrpcError;

/// Where an agent lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::host) enum Home {
    /// Here, and it is served.
    Here,
    /// Nowhere else, but it is not served: it is being made, at rest, or taken down.
    Hidden,
    /// On another host, or nowhere.
    Elsewhere,
}

impl Host<'_> {
    /// Where an agent lives. Of one that has a row here and is not served its DID document says so: what was learnt of it before is
    /// asked for again before it counts, for it may have moved since.
    ///
    /// # Errors
    /// 502 when whoever keeps the document does not answer; otherwise the directory's.
    pub(in crate::host) async fn home(&self, did: &Did) -> Result<Home, XrpcError> {
        match self.directory.by_did(did).await? {
            None => return Ok(Home::Elsewhere),
            Some(entry) if entry.status == Status::Active => return Ok(Home::Here),
            Some(_) => {}
        }
        for purpose in [Purpose::Authentication, Purpose::Refresh] {
            match self.document(did, purpose).await {
                Ok(document) if document.pds().is_ok_and(|pds| self.is_own_origin(pds)) => {}
                Err(error) if error.is_transient() => {
                    return Err(XrpcError::upstream(format!("{did} could not be resolved: {error}")));
                }
                // One whose document is not to be had is nobody's neighbour: whoever goes on with it hears why.
                Ok(_) | Err(_) => return Ok(Home::Elsewhere),
            }
        }
        Ok(Home::Hidden)
    }

    /// Whether an agent is a neighbour of those of this host: it lives here and is served. Nothing else makes it one, not even a
    /// document that names this host.
    pub(super) async fn is_neighbour(&self, did: &Did) -> Result<bool, XrpcError> {
        let entry = self.directory.by_did(did).await?;
        Ok(entry.is_some_and(|entry| entry.status == Status::Active))
    }

    fn is_own_origin(&self, origin: &str) -> bool {
        origin.trim_end_matches('/') == self.config.public_url
    }
}
