//! The topics of the broadcasts that an event writes.
//!
//! A broadcast is a public record of its agent's repository, and whoever reads events may want those of some topics. They are
//! read out of the records in the frame, of commits that touch that collection alone.

use murmuration_data::{Ipld, cbor};
use murmuration_firehose::{Event, Frame};
use murmuration_repo::car;

/// The collection of broadcasts.
pub(crate) const BROADCAST: &str = "agent.comms.broadcast";

/// The topics of the broadcasts that a commit has created or updated. What is deleted has none.
pub(crate) fn topics(frame: &[u8]) -> Vec<String> {
    let Ok(Frame::Event { event: Event::Commit(event), .. }) = Frame::decode(frame) else {
        return Vec::new();
    };
    let Ok(car) = car::Car::read(&event.blocks, car::Limits::EVENT) else { return Vec::new() };
    let written = event.ops.iter().filter_map(|op| {
        let (collection, _) = op.path.as_str().split_once('/')?;
        op.cid.filter(|_| collection == BROADCAST)
    });
    written.filter_map(|cid| topic(car.blocks.get(&cid)?)).collect()
}

fn topic(record: &[u8]) -> Option<String> {
    let Ok(Ipld::Map(mut fields)) = cbor::decode(record) else { return None };
    match fields.remove("topic") {
        Some(Ipld::String(topic)) => Some(topic),
        _ => None,
    }
}
