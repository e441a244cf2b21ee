//! Operations on an account's did:plc that its owner asks for: signed by this host, or brought along.
//!
//! This host signs whatever its owner shows the mailed code for, also what takes the account away from here. It submits
//! only what leaves the account working here, and nothing that it would not judge valid itself.

use std::collections::BTreeMap;

use murmuration_account::Purpose;
use murmuration_bridge::plc::{Operation, Service, State};
use murmuration_data::json;
use murmuration_syntax::Did;
use serde::de::DeserializeOwned;
use serde_json::json as object;

use super::handle::{Unpublished, unreadable};
use super::{Host, HostCall, agents};
use crate::XrpcError;
use crate::agent::Args;
use crate::agent::internal::{Description, IdentityCall, InternalCall};
use crate::http::Response;

impl Host<'_> {
    /// `com.atproto.identity.requestPlcOperationSignature`
    pub(crate) async fn request_plc_operation_signature(
        &self,
        call: &HostCall,
    ) -> Result<Response, XrpcError> {
        let did = plc_only(&call.caller.claims()?.sub)?;
        self.send_code(did, Purpose::PlcOperation, true).await?;
        Ok(Response::empty())
    }

    /// `com.atproto.identity.signPlcOperation`: an operation that follows the last one and says what that says, but for the
    /// fields that are given.
    pub(crate) async fn sign_plc_operation(&self, mut call: HostCall) -> Result<Response, XrpcError> {
        let did = plc_only(&call.caller.claims()?.sub)?.clone();
        let code = call.input.text("token").unwrap_or_default().to_owned();
        if code.is_empty() {
            return Err(XrpcError::invalid("email confirmation token required to sign PLC operations"));
        }
        let given = Fields::read(&mut call.input)?;
        let verified = self.resolver().plc().audited(&did).await.map_err(|error| unreadable(&error))?;
        let state = verified.state.ok_or_else(|| XrpcError::invalid("Did is tombstoned"))?;
        let keys = state.rotation_keys.clone();
        let operation = Operation::update(&verified.tip, given.over(state), &self.config.plc_rotation_key)
            .map_err(|error| XrpcError::invalid(error.to_string()))?;
        if operation.signer(&keys).is_none() {
            return Err(XrpcError::invalid("This host's key is not among the rotation keys of the DID"));
        }
        // Last, so that nothing else uses the code up.
        let use_code = InternalCall::Identity(IdentityCall::UsePlcCode { code });
        agents::tell(self.agents, &did, use_code).await?;
        Response::json(&object!({ "operation": operation }))
    }

    /// `com.atproto.identity.submitPlcOperation`: may be repeated, also when the directory has the operation already.
    pub(crate) async fn submit_plc_operation(&self, mut call: HostCall) -> Result<Response, XrpcError> {
        let did = plc_only(&call.caller.claims()?.sub)?.clone();
        let operation: Operation = parsed(&mut call.input, "operation")?
            .ok_or_else(|| XrpcError::invalid("Error: Input must have the property \"operation\""))?;
        let account = self.account(&did).await?;
        self.check_operation(&account, &operation)?;

        // From here on the row keeps other changes away.
        let change = self.begin_change(&did, &account.handle).await?;
        match self.submission_begun(&account, &operation).await {
            Ok(()) => {
                self.end_change(&did, &change).await;
                Ok(Response::empty())
            }
            Err(Unpublished { error, certain }) => {
                if certain {
                    // If this fails, the next look settles it.
                    let _ = self.directory.drop_change(&did, &change).await;
                }
                Err(error)
            }
        }
    }

    async fn submission_begun(
        &self,
        account: &Description,
        operation: &Operation,
    ) -> Result<(), Unpublished> {
        let did = &account.did;
        let now = self.account(did).await.map_err(Unpublished::certainly)?;
        if now.handle != account.handle {
            let changed = "The handle has changed meanwhile: look at the operation once more";
            return Err(Unpublished::certainly(XrpcError::invalid(changed)));
        }
        let judged = self.resolver().plc().judge(did, operation, self.now_millis()).await;
        let verified = judged.map_err(|error| {
            Unpublished::certainly(match error.is_transient() {
                true => unreadable(&error),
                false => XrpcError::invalid(format!("Invalid operation: {error}")),
            })
        })?;
        if verified.tip != operation.cid() {
            // Whoever dies from here on leaves the account to say it.
            let noted = self.tell(did, || IdentityCall::DocumentChanging).await;
            noted.map_err(Unpublished::certainly)?;
            self.publish(did, operation).await?;
        }
        let told = self.tell(did, || IdentityCall::DocumentChanged).await;
        told.map_err(|error| Unpublished { error, certain: false })
    }

    /// Checks that an operation leaves the account working here, in the reference server's order and words.
    fn check_operation(&self, account: &Description, operation: &Operation) -> Result<(), XrpcError> {
        let state = operation.state().filter(|_| !operation.is_legacy());
        let state = state.ok_or_else(|| XrpcError::invalid("Invalid operation"))?;
        let wanted =
            State::atproto(&account.handle, &account.signing_key, &self.config.public_url, Vec::new());
        let pds = |state: &State| state.services.get("atproto_pds").cloned();
        let (given, own) = (pds(&state), pds(&wanted));
        let kind = |service: &Option<Service>| service.as_ref().map(|service| service.kind.clone());
        let rules = [
            (
                state.rotation_keys.contains(&self.config.plc_rotation_key.did_key()),
                "Rotation keys do not include server's rotation key",
            ),
            (kind(&given) == kind(&own), "Incorrect type on atproto_pds service"),
            (given == own, "Incorrect endpoint on atproto_pds service"),
            (
                state.verification_methods.get("atproto") == wanted.verification_methods.get("atproto"),
                "Incorrect signing key",
            ),
            (state.also_known_as.first() == wanted.also_known_as.first(), "Incorrect handle in alsoKnownAs"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, broken)) => Err(XrpcError::invalid(broken)),
        }
    }

    async fn account(&self, did: &Did) -> Result<Description, XrpcError> {
        let account = agents::describe(self.agents, did, false).await?;
        account.ok_or_else(|| XrpcError::repo_not_found(did))
    }
}

/// The fields of an operation that its owner wants otherwise than they are.
struct Fields {
    rotation_keys: Option<Vec<String>>,
    also_known_as: Option<Vec<String>>,
    verification_methods: Option<BTreeMap<String, String>>,
    services: Option<BTreeMap<String, Service>>,
}

impl Fields {
    fn read(input: &mut Args) -> Result<Self, XrpcError> {
        let fields = Self {
            rotation_keys: parsed(input, "rotationKeys")?,
            also_known_as: parsed(input, "alsoKnownAs")?,
            verification_methods: parsed(input, "verificationMethods")?,
            services: parsed(input, "services")?,
        };
        let mut keys = fields.verification_methods.iter().flatten();
        match keys.all(|(_, key)| key.starts_with("did:key:")) {
            true => Ok(fields),
            false => Err(XrpcError::invalid("verificationMethods must be keys as did:key, by name")),
        }
    }

    fn over(self, last: State) -> State {
        State {
            rotation_keys: self.rotation_keys.unwrap_or(last.rotation_keys),
            also_known_as: self.also_known_as.unwrap_or(last.also_known_as),
            verification_methods: self.verification_methods.unwrap_or(last.verification_methods),
            services: self.services.unwrap_or(last.services),
        }
    }
}

/// A field of an input, in the shape that the PLC directory has for it.
fn parsed<T: DeserializeOwned>(input: &mut Args, name: &str) -> Result<Option<T>, XrpcError> {
    let Some(value) = input.take(name) else { return Ok(None) };
    serde_json::from_value(json::to_value(&value))
        .map(Some)
        .map_err(|_| XrpcError::invalid(format!("{name} is not in the form of a PLC operation")))
}

/// Refuses an account whose DID has no operations.
fn plc_only(did: &Did) -> Result<&Did, XrpcError> {
    match did.method() {
        "plc" => Ok(did),
        _ => Err(XrpcError::invalid("Only a did:plc is changed by operations")),
    }
}
