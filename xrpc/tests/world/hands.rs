//! Time, entropy, and the windows of rate limits, all of them by hand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::ready;
use std::rc::Rc;

use murmuration_platform::{Clock, Entropy};
use murmuration_rate::{Rule, Window};
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::host::Task;
use murmuration_xrpc::limits::Counter;

/// The time, and numbers that never repeat.
pub struct Hands {
    pub micros: Cell<u64>,
    pub drawn: Cell<u64>,
}

impl Clock for Hands {
    fn now_micros(&self) -> u64 {
        self.micros.get()
    }
}

impl Entropy for Hands {
    fn fill(&self, buffer: &mut [u8]) {
        self.drawn.set(self.drawn.get() + 1);
        for (byte, value) in buffer.iter_mut().zip(self.drawn.get().to_be_bytes().iter().cycle()) {
            *byte = *value;
        }
    }
}

/// The windows of every key, without leases.
pub struct Counts {
    pub client: String,
    pub clock: Rc<Hands>,
    pub windows: RefCell<BTreeMap<(String, String), Window>>,
}

impl Counter for Counts {
    fn client(&self) -> &str {
        &self.client
    }

    fn take<'a>(
        &'a self,
        key: String,
        bucket: String,
        rule: Rule,
        points: u32,
    ) -> Task<'a, Result<(), XrpcError>> {
        let now = self.clock.now_micros();
        let mut windows = self.windows.borrow_mut();
        let taken = windows.entry((key, bucket)).or_default().take(rule, points, now);
        let answer = taken.map(drop);
        Box::pin(ready(answer.map_err(|status| XrpcError::rate_limited(&status, status.seconds_left(now)))))
    }
}
