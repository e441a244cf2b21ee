//! A reader of the firehose.

use std::net::TcpStream;
use std::time::Duration;

use murmuration_data::{Ipld, cbor};
use serde_json::Value;
use tungstenite::handshake::client::Response;
use tungstenite::{ClientRequestBuilder, Error, Message, WebSocket};

/// A WebSocket to `com.atproto.sync.subscribeRepos`, or to any other path.
#[derive(Debug)]
pub struct Subscriber {
    socket: WebSocket<TcpStream>,
}

impl Subscriber {
    /// Connects to a path at a host's address, such as `127.0.0.1:2583`.
    ///
    /// # Panics
    /// When the host refuses.
    #[must_use]
    pub fn connect(address: &str, path: &str) -> Self {
        Self::ask(address, path, |request| request).0
    }

    /// Connects in the name of an account.
    ///
    /// # Panics
    /// When the host refuses.
    #[must_use]
    pub fn with_token(address: &str, path: &str, token: &str) -> Self {
        let token = format!("Bearer {token}");
        Self::ask(address, path, |request| request.with_header("authorization", token)).0
    }

    /// Connects, and offers `extension`: with what the host agrees to.
    ///
    /// # Panics
    /// When the host refuses.
    #[must_use]
    pub fn offering(address: &str, path: &str, extension: &str) -> (Self, Option<String>) {
        let (reader, answer) = Self::ask(address, path, |request| {
            request.with_header("sec-websocket-extensions", extension.to_owned())
        });
        let agreed = answer.headers().get("sec-websocket-extensions");
        (reader, agreed.and_then(|name| name.to_str().ok()).map(str::to_owned))
    }

    /// Connects, and has the host agree to speak `protocol`, the last of those that are offered.
    ///
    /// # Panics
    /// When the host refuses, or chooses another.
    #[must_use]
    pub fn speaking(address: &str, path: &str, protocol: &str) -> Self {
        let (reader, answer) = Self::ask(address, path, |request| {
            request.with_sub_protocol("xrpc.v9.other").with_sub_protocol(protocol)
        });
        let chosen = answer.headers().get("sec-websocket-protocol").and_then(|name| name.to_str().ok());
        assert_eq!(chosen, Some(protocol));
        reader
    }

    fn ask(
        address: &str,
        path: &str,
        more: impl FnOnce(ClientRequestBuilder) -> ClientRequestBuilder,
    ) -> (Self, Response) {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let uri = format!("ws://{address}{path}").parse().unwrap();
        let (socket, answer) = tungstenite::client(more(ClientRequestBuilder::new(uri)), stream).unwrap();
        (Self { socket }, answer)
    }

    /// The next message.
    ///
    /// # Errors
    /// When the socket closes, or nothing comes for long.
    pub fn message(&mut self) -> Result<Message, Error> {
        loop {
            match self.socket.read()? {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return Ok(message),
            }
        }
    }

    /// Sends a text.
    pub fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).unwrap();
    }

    /// The next frame.
    ///
    /// # Errors
    /// What came instead: a closed socket, or nothing for long.
    pub fn frame(&mut self) -> Result<Frame, String> {
        match self.message() {
            Ok(Message::Binary(bytes)) => Ok(Frame::parse(&bytes)),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The next message, which is JSON in a text.
    ///
    /// # Errors
    /// What came instead: a closed socket, or nothing for long.
    pub fn json(&mut self) -> Result<Value, String> {
        match self.message() {
            Ok(Message::Text(text)) => Ok(serde_json::from_str(&text).unwrap()),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Frames until one carries `seq` or more, which is the last.
    pub fn until(&mut self, seq: i128) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().unwrap();
            let last = frame.seq().is_some_and(|found| found >= seq);
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }
}

/// A frame of the firehose.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Its header.
    pub header: Ipld,
    /// Its payload.
    pub body: Ipld,
    /// All of it, as it came.
    pub bytes: Vec<u8>,
}

impl Frame {
    fn parse(bytes: &[u8]) -> Self {
        let (header, end) = cbor::decode_prefix(bytes).unwrap();
        let body = cbor::decode(&bytes[end..]).unwrap();
        Self { header, body, bytes: bytes.to_vec() }
    }

    /// Its type: `#commit`, `#sync`, `#identity`, `#account`, `#info`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self.header.get("t") {
            Ok(Some(Ipld::String(kind))) => kind,
            _ => "",
        }
    }

    /// Its sequence number, where it has one.
    #[must_use]
    pub fn seq(&self) -> Option<i128> {
        match self.body.get("seq") {
            Ok(Some(Ipld::Integer(seq))) => Some(*seq),
            _ => None,
        }
    }
}

/// How long a frame may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
