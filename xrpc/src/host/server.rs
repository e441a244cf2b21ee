//! The host itself, and the way into an account: `describeServer`, `createSession`, `/xrpc/_health`.

use data_encoding::BASE32_NOPAD;
use murmuration_syntax::{AtIdentifier, Did};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::directory::{Entry, Status};
use super::{Host, agents};
use crate::XrpcError;
use crate::agent::Args;
use crate::http::{Body, Response};

impl Host<'_> {
    /// `com.atproto.server.describeServer`
    pub(crate) fn describe_server(&self) -> Result<Response, XrpcError> {
        Response::json(&json!({
            "did": self.config.service_did(),
            "availableUserDomains": self.config.user_domains,
            "inviteCodeRequired": self.config.invite_required,
            "blobUploadLimit": self.config.blob_limit_bytes,
            "links": {},
            "contact": {},
        }))
    }

    /// `com.atproto.server.createSession`: finds the account by any of its names, and has it judge the password.
    ///
    /// Somebody nobody knows is looked for in the same way: in an object that no account can have, which hashes the
    /// password as any other does and refuses it in the same words. Neither time nor text says whether an account exists.
    pub(crate) async fn create_session(&self, input: &Args) -> Result<Response, XrpcError> {
        let password = input.text("password").unwrap_or_default();
        if password.chars().count() > MAX_PASSWORD_CHARS {
            return Err(XrpcError::auth_required("Password too long. Consider resetting your password."));
        }
        let identifier = input.text("identifier").unwrap_or_default().trim().to_lowercase();
        let entry = self.login(&identifier).await?;
        let did = match &entry {
            Some(entry) => entry.did.clone(),
            None => decoy(&identifier)?,
        };
        let allow_takendown = input.flag("allowTakendown").unwrap_or(false);
        let outcome = agents::begin_session(self.agents, &did, password.to_owned(), allow_takendown).await;
        match outcome {
            Ok(response) => {
                if let Some(entry) = &entry {
                    self.mend(entry, &response).await;
                }
                Ok(response)
            }
            Err(error) if error.error() == "RepoNotFound" => Err(wrong()),
            Err(error) => Err(error),
        }
    }

    /// Sees that the directory says of an account what its object does, whose answer to a new session this is. What died
    /// between the two is completed here. If that fails, the next session does it.
    async fn mend(&self, entry: &Entry, answer: &Response) {
        if entry.status == Status::Reserved {
            // The account is there, and its creation died before it could say so.
            let _ = self.directory.activate(&entry.did).await;
        }
        let Body::Json(session) = &answer.body else { return };
        if let Ok(Holder { email }) = serde_json::from_str(session) {
            self.mend_address(entry, email.as_deref()).await;
        }
    }

    /// `/xrpc/_health`: the version, when the directory answers too.
    ///
    /// # Errors
    /// 503 when it does not.
    pub async fn health(&self, version: &str) -> Result<Response, XrpcError> {
        match self.directory.page(None, 1).await {
            Ok(_) => Response::json(&json!({ "version": version })),
            Err(_) => {
                let body = json!({ "version": version, "error": "Service Unavailable" });
                Ok(Response { status: 503, ..Response::json(&body)? })
            }
        }
    }

    /// The account that somebody names: by e-mail address, handle or DID, whatever its status.
    async fn login(&self, identifier: &str) -> Result<Option<Entry>, XrpcError> {
        Ok(if identifier.contains('@') {
            self.directory.by_email(identifier).await?
        } else {
            match AtIdentifier::parse(identifier) {
                Ok(AtIdentifier::Handle(handle)) => self.directory.by_handle(&handle).await?,
                Ok(AtIdentifier::Did(did)) => self.directory.by_did(&did).await?,
                Err(_) => None,
            }
        })
    }
}

/// Whose session it is, as far as the directory must know it.
#[derive(Deserialize)]
struct Holder {
    #[serde(default)]
    email: Option<String>,
}

/// The object in which somebody nobody knows is looked for: one for each name, so that all of them together wait for
/// each other no more than accounts do. Its DID is a hash of a text that is no operation.
fn decoy(identifier: &str) -> Result<Did, XrpcError> {
    let hash = Sha256::new().chain_update("no account: ").chain_update(identifier).finalize();
    let id: String = BASE32_NOPAD.encode(&hash).to_ascii_lowercase().chars().take(DID_CHARS).collect();
    Did::parse(&format!("did:plc:{id}")).map_err(XrpcError::internal)
}

/// The one answer to a wrong name and to a wrong password.
fn wrong() -> XrpcError {
    XrpcError::auth_required("Invalid identifier or password")
}

/// Characters of a password that is looked at (reference server).
pub(super) const MAX_PASSWORD_CHARS: usize = 512;
/// Characters of a did:plc after its prefix.
const DID_CHARS: usize = 24;
