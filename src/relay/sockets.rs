//! The sockets of those who read the host's events. They hibernate: the platform keeps them while the object sleeps.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use futures_channel::oneshot;
use js_sys::{JsString, Uint8Array};
use murmuration_relay::{Message, Sockets, SubscriberId};
use wasm_bindgen::prelude::*;
use worker::{State, WebSocket};

#[wasm_bindgen]
extern "C" {
    /// A socket that takes a message of either kind as JavaScript has it.
    type Outgoing;

    #[wasm_bindgen(method, catch)]
    fn send(this: &Outgoing, message: &JsValue) -> Result<(), JsValue>;
}

/// The tag of a reader's socket. Other sockets of the object would have others.
const TAG: &str = "reader";
/// The attachment of a socket that was closed from here; its other end may take a while to answer.
const CLOSED: &str = "closed";

/// The sockets that are open, by the name that this object has given them.
#[derive(Default)]
pub(super) struct OpenSockets {
    open: RefCell<BTreeMap<SubscriberId, WebSocket>>,
    /// Answers that wait for an event.
    waiting: RefCell<BTreeMap<SubscriberId, oneshot::Sender<()>>>,
    last: Cell<SubscriberId>,
}

impl OpenSockets {
    /// Accepts a new one.
    pub(super) fn accept(&self, state: &State, socket: WebSocket) -> SubscriberId {
        state.accept_websocket_with_tags(&socket, &[TAG]);
        let id = self.next();
        self.open.borrow_mut().insert(id, socket);
        id
    }

    /// Names an answer that waits for an event, and what tells it of one.
    pub(super) fn waiter(&self) -> (SubscriberId, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        let id = self.next();
        self.waiting.borrow_mut().insert(id, sender);
        (id, receiver)
    }

    /// Forgets an answer that does not wait any more.
    pub(super) fn forget(&self, id: SubscriberId) {
        self.waiting.borrow_mut().remove(&id);
    }

    /// A name that nobody has.
    fn next(&self) -> SubscriberId {
        self.last.set(self.last.get() + 1);
        self.last.get()
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
        let id = name(socket)?;
        self.open.borrow_mut().remove(&id);
        Some(id)
    }
}

impl Sockets for OpenSockets {
    fn buffered(&self, id: SubscriberId) -> u64 {
        let raw = |socket: &WebSocket| u64::from(socket.as_ref().buffered_amount());
        self.open.borrow().get(&id).map_or(0, raw)
    }

    fn send(&self, ids: &[SubscriberId], message: Message<'_>) {
        if ids.is_empty() {
            return;
        }
        // The platform sends from this later, and does not change it: one copy serves all.
        let message: JsValue = match message {
            Message::Frame(frame) => Uint8Array::from(frame).buffer().into(),
            Message::Text(text) => JsString::from(text).into(),
        };
        let open = self.open.borrow();
        for socket in ids.iter().filter_map(|id| open.get(id)) {
            // One that is closing refuses; its end is on the way to us.
            let _ = socket.as_ref().unchecked_ref::<Outgoing>().send(&message);
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

    fn wake(&self, ids: &[SubscriberId]) {
        let mut waiting = self.waiting.borrow_mut();
        for sender in ids.iter().filter_map(|id| waiting.remove(id)) {
            // One that has given up does not listen.
            let _ = sender.send(());
        }
    }
}

/// The name of a socket; `None` for one that was closed from here, or is no reader's.
pub(super) fn name(socket: &WebSocket) -> Option<SubscriberId> {
    attachment(socket).map(|(id, _)| id)
}

/// The name of a socket, and what was kept with it.
fn attachment(socket: &WebSocket) -> Option<(SubscriberId, String)> {
    let text: String = socket.deserialize_attachment().ok().flatten()?;
    let (id, attachment) = text.split_once(' ')?;
    Some((id.parse().ok()?, attachment.to_owned()))
}
