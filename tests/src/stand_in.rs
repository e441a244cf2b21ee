//! A stand-in for another service: an HTTP server on a free port that notes what it is sent and answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a request was.
#[derive(Clone, Debug)]
pub struct Noted {
    /// The method.
    pub method: String,
    /// Path and query, as they came.
    pub path: String,
    /// Header names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Noted {
    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What becomes of a request.
pub enum Reply {
    /// An answer: status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Raw bytes that are written as they are, again and again with a pause between; the connection stays as long as the
    /// other side wants it. `None` ends it.
    Raw(Box<dyn FnMut() -> Option<Vec<u8>> + Send>),
    /// The connection is cut without an answer.
    Cut,
}

impl Reply {
    /// An answer of JSON.
    #[must_use]
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::Answer(
            status,
            vec![("content-type", "application/json".to_owned())],
            body.to_string().into_bytes(),
        )
    }

    /// The same with another header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Answer(_, headers, _) = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

type Script = dyn Fn(&Noted) -> Reply + Send + Sync;

/// A running stand-in. It ends with the test's process.
pub struct StandIn {
    port: u16,
    noted: Arc<Mutex<Vec<Noted>>>,
    script: Arc<Mutex<Arc<Script>>>,
}

impl StandIn {
    /// Starts one that answers as `script` says.
    #[must_use]
    pub fn start(script: impl Fn(&Noted) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let noted = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Mutex<Arc<Script>>> = Arc::new(Mutex::new(Arc::new(script)));
        let (log, told) = (Arc::clone(&noted), Arc::clone(&script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, told) = (Arc::clone(&log), Arc::clone(&told));
                thread::spawn(move || drop(serve(stream, &log, &told)));
            }
        });
        Self { port, noted, script }
    }

    /// Answers as `script` says from now on.
    pub fn script(&self, script: impl Fn(&Noted) -> Reply + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// Its origin.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its DID, whose document it must serve itself.
    #[must_use]
    pub fn did(&self) -> String {
        format!("did:web:localhost%3A{}", self.port)
    }

    /// What it was sent since this was last asked.
    #[must_use]
    pub fn take(&self) -> Vec<Noted> {
        std::mem::take(&mut *self.noted.lock().unwrap())
    }
}

/// Serves one request, which is all that a connection carries: so none is lost to a connection that was about to end.
fn serve(stream: TcpStream, log: &Mutex<Vec<Noted>>, script: &Mutex<Arc<Script>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    if let Some(noted) = request(&mut reader)? {
        let script = Arc::clone(&*script.lock().unwrap());
        let reply = script(&noted);
        let head = noted.method == "HEAD";
        log.lock().unwrap().push(noted);
        match reply {
            Reply::Cut => return Ok(()),
            Reply::Raw(mut next) => {
                while let Some(bytes) = next() {
                    writer.write_all(&bytes)?;
                    writer.flush()?;
                }
                return Ok(());
            }
            Reply::Answer(status, headers, body) => {
                write!(
                    writer,
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n",
                    body.len()
                )?;
                for (name, value) in headers {
                    write!(writer, "{name}: {value}\r\n")?;
                }
                write!(writer, "\r\n")?;
                if !head {
                    writer.write_all(&body)?;
                }
                writer.flush()?;
            }
        }
    }
    Ok(())
}

fn request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Noted>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let find = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let mut body = Vec::new();
    if find("transfer-encoding") == Some("chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    } else if let Some(length) = find("content-length").and_then(|text| text.parse().ok()) {
        body = vec![0; length];
        reader.read_exact(&mut body)?;
    }
    Ok(Some(Noted { method, path, headers, body }))
}

/// Waits a little: for a reply that is to come slowly.
pub fn pause(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}
