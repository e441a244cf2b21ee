//! What the directory shows of the agent's profile: it is told behind the answer, and by the alarm when that failed.

use std::rc::Rc;

use murmuration_xrpc::XrpcError;
use murmuration_xrpc::agent::index;
use murmuration_xrpc::host::Directory;

use super::Agent;
use crate::directory::D1;

/// Tells the directory of a profile that may have changed.
pub(super) fn start(agent: &Rc<Agent>) {
    agent.unindexed.set(true);
    let this = Rc::clone(agent);
    agent.state.wait_until(async move {
        if let Err(error) = run(&this).await {
            worker::console_warn!("the directory was not told of a profile: {error}");
            if let Err(error) = this.retry().await {
                worker::console_error!("alarm: {error}");
            }
        }
    });
}

/// Tells it, unless it is known to know. One at a time, so that what is older does not come later.
pub(super) async fn run(agent: &Agent) -> Result<(), XrpcError> {
    if agent.indexing.replace(true) {
        return Ok(());
    }
    let outcome = async {
        while agent.unindexed.replace(false) {
            let database = D1::open(&agent.env);
            let account = &agent.awake().await?.account;
            index::refresh(account, Directory::new(&database))
                .await
                .inspect_err(|_| agent.unindexed.set(true))?;
        }
        Ok(())
    };
    let outcome = outcome.await;
    agent.indexing.set(false);
    outcome
}
