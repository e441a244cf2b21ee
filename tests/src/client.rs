//! A small blocking HTTP client.

use std::time::Duration;

use serde_json::Value;
use ureq::Body;
use ureq::http::{Request, Response};

/// Speaks to one host, perhaps in an account's name.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client of the host at a URL.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .build();
        Self { agent: config.into(), base: base.to_owned(), token: None }
    }

    /// The same client, with a bearer token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A query: `GET /xrpc/{nsid}`.
    pub fn get(&self, nsid: &str, parameters: &[(&str, &str)]) -> Answer {
        self.send("GET", &xrpc(nsid, parameters), &[], Vec::new()).unwrap()
    }

    /// A procedure with a JSON body: `POST /xrpc/{nsid}`.
    pub fn post(&self, nsid: &str, body: &Value) -> Answer {
        self.try_post(nsid, body).unwrap()
    }

    /// A procedure that may find nobody there.
    ///
    /// # Errors
    /// When no answer came.
    pub fn try_post(&self, nsid: &str, body: &Value) -> Result<Answer, String> {
        let headers = [("content-type", "application/json")];
        self.send("POST", &xrpc(nsid, &[]), &headers, body.to_string().into_bytes())
    }

    /// A procedure with bytes: `POST /xrpc/{nsid}`.
    pub fn post_bytes(&self, nsid: &str, mime_type: &str, body: &[u8]) -> Answer {
        self.send("POST", &xrpc(nsid, &[]), &[("content-type", mime_type)], body.to_vec()).unwrap()
    }

    /// Any path.
    pub fn path(&self, path: &str) -> Answer {
        self.try_path(path).unwrap()
    }

    /// Any path, where nobody may answer.
    ///
    /// # Errors
    /// When no answer came.
    pub fn try_path(&self, path: &str) -> Result<Answer, String> {
        self.send("GET", path, &[], Vec::new())
    }

    /// Any request.
    ///
    /// # Errors
    /// When no answer came.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = if body.is_empty() && method == "GET" {
            self.agent.run(request.body(()).unwrap())
        } else {
            self.agent.run(request.body(body).unwrap())
        };
        Answer::read(answer.map_err(|error| format!("{method} {path}: {error}"))?)
    }
}

/// What a host answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Header names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    fn read(mut response: Response<Body>) -> Result<Self, String> {
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let headers = headers.collect();
        let body = response.body_mut().with_config().limit(BODY_LIMIT).read_to_vec();
        let body = body.map_err(|error| format!("the body broke off: {error}"))?;
        Ok(Self { status: response.status().as_u16(), headers, body })
    }

    /// The answer, which must be a success.
    #[must_use]
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text());
        self
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn xrpc(nsid: &str, parameters: &[(&str, &str)]) -> String {
    let mut path = format!("/xrpc/{nsid}");
    for (index, (name, value)) in parameters.iter().enumerate() {
        path.push(if index == 0 { '?' } else { '&' });
        path.push_str(name);
        path.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    path.push(char::from(byte))
                }
                _ => path.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    path
}

/// Longer than anything here may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Larger than anything a test asks for.
const BODY_LIMIT: u64 = 1 << 30;
