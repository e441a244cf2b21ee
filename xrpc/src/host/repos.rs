//! Repositories seen from the host: `com.atproto.sync.listRepos` and `com.atproto.repo.describeRepo`.

use futures_util::future::join_all;
use murmuration_bridge::resolver::Purpose;
use murmuration_bridge::{BridgeError, Document};
use murmuration_platform::OutboundError;
use murmuration_syntax::{Did, Handle};
use serde_json::{Map, Value as Json, json};

use super::{Host, agents};
use crate::XrpcError;
use crate::agent::Args;
use crate::agent::internal::Description;
use crate::http::Response;

impl Host<'_> {
    /// `com.atproto.sync.listRepos`: a page of the directory, all of its accounts asked at once where their repositories stand.
    ///
    /// The cursor is the last DID of the page. An account that does not answer is left out, so that one broken object does
    /// not end the list for everyone; its events tell of it.
    pub(crate) async fn list_repos(&self, params: &Args) -> Result<Response, XrpcError> {
        let limit = params.number("limit").unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
        let cursor = params.text("cursor").filter(|cursor| !cursor.is_empty());
        if cursor.is_some_and(|cursor| Did::parse(cursor).is_err()) {
            return Err(XrpcError::invalid("Malformed cursor"));
        }
        let dids = self.directory.page(cursor, limit).await?;
        let asked = dids.iter().map(|did| agents::describe(self.agents, did, false));
        let repos: Vec<Json> = join_all(asked).await.into_iter().flatten().flatten().map(listed).collect();
        let mut answer = Map::new();
        if let Some(last) = dids.last()
            && usize::try_from(limit).is_ok_and(|limit| dids.len() == limit)
        {
            answer.insert("cursor".into(), last.as_str().into());
        }
        answer.insert("repos".into(), repos.into());
        Response::json(&answer)
    }

    /// `com.atproto.repo.describeRepo`
    pub(crate) async fn describe_repo(&self, params: &Args) -> Result<Response, XrpcError> {
        let repo = params.text("repo").unwrap_or_default();
        let did = self.locate(repo).await?.ok_or_else(|| XrpcError::repo_not_found(repo))?;
        let account = agents::describe(self.agents, &did, true)
            .await?
            .ok_or_else(|| XrpcError::repo_not_found(&did))?;
        if !account.active {
            return Err(match account.status.as_deref() {
                Some("takendown") => {
                    XrpcError::named("RepoTakendown", format!("Repo has been takendown: {did}"))
                }
                _ => XrpcError::named("RepoDeactivated", format!("Repo has been deactivated: {did}")),
            });
        }
        let document = self.own_document(&account).await?;
        Response::json(&json!({
            "handle": account.handle,
            "did": did,
            "didDoc": document.json(),
            "collections": account.collections,
            "handleIsCorrect": document.handle().as_ref() == Some(&account.handle),
        }))
    }

    /// The document of an account of this host. When its directory is away and no recent answer is left, it is what this
    /// host last had it say, so that the host's own accounts do not depend on the directory.
    ///
    /// # Errors
    /// `InvalidRequest` when the DID has ended or its document breaks a rule.
    pub async fn own_document(&self, account: &Description) -> Result<Document, XrpcError> {
        if self.states_document_of(&account.did) {
            return self.stated_document(account).await;
        }
        match self.resolver().document(&account.did, Purpose::Display).await {
            Ok(document) => Ok(Document::clone(&document)),
            Err(error) if says_nothing(&error) => self.stated_document(account).await,
            Err(error) => Err(XrpcError::invalid(format!("Could not resolve DID: {error}"))),
        }
    }

    /// The document of any DID, as everything here resolves one: of an account that this host serves also when whoever keeps
    /// it says nothing of use. The account's key is this host's to know.
    ///
    /// # Errors
    /// As [`Resolver::document`](murmuration_bridge::Resolver::document).
    pub async fn document(&self, did: &Did, purpose: Purpose) -> Result<Document, BridgeError> {
        self.found(did, purpose).await.map(|(document, _)| document)
    }

    /// The same, and whether it is only what this host says of an account of its own.
    pub(super) async fn found(&self, did: &Did, purpose: Purpose) -> Result<(Document, bool), BridgeError> {
        let failure = match self.states_document_of(did) {
            true => BridgeError::DidNotFound(did.clone()),
            false => match self.resolver().document(did, purpose).await {
                Ok(document) => return Ok((Document::clone(&document), false)),
                Err(error) if says_nothing(&error) => error,
                Err(error) => return Err(error),
            },
        };
        let stated = async {
            match self.own_account(did).await? {
                Some(account) if account.active || purpose == Purpose::Display => {
                    self.stated_document(&account).await.map(Some)
                }
                _ => Ok(None),
            }
        };
        match stated.await {
            Ok(Some(document)) => Ok((document, true)),
            Ok(None) => Err(failure),
            Err(error) => {
                let error = XrpcError::to_string(&error);
                Err(OutboundError::Unreachable(format!("the account of {did}: {error}")).into())
            }
        }
    }

    /// The account of this host with that DID. Nobody wakes an object by a DID of their own making.
    pub(super) async fn own_account(&self, did: &Did) -> Result<Option<Description>, XrpcError> {
        match self.directory.by_did(did).await? {
            Some(_) => agents::describe(self.agents, did, false).await,
            None => Ok(None),
        }
    }

    /// Whether a DID is one whose document this host gives out: a did:web under its domains.
    pub(super) fn states_document_of(&self, did: &Did) -> bool {
        let host = did.as_str().strip_prefix("did:web:").unwrap_or_default();
        Handle::parse(host).is_ok_and(|host| self.user_domains().govern(&host))
    }
}

/// Whether whoever keeps a document has not said what it is: they are away, or what they say does not verify.
const fn says_nothing(error: &BridgeError) -> bool {
    let nonsense = matches!(
        error,
        BridgeError::Log(_) | BridgeError::Operation(_) | BridgeError::Signature | BridgeError::Answer { .. }
    );
    nonsense || error.is_transient()
}

/// A row of `listRepos`.
fn listed(account: Description) -> Json {
    let mut row = Map::new();
    row.insert("did".into(), account.did.as_str().into());
    row.insert("head".into(), account.head.into());
    row.insert("rev".into(), account.rev.into());
    row.insert("active".into(), account.active.into());
    if let Some(status) = account.status {
        row.insert("status".into(), status.into());
    }
    row.into()
}

/// Accounts of a page. The lexicon allows 1,000; each of these costs a call of an object, and a request may make 1,000
/// in all.
const MAX_PAGE: u32 = 100;
