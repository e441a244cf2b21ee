//! Another agent, by what it publishes.

use murmuration_data::json;
use murmuration_envelope::Recipient;
use murmuration_keyring::{PublishedKeys, Seen};
use murmuration_syntax::Did;
use serde_json::Value as Json;

use crate::ClientError;

/// Another agent, to be sealed to.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer(PublishedKeys);

impl Peer {
    /// Reads the answer of `agent.identity.getKeys`, or the value of the record `agent.identity.keys/self`. Every proof is
    /// checked, and that the keys go on from those that were seen before; `None` when the agent is met for the first time.
    ///
    /// # Errors
    /// When they are none, were rolled back, or are by somebody else.
    pub fn read(did: &Did, answer: &Json, seen: Option<&Seen>) -> Result<Self, ClientError> {
        let published = PublishedKeys::from_ipld(did, json::from_value(answer)?)?;
        seen.map_or(Ok(()), |seen| published.goes_on_from(seen))?;
        Ok(Self(published))
    }

    /// What to keep of these keys, for the next time.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.0.seen()
    }

    /// Who it is.
    #[must_use]
    pub fn did(&self) -> &Did {
        self.0.did()
    }

    pub(crate) fn recipient(&self, now: u64) -> Result<Recipient, ClientError> {
        Ok(self.0.recipient(now)?)
    }
}
