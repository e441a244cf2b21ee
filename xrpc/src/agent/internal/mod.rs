//! What the Worker asks of an agent's object beside XRPC.
//!
//! These calls come from the host's own Worker through the object's stub and from nowhere else: the Worker forwards no
//! outside path here. They carry what a client must not send itself: the keys of a new account, where a blob lies.

mod agency;
pub(in crate::agent) mod arrival;
pub mod comms;
pub mod deliveries;
pub mod handoff;
mod identity;
mod ingest;
pub mod mail;
pub mod memory;
pub mod operator;
mod proxy;
mod session;

pub use agency::{AgencyCall, Begun, Rotated, Unnamed, value as profile_value};
pub use identity::IdentityCall;
pub use ingest::{IngestCall, Learned, Said, Unread, UnreadTurn};
pub use proxy::{ProxyCall, Recent, Written};
pub use session::{Holdings, SessionCall};

use murmuration_account::{Blob, NewAccount};
use murmuration_data::Cid;
use murmuration_keys::{Curve, SigningKey};
use murmuration_syntax::{Did, Handle};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json as object};

use super::{Context, check_standing, server, sync};
use crate::XrpcError;
use crate::auth;
use crate::http::Response;
use crate::method::{Auth, Standing};
use crate::token::Scope;

/// A call of the Worker. Its JSON is the body of a POST to `https://internal/`.
///
/// It has passwords, codes and keys in it, so it and what has them has no form for a log.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum InternalCall {
    /// Make the account, announce it, and begin its first session.
    CreateAccount(AccountSeed),
    /// Wipe the object: the account could not be finished. The object does it, for it holds the storage.
    Destroy,
    /// Begin a session if the password is right.
    CreateSession {
        /// The password.
        password: String,
        /// Whether an account that is taken down may have a session that does next to nothing.
        allow_takendown: bool,
    },
    /// Expect an upload, whose bytes are about to be stored.
    ExpectBlob {
        /// Who uploads, verified by the Worker.
        uploader: Did,
        /// The key of the bytes.
        key: String,
    },
    /// Note an upload that was expected.
    AddBlob {
        /// Who uploads, verified by the Worker: a service token would take the object an answer of another host.
        uploader: Did,
        /// The upload.
        blob: BlobEntry,
    },
    /// Say where a blob lies that the caller may read.
    FindBlob {
        /// The caller's `Authorization` header.
        authorization: Option<String>,
        /// The blob.
        cid: String,
    },
    /// Say who the account is, and where its repository stands.
    Describe {
        /// Whether to name its collections, which costs a row read for each.
        collections: bool,
    },
    /// A change of who the account is.
    Identity(IdentityCall),
    /// What hangs on mail: codes, the address, the password.
    Mail(mail::MailCall),
    /// What the operator does.
    Operator(operator::OperatorCall),
    /// A call about whether the account is served.
    Session(SessionCall),
    /// Speak to another service.
    Proxy(ProxyCall),
    /// Bring messages from one agent to another.
    Comms(comms::CommsCall),
    /// Hand messages over, or take them over.
    Handoff(handoff::HandoffCall),
    /// Share memories, or read what others share.
    Memory(memory::MemoryCall),
    /// A call about an agent.
    Agency(AgencyCall),
    /// Read messages for memories.
    Ingest(IngestCall),
}

/// What an account is made from.
#[derive(Deserialize, Serialize)]
pub struct AccountSeed {
    /// Its DID.
    pub did: Did,
    /// Its handle.
    pub handle: Handle,
    /// Its e-mail address, in lower case.
    pub email: Option<String>,
    /// Its password.
    pub password: String,
    /// The secret K-256 key that signs its commits, in lower-case hexadecimal.
    pub signing_key: String,
    /// Whether it begins deactivated, because it moves in from another host.
    pub deactivated: bool,
}

/// A blob whose bytes the Worker has stored.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobEntry {
    /// The hash of the bytes.
    pub cid: String,
    /// Where the bytes lie.
    pub key: String,
    /// What the bytes are.
    pub mime_type: String,
    /// How many bytes.
    pub size: u64,
}

/// Who an account is, and where its repository stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// Its DID.
    pub did: Did,
    /// Its handle.
    pub handle: Handle,
    /// Whether it is active.
    pub active: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The last commit.
    pub head: String,
    /// Its revision.
    pub rev: String,
    /// The public half of the key that signs its commits, as `did:key`.
    pub signing_key: String,
    /// The collections that hold a record, if they were asked for.
    pub collections: Vec<String>,
}

/// Answers a call of the Worker.
///
/// # Errors
/// What the Worker is to tell its caller.
pub fn answer(context: &Context<'_>, call: InternalCall) -> Result<Response, XrpcError> {
    match call {
        InternalCall::CreateAccount(seed) => create_account(context, seed),
        InternalCall::Destroy => Err(XrpcError::internal("the object wipes itself")),
        InternalCall::FindBlob { authorization, cid } => find_blob(context, authorization.as_deref(), &cid),
        InternalCall::CreateSession { password, allow_takendown } => {
            session::begin(context, &password, allow_takendown)
        }
        InternalCall::Session(call) => session::answer(context, call),
        InternalCall::ExpectBlob { uploader, key } => expect_blob(context, &uploader, &key),
        InternalCall::AddBlob { uploader, blob } => add_blob(context, &uploader, &blob),
        InternalCall::Describe { collections } => describe(context, collections),
        InternalCall::Identity(call) => identity::answer(context, call),
        InternalCall::Mail(call) => mail::answer(context, call),
        InternalCall::Operator(call) => operator::answer(context, call),
        InternalCall::Proxy(call) => proxy::answer(context, call),
        InternalCall::Comms(call) => comms::answer(context, call),
        InternalCall::Handoff(call) => handoff::answer(context, call),
        InternalCall::Memory(call) => memory::answer(context, call),
        InternalCall::Agency(call) => agency::answer(context, call),
        InternalCall::Ingest(call) => ingest::answer(context, call),
    }
}

fn create_account(context: &Context<'_>, seed: AccountSeed) -> Result<Response, XrpcError> {
    let bad_key = || XrpcError::internal("the signing key is not 32 bytes of hexadecimal");
    let secret = data_encoding::HEXLOWER.decode(seed.signing_key.as_bytes()).map_err(|_| bad_key())?;
    let secret = <[u8; 32]>::try_from(secret).map_err(|_| bad_key())?;
    let account = NewAccount {
        did: seed.did,
        handle: seed.handle,
        email: seed.email,
        password: seed.password,
        signing_key: SigningKey::from_bytes(Curve::K256, &secret).map_err(|_| bad_key())?,
        deactivated: seed.deactivated,
    };
    context.account.create(account, context.entropy, context.clock.now_micros())?;
    Response::json(&server::begin(context, Scope::Access, None)?)
}

fn expect_blob(context: &Context<'_>, uploader: &Did, key: &str) -> Result<Response, XrpcError> {
    check_uploader(context, uploader)?;
    let (now, patience) = (context.clock.now_micros(), context.config.upload_patience_micros());
    context.account.expect_blob(key, now, patience)?;
    Ok(Response::empty())
}

fn check_uploader(context: &Context<'_>, uploader: &Did) -> Result<(), XrpcError> {
    let profile = context.account.profile()?;
    if profile.did != *uploader {
        return Err(XrpcError::auth_required("Authentication Required"));
    }
    check_standing(Standing::NotTakendown, &profile)
}

fn add_blob(context: &Context<'_>, uploader: &Did, entry: &BlobEntry) -> Result<Response, XrpcError> {
    check_uploader(context, uploader)?;
    let blob = Blob {
        cid: Cid::try_from(entry.cid.as_str()).map_err(XrpcError::internal)?,
        key: entry.key.clone(),
        mime_type: entry.mime_type.clone(),
        size: entry.size,
    };
    let key = context.account.add_blob(&blob, context.clock.now_micros())?;
    Response::json(&BlobEntry { key, ..entry.clone() })
}

fn find_blob(context: &Context<'_>, authorization: Option<&str>, cid: &str) -> Result<Response, XrpcError> {
    let wanted = Auth::OptionalEvenTakendown;
    let caller = auth::authenticate(context.config, wanted, authorization, context.now_seconds())?;
    let profile = context.account.profile()?;
    sync::may_read(&caller, &profile)?;
    let cid = Cid::try_from(cid).map_err(|_| XrpcError::invalid("cid must be a valid cid"))?;
    // What is in quarantine is shown to those who must judge it, and to its owner, who has it anyway.
    let found = context.account.blob(&cid, caller.is_owner_or_operator(&profile.did))?;
    let blob = found.ok_or_else(|| XrpcError::named("BlobNotFound", "Blob not found"))?;
    Response::json(&BlobEntry {
        cid: cid.to_string(),
        key: blob.key,
        mime_type: blob.mime_type,
        size: blob.size,
    })
}

fn describe(context: &Context<'_>, collections: bool) -> Result<Response, XrpcError> {
    let (profile, head) = (context.account.profile()?, context.account.head()?);
    let names = if collections { context.account.collections()? } else { Vec::new() };
    let collections: Vec<Json> = names.iter().map(|name| Json::from(name.as_str())).collect();
    let mut view = sync::status(&profile);
    view.insert("handle".into(), profile.handle.as_str().into());
    view.insert("head".into(), head.cid.to_string().into());
    view.insert("rev".into(), head.rev.to_string().into());
    view.insert("signingKey".into(), context.account.signing_key()?.into());
    view.insert("collections".into(), object!(collections));
    Response::json(&view)
}
