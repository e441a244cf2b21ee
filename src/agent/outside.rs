//! The host's methods, run in the object of an account: what the alarm brings to readers, and what comes on a socket.

use std::rc::Rc;

use murmuration_bridge::CfDid;
use murmuration_lexicons::Catalog;
use murmuration_syntax::Did;
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::agent::internal::InternalCall;
use murmuration_xrpc::host::{AgentAnswer, Agents, DeliveryQueue, Directory, Host, Task};
use murmuration_xrpc::http::{Body, Response};
use murmuration_xrpc::limits::Counter;
use murmuration_xrpc::public::IndexCall;

use super::{Agent, call};
use crate::directory::D1;
use crate::entropy::SystemEntropy;
use crate::outbound::{Fetcher, Visits};
use crate::queue::Deliveries;
use crate::stubs::Stubs;

/// Runs `work` with the host's methods over this object's bindings. `minds`: what it does here sees to the alarm; the alarm itself
/// does that when it has done everything.
pub(super) async fn with_host<T>(
    agent: &Rc<Agent>,
    minds: bool,
    counter: Option<&dyn Counter>,
    work: impl AsyncFnOnce(&Host<'_>) -> Result<T, XrpcError>,
) -> Result<T, XrpcError> {
    let awake = agent.awake().await?;
    let did = awake.account.did()?;
    let (database, queue) = (D1::open(&agent.env), Deliveries::open(&agent.env));
    let visits = agent.visits.get_or_init(|| Visits::of(&awake.config).map(Rc::new));
    let host = Host {
        config: &awake.config,
        catalog: Catalog::builtin(),
        directory: Directory::new(&database),
        agents: &Neighbours { agent, own: &did, minds },
        outbound: &Fetcher::new(awake.config.allow_private_network).counting(visits.clone()),
        queue: queue.as_ref().map(|queue| -> &dyn DeliveryQueue { queue }),
        mailer: None,
        models: None,
        counter,
        cache: &agent.cache,
        residents: &agent.residents,
        clock: &agent.clock,
        entropy: &SystemEntropy,
    };
    work(&host).await
}

/// The objects of the other accounts, through their stubs; and this one, which need not call itself.
struct Neighbours<'a> {
    agent: &'a Rc<Agent>,
    own: &'a Did,
    minds: bool,
}

impl Agents for Neighbours<'_> {
    fn call<'a>(&'a self, did: &'a Did, call: InternalCall) -> Task<'a, Result<AgentAnswer, XrpcError>> {
        Box::pin(async move {
            if did != self.own {
                return Stubs::new(&self.agent.env).call(did, call).await;
            }
            let awake = self.agent.awake().await?;
            let response = call::inside(self.agent, awake, call).unwrap_or_else(Response::from);
            if self.minds {
                // In the same turn.
                self.agent.mind().await?;
            }
            match response.body {
                Body::Json(json) => Ok(AgentAnswer { status: response.status, body: json.into_bytes() }),
                Body::Empty => Ok(AgentAnswer { status: response.status, body: Vec::new() }),
                _ => Err(XrpcError::internal("an internal call has no JSON for an answer")),
            }
        })
    }

    fn reseal_webhooks(&self) -> Task<'_, Result<AgentAnswer, XrpcError>> {
        Box::pin(async move { Stubs::new(&self.agent.env).reseal_webhooks().await })
    }

    fn ask_index<'c>(&'c self, call: &'c IndexCall) -> Task<'c, Result<AgentAnswer, XrpcError>> {
        Box::pin(async move { Stubs::new(&self.agent.env).ask_index(call).await })
    }

    fn alias(&self, did: &Did) -> Result<CfDid, XrpcError> {
        Stubs::new(&self.agent.env).alias(did)
    }
}
