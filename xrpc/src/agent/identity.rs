//! `com.atproto.identity`: what an account's DID document is to say while it is here.

use murmuration_account::AccountError;
use murmuration_bridge::plc::State;
use serde_json::{Map, Value as Json, json};

use super::{Call, Context, Reply};
use crate::XrpcError;
use crate::http::Response;

/// The name of an agent's X25519 key in its DID document.
const AGREEMENT_KEY_ID: &str = "agent_enc";

/// `com.atproto.identity.getRecommendedDidCredentials`
pub fn recommended_credentials(context: &Context<'_>, _call: Call) -> Result<Reply, XrpcError> {
    let profile = context.account.profile()?;
    let key = context.account.signing_key()?;
    let keys = vec![context.config.plc_rotation_key.did_key()];
    let mut state = State::atproto(&profile.handle, &key, &context.config.public_url, keys);
    // A record that is none of ours or broken is no reason to keep the rest from an account that leaves.
    match context.account.published_keys() {
        Ok(published) => {
            let key = format!("did:key:{}", published.current().agreement_key());
            state.verification_methods.insert(AGREEMENT_KEY_ID.to_owned(), key);
        }
        Err(AccountError::NoKeys | AccountError::Keyring(_)) => {}
        Err(other) => return Err(other.into()),
    }
    let mut answer: Map<String, Json> = Map::new();
    answer.insert("alsoKnownAs".into(), json!(state.also_known_as));
    answer.insert("verificationMethods".into(), json!(state.verification_methods));
    if profile.did.method() == "plc" {
        answer.insert("rotationKeys".into(), json!(state.rotation_keys));
    }
    answer.insert("services".into(), json!(state.services));
    Ok(Reply::Now(Response::json(&answer)?))
}
