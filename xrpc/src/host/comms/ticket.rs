//! Tickets: what the queue carries of a message whose first try has failed. They name it and say nothing of it.
//!
//! ```text
//!   carry: a first try fails ─► put ─► queue ─► redeem: the parcel, from the sender's object ─► bring ─► outcome
//!                                        ▲                                                                │
//!                                        └──────────────────── not yet: in so many seconds ◄──────────────┘
//! ```
//!
//! There is one ticket for each recipient of a message, whatever becomes of it. A queue that loses it, or gives it up, is no harm:
//! the alarm of the sender's object is behind it (`murmuration_comms`, `receipt.rs`).

use murmuration_comms::backoff;
use murmuration_syntax::{Did, Tid};
use serde::{Deserialize, Serialize};

use super::super::{Host, Task, agents};
use super::carry::{MAX_LINE, failed};
use crate::XrpcError;
use crate::agent::internal::InternalCall;
use crate::agent::internal::comms::CommsCall;
use crate::agent::internal::deliveries::{NextTry, Settled, Try, Worth};

/// What the queue carries.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ticket {
    /// Who has sent the message.
    pub from: Did,
    /// Its id.
    pub id: Tid,
    /// The recipient that has not got it.
    pub to: Did,
}

/// The queue of deliveries whose first try has failed. A host implements it over its binding.
pub trait DeliveryQueue {
    /// Puts tickets into the queue, each to come out after so many seconds: all of them or none.
    ///
    /// # Errors
    /// Whatever the queue says. Then none of them may be counted on.
    fn put(&self, tickets: Vec<(Ticket, u32)>) -> Task<'_, Result<(), XrpcError>>;
}

/// What becomes of a ticket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Redeemed {
    /// It is used up.
    Done,
    /// It is to come again, in so many seconds.
    Again(u32),
}

impl Host<'_> {
    /// Makes the try that a ticket is for. `attempts` is how often the queue has brought it.
    pub async fn redeem(&self, ticket: &Ticket, attempts: u32) -> Redeemed {
        match self.try_ticket(ticket).await {
            Ok(redeemed) => redeemed,
            // The sender was deleted, and its messages with it.
            Err(error) if error.error() == "RepoNotFound" => Redeemed::Done,
            // Nothing is known of what came of it.
            Err(_) => Redeemed::Again(seconds(backoff(attempts, None, self.random().into()))),
        }
    }

    async fn try_ticket(&self, ticket: &Ticket) -> Result<Redeemed, XrpcError> {
        let Ticket { from, id, to } = ticket.clone();
        let redeem = InternalCall::Comms(CommsCall::Redeem { id, to: to.clone() });
        let (parcel, key) = match agents::ask(self.agents, &from, redeem).await? {
            Worth::Void => return Ok(Redeemed::Done),
            Worth::Early(seconds) => return Ok(again(seconds)),
            Worth::Try { parcel, key } => (parcel, key),
        };
        let outcome = self.bring(&from, &key, &to, &parcel).await.unwrap_or_else(failed);
        let tries = vec![Try { to, outcome, next: NextTry::Queue }];
        let settle = InternalCall::Comms(CommsCall::Settle { id, tries, random: self.random() });
        let settled: Settled = agents::ask(self.agents, &from, settle).await?;
        self.carry_line(&from, &key, settled.next, MAX_LINE).await;
        Ok(settled.waits.first().map_or(Redeemed::Done, |(_, seconds)| again(*seconds)))
    }

    /// Notes of a ticket that the queue has given up that its delivery has failed.
    pub async fn give_up(&self, ticket: &Ticket, attempts: u32) -> Redeemed {
        let Ticket { from, id, to } = ticket.clone();
        let give_up = InternalCall::Comms(CommsCall::GiveUp { id, to });
        match agents::tell(self.agents, &from, give_up).await {
            Ok(()) => Redeemed::Done,
            Err(error) if error.error() == "RepoNotFound" => Redeemed::Done,
            Err(_) => Redeemed::Again(seconds(backoff(attempts, None, self.random().into()))),
        }
    }

    /// Puts tickets of a message into the queue, each for a recipient and to come after so many seconds, and says whether it has
    /// taken them.
    pub(super) async fn put_tickets(&self, from: &Did, id: Tid, to: Vec<(Did, u32)>) -> bool {
        let Some(queue) = self.queue else { return false };
        let ticket = |(to, seconds)| (Ticket { from: from.clone(), id, to }, seconds);
        queue.put(to.into_iter().map(ticket).collect()).await.is_ok()
    }

    /// A number to spread tries by. It goes to objects as a number of JavaScript, which are exact up to 53 bits.
    pub(super) fn random(&self) -> u32 {
        let mut bytes = [0; 4];
        self.entropy.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// Seconds to the next try of what has failed once.
pub(super) fn first_wait(retry_after_seconds: Option<u64>, random: u32) -> u32 {
    seconds(backoff(1, retry_after_seconds, random.into()))
}

fn again(seconds: u32) -> Redeemed {
    Redeemed::Again(seconds.min(MOST_DELAY_SECONDS))
}

fn seconds(micros: u64) -> u32 {
    u32::try_from(micros.div_ceil(1_000_000)).unwrap_or(MOST_DELAY_SECONDS).min(MOST_DELAY_SECONDS)
}

/// Seconds for which a queue keeps something back at the most: 12 hours
/// (<https://developers.cloudflare.com/queues/platform/limits/>). A ticket that is to come later comes early, and again.
const MOST_DELAY_SECONDS: u32 = 12 * 60 * 60;
