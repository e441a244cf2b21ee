//! A connection that is kept, and does no more than HTTP asks: the load must not weigh more than what it measures.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One client's connection to a host.
#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    /// The header lines that every request carries.
    common: String,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    /// Connects to a host in the name of whoever has the token.
    pub(super) fn open(address: &str, token: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let common = format!("host: {address}\r\nauthorization: Bearer {token}\r\n");
        Self {
            stream: BufReader::with_capacity(BUFFER_BYTES, stream),
            common,
            line: String::new(),
            body: Vec::new(),
        }
    }

    /// Asks, and answers the body.
    ///
    /// # Panics
    /// When the answer is not 200.
    pub(super) fn get(&mut self, path: &str) -> &[u8] {
        self.send(format!("GET {path} HTTP/1.1\r\n{}\r\n", self.common).as_bytes())
    }

    /// Posts JSON, and answers the body.
    ///
    /// # Panics
    /// When the answer is not 200.
    pub(super) fn post(&mut self, path: &str, json: &str) -> &[u8] {
        let request = format!(
            "POST {path} HTTP/1.1\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
            self.common,
            json.len()
        );
        self.send(request.as_bytes())
    }

    fn send(&mut self, request: &[u8]) -> &[u8] {
        self.stream.get_mut().write_all(request).unwrap();
        let status = self.next_line().split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.next_line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.trim().eq_ignore_ascii_case("chunked");
            }
        }
        self.body.clear();
        if chunked {
            loop {
                let size = usize::from_str_radix(self.next_line().trim(), 16).unwrap();
                self.take(size);
                assert_eq!(self.next_line(), "", "a chunk ends its line");
                if size == 0 {
                    break;
                }
            }
        } else {
            self.take(length);
        }
        assert_eq!(status, "200", "{}", String::from_utf8_lossy(&self.body));
        &self.body
    }

    fn next_line(&mut self) -> &str {
        self.line.clear();
        let count = self.stream.read_line(&mut self.line).unwrap();
        assert!(count > 0, "the connection ended");
        self.line.trim_end_matches(['\r', '\n'])
    }

    fn take(&mut self, count: usize) {
        let start = self.body.len();
        self.body.resize(start + count, 0);
        self.stream.read_exact(&mut self.body[start..]).unwrap();
    }
}

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const BUFFER_BYTES: usize = 64 * 1024;
