//! The messages of the account that are the alarm's to bring to their readers.

use std::rc::Rc;

use murmuration_xrpc::XrpcError;
use murmuration_xrpc::host::Host;

use super::{Agent, outside};

/// Delivers what is due. What fails is due again later; an error is one that says nothing of when.
pub(super) async fn carry(agent: &Rc<Agent>) -> Result<(), XrpcError> {
    let did = agent.awake().await?.account.did()?;
    outside::with_host(agent, false, None, async |host: &Host<'_>| host.carry_due(&did).await).await
}
