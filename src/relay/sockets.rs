//! The sockets of the firehose's readers. They hibernate: the platform keeps them while the object sleeps.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use murmuration_relay::{Sockets, SubscriberId};
use worker::{State, WebSocket};

/// The tag of a reader's socket. Other sockets of the object would have others.
const TAG: &str = "repos";
/// The attachment of a socket that was closed from here; its other end may take a while to answer.
const CLOSED: &str = "closed";

/// The sockets that are open, by the name that this object has given them.
#[derive(Default)]
pub(super) struct OpenSockets {
    open: RefCell<BTreeMap<SubscriberId, WebSocket>>,
    last: Cell<SubscriberId>,
}

impl OpenSockets {
    /// Accepts a new one.
    pub(super) fn accept(&self, state: &State, socket: WebSocket) -> SubscriberId {
        state.accept_websocket_with_tags(&socket, &[TAG]);
        let id = self.last.get() + 1;
        self.last.set(id);
        self.open.borrow_mut().insert(id, socket);
        id
    }

    /// Finds those that were open while the object slept, with what was kept with each.
    pub(super) fn wake(&self, state: &State) -> Vec<(SubscriberId, String)> {
        let mut open = self.open.borrow_mut();
        open.clear();
        let mut kept = Vec::new();
        for socket in state.get_websockets_with_tag(TAG) {
            if let Some((id, attachment)) = attachment(&socket) {
                self.last.set(self.last.get().max(id));
                open.insert(id, socket);
                kept.push((id, attachment));
            }
        }
        kept
    }

    /// Forgets one that is gone, and says which it was.
    pub(super) fn remove(&self, socket: &WebSocket) -> Option<SubscriberId> {
        let (id, _) = attachment(socket)?;
        self.open.borrow_mut().remove(&id);
        Some(id)
    }
}

impl Sockets for OpenSockets {
    fn buffered(&self, id: SubscriberId) -> u64 {
        let raw = |socket: &WebSocket| u64::from(socket.as_ref().buffered_amount());
        self.open.borrow().get(&id).map_or(0, raw)
    }

    fn send(&self, ids: &[SubscriberId], frame: &[u8]) {
        // The platform sends from this buffer later, and does not change it: one copy serves all.
        let buffer = js_sys::Uint8Array::from(frame).buffer();
        let open = self.open.borrow();
        for socket in ids.iter().filter_map(|id| open.get(id)) {
            // One that is closing refuses; its end is on the way to us.
            let _ = socket.as_ref().send_with_array_buffer(&buffer);
        }
    }

    fn keep(&self, id: SubscriberId, attachment: &str) {
        if let Some(socket) = self.open.borrow().get(&id) {
            let _ = socket.serialize_attachment(format!("{id} {attachment}"));
        }
    }

    fn close(&self, id: SubscriberId, code: u16, reason: &str) {
        if let Some(socket) = self.open.borrow_mut().remove(&id) {
            let _ = socket.serialize_attachment(CLOSED);
            let _ = socket.close(Some(code), Some(reason));
        }
    }
}

/// The name of a socket, and what was kept with it.
fn attachment(socket: &WebSocket) -> Option<(SubscriberId, String)> {
    let text: String = socket.deserialize_attachment().ok().flatten()?;
    let (id, attachment) = text.split_once(' ')?;
    Some((id.parse().ok()?, attachment.to_owned()))
}
