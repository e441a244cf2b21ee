//! Turns: the writes of requests that arrive together.

use std::rc::Rc;

use futures_channel::oneshot::{Sender, channel};
use murmuration_account::{Receipt, WriteRequest};
use murmuration_xrpc::XrpcError;

use super::{Agent, outbox};

/// Calls of one turn at the most. A turn is one synchronous run, and others wait for it.
const MAX_CALLS: usize = 64;
/// Writes of one turn at the most, unless a single call has more.
const MAX_WRITES: usize = 400;

/// A call that waits for its turn.
pub(super) struct Waiting {
    request: WriteRequest,
    answer: Sender<Result<Receipt, XrpcError>>,
}

/// Writes, in this turn or the next.
pub(super) async fn write(agent: &Rc<Agent>, request: WriteRequest) -> Result<Receipt, XrpcError> {
    let (answer, receipt) = channel();
    agent.queue.borrow_mut().push_back(Waiting { request, answer });
    if !agent.turning.replace(true) {
        // Behind the request, which may be cancelled: a caller that goes away must not stop the turns of others.
        let this = Rc::clone(agent);
        agent.state.wait_until(async move {
            run(&this).await;
            this.turning.set(false);
        });
    }
    receipt.await.unwrap_or_else(|_| Err(XrpcError::internal("the turn was dropped")))
}

async fn run(agent: &Rc<Agent>) {
    loop {
        let calls = next(agent);
        if calls.is_empty() {
            return;
        }
        if calls.len() > 1 {
            agent.crowded.set(true);
        }
        one(agent, calls).await;
        outbox::start(agent);
        // What arrives while this is flushed is the next turn.
        if let Err(error) = agent.state.storage().sync().await {
            worker::console_error!("flush: {error}");
        }
    }
}

fn next(agent: &Agent) -> Vec<Waiting> {
    let mut queue = agent.queue.borrow_mut();
    let mut writes = 0;
    let fits = |waiting: &&Waiting| {
        writes += waiting.request.writes.len();
        writes <= MAX_WRITES
    };
    let count = queue.iter().take(MAX_CALLS).take_while(fits).count().max(1).min(queue.len());
    queue.drain(..count).collect()
}

async fn one(agent: &Agent, calls: Vec<Waiting>) {
    let (requests, answers): (Vec<_>, Vec<_>) =
        calls.into_iter().map(|call| (call.request, call.answer)).unzip();
    let receipts = match agent.awake().await {
        Ok(awake) => {
            let receipts = awake.account.write(&requests, agent.now());
            receipts.into_iter().map(|receipt| receipt.map_err(XrpcError::from)).collect()
        }
        Err(error) => vec![Err(error); requests.len()],
    };
    // In the same turn as the writes, so that both are stored or neither is.
    if let Err(error) = agent.mind().await {
        worker::console_error!("alarm: {error}");
    }
    for (answer, receipt) in answers.into_iter().zip(receipts) {
        // A caller that went away does not listen.
        let _ = answer.send(receipt);
    }
}
