//! `com.atproto.server.createAccount`: an account in four places, or in none.
//!
//! ```text
//!  directory: reserve ──> PLC: genesis ──> object: account, keys, events ──> directory: activate
//!       │ release            │ tombstone        │ destroy
//!       └────────────────────┴──────────────────┴─── undone from the right when a later step fails
//! ```
//!
//! The order has reasons. No event is sequenced before the PLC directory has the DID, so that a relay that resolves it at
//! once finds it. A handle resolves from the moment it is reserved, because an AppView asks for it as soon as it sees the
//! event. And the object is destroyed before its DID is ended: an account without a DID would be worse than a DID without
//! an account.
//!
//! When the Worker itself dies in between, or a step of the undoing fails, a row stays behind whose object is empty. The
//! next one who asks for its handle or address takes it over, when it is old enough that nobody can still be working on it.
//! A row whose object does hold the account is completed instead: its owner has it, and can log in.

use murmuration_bridge::handle::Refusal;
use murmuration_bridge::plc::{Operation, State};
use murmuration_bridge::resolver::Purpose;
use murmuration_bridge::{BridgeError, Document, cf, web};
use murmuration_keys::{Curve, SigningKey};
use murmuration_syntax::{Did, Handle};
use serde_json::json;

use super::agents::{self, FirstSession};
use super::directory::{Entry, Reservation, Status};
use super::signup::{Signup, handle_refused};
use super::{Host, HostCall, private};
use crate::XrpcError;
use crate::agent::internal::AccountSeed;
use crate::auth::Caller;
use crate::http::Response;

impl Host<'_> {
    /// `com.atproto.server.createAccount`
    pub(crate) async fn create_account(&self, call: &HostCall) -> Result<Response, XrpcError> {
        private(self.sign_up(call).await)
    }

    async fn sign_up(&self, call: &HostCall) -> Result<Response, XrpcError> {
        let signup = Signup::read(self.config, &call.input)?;
        let given_out = self.gives_out(&signup.handle)?;
        // A name of this host makes a did:web, and nobody else has a say in it.
        let own = given_out && call.caller == Caller::Anyone;
        match &signup.did {
            Some(did) if !own || !is_did_of(did, &signup.handle) => {
                return self.move_in(&call.caller, did, &signup).await;
            }
            None if !given_out => return Err(handle_refused(Refusal::UnsupportedDomain)),
            _ => {}
        }
        if let Some(did) = &signup.did {
            self.check_vacant(did).await?;
        }
        let (signing_key, did, genesis) = self.draw(&signup)?;
        self.register(&did, &signup, genesis.as_ref()).await?;
        let seed = self.seed(&did, &signup, &signing_key, false);
        let session = match self.install(&did, seed).await {
            Ok(session) => session,
            Err(error) => {
                self.undo_account(&did).await;
                return Err(error);
            }
        };
        let stated = Document::atproto(&did, &signup.handle, &signing_key.did_key(), &self.config.public_url);
        let document = match genesis {
            // As the world sees it, or as it must be if the directory is slow.
            Some(_) => match self.resolver().document(&did, Purpose::Refresh).await {
                Ok(document) => document.json().clone(),
                Err(_) => stated.json().clone(),
            },
            None => stated.json().clone(),
        };
        Response::json(&json!({
            "handle": signup.handle,
            "did": did,
            "didDoc": document,
            "accessJwt": session.access_jwt,
            "refreshJwt": session.refresh_jwt,
        }))
    }

    /// Refuses a did:web that an account has here, or that an agent had.
    pub(super) async fn check_vacant(&self, did: &Did) -> Result<(), XrpcError> {
        if agents::describe(self.agents, did, false).await?.is_some() {
            return Err(already_exists(did));
        }
        match self.directory.agent(did).await? {
            Some(row) if row.ended => {
                let message = format!("{did} was an agent's, and is nobody else's");
                Err(XrpcError::named("HandleNotAvailable", message))
            }
            _ => Ok(()),
        }
    }

    /// A signing key for an account, its DID, and what makes the DID, if this host makes it.
    pub(super) fn draw(&self, signup: &Signup) -> Result<(SigningKey, Did, Option<Operation>), XrpcError> {
        let signing_key = SigningKey::generate(Curve::K256, |bytes| self.entropy.fill(bytes))
            .map_err(XrpcError::internal)?;
        if let Some(did) = &signup.did {
            return Ok((signing_key, did.clone(), None));
        }
        let genesis = self.genesis(signup, &signing_key).map_err(XrpcError::internal)?;
        let did = genesis.did().map_err(XrpcError::internal)?;
        Ok((signing_key, did, Some(genesis)))
    }

    /// Takes the names of an account, and registers its DID, or does neither.
    pub(super) async fn register(
        &self,
        did: &Did,
        signup: &Signup,
        genesis: Option<&Operation>,
    ) -> Result<(), XrpcError> {
        self.reserve(did, signup, Status::Reserved).await?;
        if let Some(genesis) = genesis
            && let Err(error) = self.resolver().plc().submit(did, genesis).await
        {
            self.undo_registration(did).await;
            return Err(match error {
                BridgeError::Refused(_) => XrpcError::internal(error),
                _ => XrpcError::upstream("The PLC directory could not be reached"),
            });
        }
        Ok(())
    }

    /// The first operation of the account's DID. The owner's recovery key stands first: it may undo what the host signs.
    fn genesis(&self, signup: &Signup, signing_key: &SigningKey) -> Result<Operation, BridgeError> {
        let own = self.config.plc_rotation_key.did_key();
        let recovery = signup.recovery_key.iter().filter(|key| **key != own).cloned();
        let rotation_keys = recovery.chain([own.clone()]).collect();
        let state =
            State::atproto(&signup.handle, &signing_key.did_key(), &self.config.public_url, rotation_keys);
        Operation::genesis(state, &self.config.plc_rotation_key)
    }

    /// What the object makes the account from.
    pub(super) fn seed(
        &self,
        did: &Did,
        signup: &Signup,
        signing_key: &SigningKey,
        deactivated: bool,
    ) -> AccountSeed {
        AccountSeed {
            did: did.clone(),
            handle: signup.handle.clone(),
            email: signup.email.clone(),
            // Nobody knows this one, so nobody logs in with it.
            password: signup.password.clone().unwrap_or_else(|| self.random_hex()),
            signing_key: data_encoding::HEXLOWER.encode(&*signing_key.to_bytes()),
            deactivated,
        }
    }

    /// Takes the names, from an abandoned reservation if need be.
    pub(super) async fn reserve(&self, did: &Did, signup: &Signup, status: Status) -> Result<(), XrpcError> {
        let entry = Entry {
            did: did.clone(),
            handle: signup.handle.clone(),
            email: signup.email.clone(),
            status,
            created_at_millis: self.now_millis(),
            change: None,
        };
        for _ in 0..RESERVE_ATTEMPTS {
            let (taken, error) = match self.directory.reserve(&entry).await? {
                Reservation::Made => return self.invited(did, signup).await,
                Reservation::HandleTaken(taken) => {
                    let message = format!("Handle already taken: {}", signup.handle);
                    (taken, XrpcError::named("HandleNotAvailable", message))
                }
                Reservation::EmailTaken(taken) => {
                    (taken, XrpcError::invalid(format!("Email already taken: {}", signup.typed_email)))
                }
                Reservation::DidTaken(taken) => (taken, already_exists(did)),
            };
            if !self.reclaim(&taken).await {
                return Err(error);
            }
        }
        Err(XrpcError::internal("the names were taken again and again"))
    }

    /// Clears away a row that no account stands behind, or a change of a handle that died. `false` when the names are in
    /// use, or may be.
    pub(super) async fn reclaim(&self, entry: &Entry) -> bool {
        if entry.change.as_ref().is_some_and(|change| change.is_dead(self.now_millis())) {
            return self.settle_change(entry).await.is_ok();
        }
        if !entry.is_settled(self.now_millis()) {
            return false;
        }
        match agents::describe(self.agents, &entry.did, false).await {
            Ok(None) => {
                // Only a reservation is of a DID that was made here and for nothing else.
                if entry.status == Status::Reserved {
                    self.bury(&entry.did).await;
                }
                self.release(&entry.did).await.is_ok()
            }
            Ok(Some(_)) => {
                if entry.status == Status::Reserved {
                    // Best effort: whoever logs in to the account or asks for its name again comes by here.
                    let _ = self.directory.activate(&entry.did).await;
                }
                false
            }
            Err(_) => false,
        }
    }

    /// Makes the account in its object and enters it in the directory.
    async fn install(&self, did: &Did, seed: AccountSeed) -> Result<FirstSession, XrpcError> {
        let session = agents::create(self.agents, seed).await.map_err(XrpcError::internal)?;
        self.activate_reserved(did).await?;
        Ok(session)
    }

    /// Makes a reservation an account: its object has it.
    pub(super) async fn activate_reserved(&self, did: &Did) -> Result<(), XrpcError> {
        let active = match self.directory.activate(did).await {
            Ok(active) => active,
            // Repeating it does no harm, and an account lost to one lost packet would.
            Err(_) => self.directory.activate(did).await?,
        };
        match active {
            true => Ok(()),
            false => Err(XrpcError::internal("the reservation was taken over meanwhile")),
        }
    }

    /// Undoes a reservation, and the DID if there is one.
    pub(super) async fn undo_registration(&self, did: &Did) {
        self.bury(did).await;
        // If this fails, the row stays behind until it is reclaimed.
        let _ = self.release(did).await;
    }

    /// Uses the invite code, or gives the names back.
    async fn invited(&self, did: &Did, signup: &Signup) -> Result<(), XrpcError> {
        let Some(code) = &signup.invite else { return Ok(()) };
        let outcome = self.use_invite(code, did).await;
        if outcome.is_err() {
            let _ = self.release(did).await;
        }
        outcome
    }

    /// Gives back what an account that never came to be had taken: the use of its invite code, and its names.
    pub(super) async fn release(&self, did: &Did) -> Result<(), XrpcError> {
        self.directory.give_invite_back(did).await?;
        Ok(self.directory.remove(did).await?)
    }

    /// Undoes an account. If its object cannot be emptied, its names and its DID stay, for it may be alive.
    async fn undo_account(&self, did: &Did) {
        if agents::destroy(self.agents, did).await.is_ok() {
            self.undo_registration(did).await;
        }
    }

    /// Ends a DID that this host made for an account that never came to be: one whose operations say nothing but what the
    /// genesis did, and what an agent has besides. If the directory is away, the DID stays, unused; nobody but this host's rotation key and its owner's can use it.
    async fn bury(&self, did: &Did) {
        let plc = self.resolver().plc();
        if let Ok(operations) = plc.operations(did).await
            && let [first, rest @ ..] = operations.as_slice()
            && let Some(made) = first.state()
            && rest.iter().all(|next| next.state().map(cf::plain).as_ref() == Some(&made))
            && let last = rest.last().unwrap_or(first)
            && let Ok(tombstone) = Operation::tombstone(&last.cid(), &self.config.plc_rotation_key)
        {
            let _ = plc.submit(did, &tombstone).await;
        }
    }
}

/// Whether a DID is the did:web of a handle.
fn is_did_of(did: &Did, handle: &Handle) -> bool {
    web::did(handle).is_ok_and(|made| made == *did)
}

/// The answer to somebody whose DID is here already.
pub(super) fn already_exists(did: &Did) -> XrpcError {
    XrpcError::named("AlreadyExists", format!("Repo already exists: {did}"))
}

/// How often names are asked for: once, and once more for each of handle, address and DID that was reclaimed.
const RESERVE_ATTEMPTS: usize = 4;
