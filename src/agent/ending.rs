//! The remains of an account that was deleted, over the object's bindings.

use std::rc::Rc;

use murmuration_relay::wire;
use murmuration_syntax::Did;
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::agent::ending::{self, Remains};
use murmuration_xrpc::host::{Directory, Task};

use super::{Agent, outbox};
use crate::blobs::BlobStore;
use crate::clock::wait;
use crate::directory::D1;

/// Milliseconds between two looks at a push that goes on already.
const PATIENCE_MS: u32 = 50;
/// Looks at it before the alarm is left to try again.
const LOOKS: u32 = 100;

/// Ends what was deleted. When it cannot, the alarm goes on with it.
pub(super) async fn run(agent: &Rc<Agent>) -> Result<(), XrpcError> {
    if agent.ending.replace(true) {
        return Ok(());
    }
    let outcome = async {
        let account = &agent.awake().await?.account;
        let database = D1::open(&agent.env);
        ending::finish(account, Directory::new(&database), &Bindings(agent)).await
    };
    let outcome = outcome.await;
    agent.ending.set(false);
    outcome
}

struct Bindings<'a>(&'a Rc<Agent>);

impl Remains for Bindings<'_> {
    fn announce(&self) -> Task<'_, Result<(), XrpcError>> {
        Box::pin(async move {
            let account = &self.0.awake().await?.account;
            for _ in 0..LOOKS {
                if !self.0.pushing.get() {
                    outbox::push_all(self.0).await;
                    break;
                }
                wait(PATIENCE_MS).await;
            }
            match account.has_unsent()? {
                false => Ok(()),
                true => Err(XrpcError::internal("the relay has yet to take the end of an account")),
            }
        })
    }

    fn purge<'a>(&'a self, did: &'a Did, before: u64) -> Task<'a, Result<(), XrpcError>> {
        Box::pin(async move {
            let purge = wire::Purge { did: did.clone(), before };
            let body = purge.encode().map_err(XrpcError::internal)?;
            outbox::post(self.0, "https://internal/purge", &body).await.map(drop)
        })
    }

    fn delete_blob<'a>(&'a self, key: &'a str) -> Task<'a, Result<(), XrpcError>> {
        Box::pin(async move {
            let blobs = BlobStore::open(&self.0.env).map_err(XrpcError::internal)?;
            blobs.delete(key).await.map_err(XrpcError::internal)
        })
    }

    fn wipe(&self) -> Task<'_, Result<(), XrpcError>> {
        Box::pin(self.0.wipe())
    }
}
