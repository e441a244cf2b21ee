//! A network of canned answers, and a clock that is set by hand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use murmuration_platform::{
    Clock, Outbound, OutboundError, OutboundFuture, OutboundRequest, OutboundResponse, Verb,
};

/// Runs a future that never has to wait.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

/// Answers by verb and URL; everything else cannot be reached.
#[derive(Default)]
pub struct Network {
    answers: RefCell<BTreeMap<String, (u16, Vec<u8>)>>,
    pub asked: RefCell<Vec<String>>,
}

impl Network {
    pub fn get(&self, url: &str, status: u16, body: impl AsRef<[u8]>) {
        self.answers.borrow_mut().insert(format!("GET {url}"), (status, body.as_ref().to_vec()));
    }

    pub fn post(&self, url: &str, status: u16, body: impl AsRef<[u8]>) {
        self.answers.borrow_mut().insert(format!("POST {url}"), (status, body.as_ref().to_vec()));
    }

    pub fn cut(&self, url: &str) {
        self.answers.borrow_mut().retain(|key, _| !key.ends_with(&format!(" {url}")));
    }

    pub fn times_asked(&self) -> usize {
        self.asked.borrow().len()
    }
}

impl Outbound for Network {
    fn send(&self, request: OutboundRequest) -> OutboundFuture<'_> {
        let verb = if request.verb == Verb::Get { "GET" } else { "POST" };
        let key = format!("{verb} {}", request.url);
        let answer = match self.answers.borrow().get(&key) {
            None => Err(OutboundError::Unreachable(request.url)),
            Some((_, body)) if body.len() > request.max_bytes => {
                Err(OutboundError::TooLarge(request.max_bytes))
            }
            Some((status, body)) => {
                Ok(OutboundResponse { status: *status, headers: Vec::new(), body: body.clone() })
            }
        };
        self.asked.borrow_mut().push(key);
        Box::pin(std::future::ready(answer))
    }
}

/// A clock in microseconds.
#[derive(Default)]
pub struct Hands(pub Cell<u64>);

impl Clock for Hands {
    fn now_micros(&self) -> u64 {
        self.0.get()
    }
}
