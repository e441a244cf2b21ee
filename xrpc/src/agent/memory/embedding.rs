//! What of memories is embedded outside of a turn: the texts of a call before it, and what was left to the alarm.

use murmuration_account::{Account, AccountError};
use murmuration_data::Ipld;
use murmuration_memory::Essence;
use murmuration_platform::{Clock, EmbedError, Embedder, Entropy};

use super::super::{Call, Context, custody, read};
use crate::XrpcError;
use crate::embedder::each;
use crate::http::Request;
use crate::method::Method;

/// Whether calls of a method may want vectors.
#[must_use]
pub fn may_embed(method: &Method) -> bool {
    method.nsid.starts_with("agent.memory.")
}

/// The texts of which a call will want vectors, if its caller may make it.
///
/// # Errors
/// What the caller is to see, as without this.
pub fn texts(context: &Context<'_>, method: &Method, request: &Request) -> Result<Vec<String>, XrpcError> {
    let is_written = match method.nsid {
        "agent.memory.createMemory" | "agent.memory.updateMemory" => true,
        "agent.memory.getContext" | "agent.memory.searchMemories" => false,
        _ => return Ok(Vec::new()),
    };
    let Call { caller, params, mut input } = read(context, method, request)?;
    caller.claims()?;
    // What such an agent says in the open, by mistake, goes no further than here.
    if custody::is_clients(context.account)? {
        return Ok(Vec::new());
    }
    let text = match is_written {
        true => Essence::of(&input.take("record").unwrap_or(Ipld::Null)).text,
        false => params.text("q").unwrap_or_default().to_owned(),
    };
    Ok(Some(text).filter(|text| !text.is_empty()).into_iter().collect())
}

/// Embeds some of the memories that have no vector of this embedder, if it is time, or puts that off and says why it did not answer.
///
/// # Errors
/// When what is kept does not open.
pub async fn embed_due(
    account: &Account,
    embedder: &dyn Embedder,
    entropy: &dyn Entropy,
    clock: &dyn Clock,
) -> Result<Option<EmbedError>, XrpcError> {
    let now = clock.now_micros();
    if account.embedding_due()?.is_none_or(|due| due > now) {
        return Ok(None);
    }
    let mind = match account.mind(entropy, now) {
        // The host cannot open them, and may never again.
        Err(AccountError::NoKeys) => {
            account.put_embedding_off(now)?;
            return Ok(None);
        }
        other => other?,
    };
    let found = mind.memories.unembedded(mind.keeper(), embedder.id())?;
    let texts: Vec<&str> = found.iter().map(|memory| memory.text.as_str()).collect();
    match each(embedder, &texts).await {
        Ok(vectors) => {
            // The account may be gone meanwhile.
            let mind = account.mind(entropy, clock.now_micros())?;
            let kept: Vec<_> = found.into_iter().zip(vectors).collect();
            mind.memories.keep_vectors(mind.keeper(), embedder.id(), &kept)?;
            Ok(None)
        }
        Err(error) => {
            account.put_embedding_off(clock.now_micros())?;
            Ok(Some(error))
        }
    }
}
