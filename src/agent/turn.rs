//! Turns: the writes of requests that arrive together.

use std::collections::VecDeque;
use std::rc::Rc;

use futures_channel::oneshot::{Sender, channel};
use murmuration_account::{Receipt, WriteRequest};
use murmuration_xrpc::XrpcError;

use super::{Agent, outbox};

/// Calls of one turn at the most. A turn is one synchronous run, and others wait for it.
const MAX_CALLS: usize = 64;
/// Writes of one turn at the most, unless a single call has more.
const MAX_WRITES: usize = 400;

/// Calls that wait for a turn at the most: sixteen turns of them.
const MAX_WAITING: usize = 1024;
/// Bytes of the records that wait at the most, unless a single call has more: an eighth of an isolate's memory.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// Seconds after which a call that found no room may come again: the turns before it take less.
const RETRY_SECONDS: u32 = 1;

/// The calls that wait for a turn.
#[derive(Default)]
pub(super) struct Queue {
    calls: VecDeque<Waiting>,
    bytes: usize,
}

/// A call that waits for its turn.
struct Waiting {
    request: WriteRequest,
    answer: Sender<Result<Receipt, XrpcError>>,
}

impl Queue {
    /// Takes a call, or refuses it while too much waits.
    fn push(&mut self, call: Waiting) -> Result<(), XrpcError> {
        let bytes = self.bytes.saturating_add(call.request.size());
        if self.calls.len() >= MAX_WAITING || (bytes > MAX_WAITING_BYTES && !self.calls.is_empty()) {
            let busy = "Too many writes to this account wait already: try again in a second";
            let busy = XrpcError::new(503, "NotEnoughResources", busy);
            return Err(busy.with("retry-after", RETRY_SECONDS.to_string()));
        }
        self.bytes = bytes;
        self.calls.push_back(call);
        Ok(())
    }

    /// The calls of the next turn.
    fn next(&mut self) -> Vec<Waiting> {
        let mut writes = 0;
        let fits = |waiting: &&Waiting| {
            writes += waiting.request.writes.len();
            writes <= MAX_WRITES
        };
        let count = self.calls.iter().take(MAX_CALLS).take_while(fits).count().max(1).min(self.calls.len());
        let calls: Vec<Waiting> = self.calls.drain(..count).collect();
        self.bytes -= calls.iter().map(|call| call.request.size()).sum::<usize>();
        calls
    }
}

/// Writes, in this turn or the next.
///
/// # Errors
/// What the caller is to see; `NotEnoughResources` while too much waits, and then nothing was written.
pub(super) async fn write(agent: &Rc<Agent>, request: WriteRequest) -> Result<Receipt, XrpcError> {
    let (answer, receipt) = channel();
    agent.queue.borrow_mut().push(Waiting { request, answer })?;
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
        let calls = agent.queue.borrow_mut().next();
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

#[cfg(test)]
mod tests {
    use murmuration_account::{Value, Write};

    use super::*;

    fn call(writes: usize, bytes: usize) -> Waiting {
        let write = |n| Write::Put {
            path: format!("com.example.note/r{n}").parse().unwrap(),
            value: Value::new(vec![0; bytes], Vec::new(), None),
            swap: None,
        };
        let writes = (0..writes).map(write).collect();
        Waiting { request: WriteRequest { writes, ..WriteRequest::default() }, answer: channel().0 }
    }

    fn refused(outcome: Result<(), XrpcError>) -> bool {
        outcome.is_err_and(|error| {
            let retry = error.headers().iter().any(|(name, value)| *name == "retry-after" && value == "1");
            retry && (error.status(), error.error()) == (503, "NotEnoughResources")
        })
    }

    #[test]
    fn a_turn_takes_calls_in_order_and_no_more_than_its_share() {
        let mut queue = Queue::default();
        for writes in [200, 200, 1, 900, 1] {
            queue.push(call(writes, 1)).unwrap();
        }
        let turns = std::iter::repeat_with(|| queue.next()).take_while(|calls| !calls.is_empty());
        let sizes: Vec<Vec<usize>> =
            turns.map(|calls| calls.iter().map(|call| call.request.writes.len()).collect()).collect();
        assert_eq!(sizes, [vec![200, 200], vec![1], vec![900], vec![1]]);
        for _ in 0..=MAX_CALLS {
            queue.push(call(1, 1)).unwrap();
        }
        assert_eq!((queue.next().len(), queue.next().len(), queue.bytes), (MAX_CALLS, 1, 0));
    }

    #[test]
    fn a_call_beyond_the_calls_that_may_wait_is_refused_until_some_have_gone() {
        let mut queue = Queue::default();
        for _ in 0..MAX_WAITING {
            queue.push(call(1, 1)).unwrap();
        }
        assert!(refused(queue.push(call(1, 1))));
        assert_eq!(queue.calls.len(), MAX_WAITING);
        assert_eq!(queue.next().len(), MAX_CALLS);
        queue.push(call(1, 1)).unwrap();
    }

    #[test]
    fn a_call_beyond_the_bytes_that_may_wait_is_refused_unless_none_waits() {
        let mut queue = Queue::default();
        queue.push(call(1, MAX_WAITING_BYTES + 1)).unwrap();
        assert!(refused(queue.push(call(1, 1))));
        queue.next();
        queue.push(call(2, MAX_WAITING_BYTES / 2)).unwrap();
        assert!(refused(queue.push(call(1, 1))));
        queue.push(call(1, 0)).unwrap();
        assert_eq!(queue.next().len(), 2);
        assert_eq!(queue.bytes, 0);
    }
}
