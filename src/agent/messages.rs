//! The messages of the account that are due, which the alarm brings to their readers.

use std::rc::Rc;

use murmuration_bridge::CfDid;
use murmuration_bridge::resolver::Cache;
use murmuration_lexicons::Catalog;
use murmuration_syntax::Did;
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::agent::internal::{self, InternalCall};
use murmuration_xrpc::host::{AgentAnswer, Agents, Directory, Host, Task};
use murmuration_xrpc::http::{Body, Response};

use super::{Agent, call};
use crate::directory::D1;
use crate::entropy::SystemEntropy;
use crate::outbound::Fetcher;
use crate::stubs::Stubs;

/// Delivers what is due. What fails is due again later; an error is one that says nothing of when.
pub(super) async fn carry(agent: &Rc<Agent>) -> Result<(), XrpcError> {
    let awake = agent.awake().await?;
    let did = awake.account.did()?;
    let (database, cache) = (D1::open(&agent.env), Cache::default());
    let host = Host {
        config: &awake.config,
        catalog: Catalog::builtin(),
        directory: Directory::new(&database),
        agents: &Neighbours { agent, own: &did },
        outbound: &Fetcher::new(awake.config.allow_private_network),
        mailer: None,
        counter: None,
        cache: &cache,
        clock: &agent.clock,
        entropy: &SystemEntropy,
    };
    host.carry_due(&did).await
}

/// The objects of the other accounts, through their stubs; and this one, which need not call itself.
struct Neighbours<'a> {
    agent: &'a Rc<Agent>,
    own: &'a Did,
}

impl Agents for Neighbours<'_> {
    fn call<'a>(&'a self, did: &'a Did, call: InternalCall) -> Task<'a, Result<AgentAnswer, XrpcError>> {
        Box::pin(async move {
            if did != self.own {
                return Stubs::new(&self.agent.env).call(did, call).await;
            }
            let awake = self.agent.awake().await?;
            let context = call::context(self.agent, awake);
            let response = internal::answer(&context, call).unwrap_or_else(Response::from);
            match response.body {
                Body::Json(json) => Ok(AgentAnswer { status: response.status, body: json.into_bytes() }),
                _ => Err(XrpcError::internal("an internal call has no JSON for an answer")),
            }
        })
    }

    fn alias(&self, did: &Did) -> Result<CfDid, XrpcError> {
        Stubs::new(&self.agent.env).alias(did)
    }
}
