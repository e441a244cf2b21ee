//! Where an agent lives: here, or on another host.
//!
//! The directory keeps the row of an account that has moved away, that its owner has put to rest, or that was taken down. So a row
//! alone says neither that messages for it are delivered here nor that what it sends comes from a neighbour.
//!
//! Whether it is served its object knows best. So an agent that was seen to live here is asked itself, and the directory only when
//! that says no: between neighbours a message costs no query.

use std::cell::RefCell;
use std::collections::BTreeSet;

use murmuration_bridge::resolver::Purpose;
use murmuration_syntax::Did;
use serde::de::IgnoredAny;

use super::super::Host;
use super::super::agents::{AgentAnswer, read};
use super::super::directory::Status;
use crate::XrpcError;
use crate::agent::internal::InternalCall;

/// Agents that were seen to live here, as long as the isolate lives. That they still do is for their objects to say.
#[derive(Default)]
pub struct Residents(RefCell<BTreeSet<Did>>);

impl Residents {
    fn note(&self, did: &Did) {
        let mut seen = self.0.borrow_mut();
        if seen.len() >= MAX_RESIDENTS {
            seen.clear();
        }
        seen.insert(did.clone());
    }

    fn has(&self, did: &Did) -> bool {
        self.0.borrow().contains(did)
    }

    fn forget(&self, did: &Did) {
        self.0.borrow_mut().remove(did);
    }
}

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
            Some(entry) if entry.status == Status::Active => {
                self.residents.note(did);
                return Ok(Home::Here);
            }
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

    /// What an agent's object answers to `call`; `None` of an agent that lives elsewhere, or nowhere.
    ///
    /// # Errors
    /// As [`Host::home`]; those of a call that was not answered.
    pub(in crate::host) async fn ask_here(
        &self,
        did: &Did,
        call: impl Fn() -> InternalCall,
    ) -> Result<Option<AgentAnswer>, XrpcError> {
        if self.residents.has(did) {
            let answer = self.agents.call(did, call()).await?;
            if !says_unserved(&answer) {
                return Ok(Some(answer));
            }
            self.residents.forget(did);
        }
        match self.home(did).await? {
            Home::Elsewhere => Ok(None),
            Home::Here | Home::Hidden => self.agents.call(did, call()).await.map(Some),
        }
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

/// Whether an object says that it has no account that is served.
fn says_unserved(answer: &AgentAnswer) -> bool {
    let unserved = ["RepoNotFound", "RecipientNotFound", "AccountDeactivated", "AccountTakedown"];
    answer.status != 200 && read::<IgnoredAny>(answer).is_err_and(|error| unserved.contains(&error.error()))
}

/// Agents that an isolate keeps in mind, of some 80 bytes each.
const MAX_RESIDENTS: usize = 10_000;
