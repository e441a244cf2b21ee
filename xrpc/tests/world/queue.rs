//! A queue of deliveries that can refuse, lose and repeat.

use std::cell::{Cell, RefCell};
use std::future::ready;
use std::rc::Rc;

use murmuration_platform::Clock;
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::host::{DeliveryQueue, Redeemed, Task, Ticket};

use super::{Faults, Hands, World, block_on};

pub struct Queue {
    /// Tickets, when each comes out, and how often it has.
    pub tickets: RefCell<Vec<(Ticket, u64, u32)>>,
    /// It takes none.
    pub refuses: Cell<bool>,
    pub clock: Rc<Hands>,
    pub faults: Rc<Faults>,
}

impl DeliveryQueue for Queue {
    fn put(&self, tickets: Vec<(Ticket, u32)>) -> Task<'_, Result<(), XrpcError>> {
        let taken = self.faults.call(|| {
            if self.refuses.get() {
                return false;
            }
            let now = self.clock.now_micros();
            let due = |(ticket, seconds)| (ticket, now + u64::from(seconds) * 1_000_000, 0);
            self.tickets.borrow_mut().extend(tickets.into_iter().map(due));
            true
        });
        let outcome =
            if taken == Some(true) { Ok(()) } else { Err(XrpcError::internal("the queue is full")) };
        Box::pin(ready(outcome))
    }
}

impl World {
    /// Brings the tickets whose time has come, and answers with how many those were.
    pub fn run_queue(&self) -> usize {
        let now = self.clock.now_micros();
        let due: Vec<_> = self.queue.tickets.borrow_mut().extract_if(.., |(_, due, _)| *due <= now).collect();
        let count = due.len();
        for (ticket, _, attempts) in due {
            if let Redeemed::Again(seconds) = block_on(self.host().redeem(&ticket, attempts + 1)) {
                let due = now + u64::from(seconds) * 1_000_000;
                self.queue.tickets.borrow_mut().push((ticket, due, attempts + 1));
            }
        }
        count
    }
}
