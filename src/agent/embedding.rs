//! Vectors of memories: what a turn wants is asked for before it, and what it went without is made by the alarm.

use std::rc::Rc;

use murmuration_platform::Embedder;
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::agent::memory;
use murmuration_xrpc::embedder::{ALARM_MS, CALL_MS, EmbedderConfig, QUIET_MS, Ready};
use murmuration_xrpc::http::Request;
use murmuration_xrpc::method::Method;

use super::{Agent, Awake, call};
use crate::embedder;
use crate::entropy::SystemEntropy;

/// Has this project's model brought, if it is the embedder: a turn waits for nobody.
pub(super) async fn bring(agent: &Agent, awake: &Awake) {
    if awake.config.embedder == EmbedderConfig::Embedded
        && let Err(error) = embedder::open(&agent.env).await
    {
        worker::console_error!("{error}");
        // A memory without a vector is better than none.
        awake.account.embed_later();
    }
}

/// The vectors that a call will want, if the embedder is asked over the network, answers soon, and the caller may make the call. What
/// is missing the turn goes without.
pub(super) async fn ask(
    agent: &Agent,
    awake: &Awake,
    method: &Method,
    request: &Request,
) -> Option<Rc<dyn Embedder>> {
    bring(agent, awake).await;
    if agent.quiet_until.get() > agent.now() {
        return None;
    }
    let embedder = embedder::over_network(&awake.config, &agent.env, CALL_MS)?;
    // Whatever is wrong with the call, the turn finds it, too.
    let texts = memory::texts(&call::context(agent, awake), method, request).ok()?;
    if texts.is_empty() {
        return None;
    }
    let asked: Vec<&str> = texts.iter().map(String::as_str).collect();
    match embedder.embed(&asked).await {
        Ok(vectors) => Some(Rc::new(Ready::new(embedder.id(), texts.into_iter().zip(vectors)))),
        Err(error) => {
            worker::console_warn!("{error}");
            agent.quiet_until.set(agent.now() + QUIET_MS * 1000);
            None
        }
    }
}

/// Embeds some of the memories that are yet to be embedded, if it is time.
pub(super) async fn run(agent: &Agent) -> Result<(), XrpcError> {
    let awake = agent.awake().await?;
    if awake.account.embedding_due()?.is_none_or(|due| due > agent.now()) {
        return Ok(());
    }
    let embedder = match embedder::over_network(&awake.config, &agent.env, ALARM_MS) {
        Some(embedder) => embedder,
        None => embedder::open(&agent.env).await?,
    };
    if let Some(error) = memory::embed_due(&awake.account, &*embedder, &SystemEntropy, &agent.clock).await? {
        worker::console_warn!("memories are embedded later: {error}");
    }
    Ok(())
}
