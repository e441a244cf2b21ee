//! Any method by any caller, wherever it runs.

use std::rc::Rc;

use data_encoding::BASE64URL_NOPAD;
use murmuration_account::Account;
use murmuration_data::cid_of_raw;
use murmuration_lexicons::Catalog;
use murmuration_platform::Clock;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_syntax::{AtIdentifier, Did};
use murmuration_xrpc::agent::internal::{self, BlobEntry, InternalCall};
use murmuration_xrpc::agent::memory::share_with;
use murmuration_xrpc::agent::{self, Context, Reply};
use murmuration_xrpc::host::is_own;
use murmuration_xrpc::http::{Body, Request, Response, Verb};
use murmuration_xrpc::method::{Kind, Place, Route};
use murmuration_xrpc::token::{self, Claims, Scope};
use murmuration_xrpc::{XrpcError, auth, table};
use serde_json::Value;

use super::{World, block_on, plain};

/// `Authorization` of the operator: the password is "admin".
pub const OPERATOR: &str = "Basic YWRtaW46YWRtaW4=";

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap()
}

impl World {
    /// Status and body of any method, as the Worker routes it. `query` for a query, `input` for a procedure.
    pub fn ask(
        &self,
        nsid: &str,
        header: Option<&str>,
        query: &[(&str, &str)],
        input: &Value,
    ) -> (u16, Value) {
        plain(self.route(&request(nsid, header, query, input)))
    }

    /// Status and body of a `com.atproto.sync.getRecord`.
    pub fn proof(&self, did: &str, collection: &str, rkey: &str) -> (u16, Vec<u8>) {
        let query = [("did", did), ("collection", collection), ("rkey", rkey)];
        let request = Request {
            verb: Verb::Get,
            nsid: "com.atproto.sync.getRecord".into(),
            query: query.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            authorization: None,
            content_type: None,
            body: Vec::new(),
        };
        let answer = self.route(&request).unwrap_or_else(Response::from);
        match answer.body {
            Body::Bytes(_, bytes) => (answer.status, bytes),
            Body::Json(json) => (answer.status, json.into_bytes()),
            _ => panic!("no body"),
        }
    }

    fn route(&self, request: &Request) -> Result<Response, XrpcError> {
        let method = table::find(&request.nsid).unwrap();
        let param = |name: &str| request.query.iter().find(|(key, _)| key == name).unwrap().1.clone();
        let header = request.authorization.as_deref();
        match method.place {
            Place::Wide { own, .. } if is_own(&request.query, header.is_some()) => {
                let now = self.clock.now_micros() / 1_000_000;
                let did = auth::authenticate(&self.config, method.auth, header, now)?.claims()?.sub.clone();
                self.inside(&did, |context| match agent::answer(context, method, own, request)? {
                    Reply::Now(response) => Ok(response),
                    _ => panic!("a search changes nothing"),
                })
            }
            Place::Host(run) | Place::Wide { wide: run, .. } => {
                block_on(self.host().answer(method, run, request))
            }
            Place::Agent { route, run } => {
                let did = match route {
                    Route::Subject => {
                        let now = self.clock.now_micros() / 1_000_000;
                        auth::authenticate(&self.config, method.auth, header, now)?.claims()?.sub.clone()
                    }
                    Route::Did(name) => param(name).parse().unwrap(),
                    Route::Repo(name) => match AtIdentifier::parse(&param(name)).unwrap() {
                        AtIdentifier::Did(did) => did,
                        AtIdentifier::Handle(_) => {
                            block_on(self.host().locate(&param(name))).unwrap().unwrap()
                        }
                    },
                };
                let to = self.inside(&did, |context| share_with(context, method, request))?;
                let readers = block_on(self.host().share_with(to))?;
                let mut sent = Vec::new();
                let response = self.inside(&did, |context| {
                    let answer = |clock: &dyn Clock| {
                        let context = Context { clock, readers: &readers, ..*context };
                        agent::answer(&context, method, run, request)
                    };
                    match self.objects.run(context.account, answer)? {
                        Reply::Now(response) | Reply::Changed(response) => Ok(response),
                        Reply::Sent(response, notices) => {
                            sent = notices;
                            Ok(response)
                        }
                        Reply::AfterWrite(writes, finish) => {
                            finish(context.account.write(&[writes], self.clock.now_micros()).remove(0)?)
                        }
                    }
                });
                if !sent.is_empty() {
                    block_on(self.host().tell_of_shares(&did, sent))?;
                }
                response
            }
            Place::BlobDownload => {
                let call = InternalCall::FindBlob {
                    authorization: request.authorization.clone(),
                    cid: param("cid"),
                };
                self.inside(&param("did").parse().unwrap(), |context| internal::answer(context, call))
            }
            Place::Inbox => {
                let now = self.clock.now_micros() / 1_000_000;
                auth::authenticate(&self.config, method.auth, header, now)?;
                panic!("a socket is no answer")
            }
            _ => panic!("{} is not for this", request.nsid),
        }
    }

    /// Status and body of an upload of some bytes.
    pub fn upload(&self, did: &str, header: Option<&str>, bytes: &[u8]) -> (u16, Value) {
        let blob = BlobEntry {
            cid: cid_of_raw(bytes).to_string(),
            key: format!("k{}", self.clock.now_micros()),
            mime_type: "image/png".into(),
            size: bytes.len().try_into().unwrap(),
        };
        let method = table::find("com.atproto.repo.uploadBlob").unwrap();
        let uploader = match block_on(self.host().uploader(method, header)) {
            Ok(uploader) => uploader,
            Err(refusal) => return plain(Err(refusal)),
        };
        let did = did.parse().unwrap();
        let answer = |call| plain(self.inside(&did, |context| internal::answer(context, call)));
        let expected = InternalCall::ExpectBlob { uploader: uploader.clone(), key: blob.key.clone() };
        let (status, refusal) = answer(expected);
        if status != 200 {
            return (status, refusal);
        }
        answer(InternalCall::AddBlob { uploader, blob })
    }

    /// Runs something in an object.
    pub fn inside<T>(&self, did: &Did, work: impl FnOnce(&Context<'_>) -> T) -> T {
        let mut accounts = self.objects.accounts.borrow_mut();
        let account = accounts.entry(did.clone()).or_insert_with(|| {
            Account::new(Rc::new(SqliteStore::open().unwrap()), self.config.kek.clone(), true)
        });
        work(&Context {
            account,
            config: &self.config,
            catalog: Catalog::builtin(),
            clock: &*self.clock,
            entropy: &*self.clock,
            embedder: &*self.objects.embedder,
            readers: &[],
        })
    }

    /// `Authorization` of an account, by a token of that scope that this host has signed.
    pub fn bearer(&self, did: &str, scope: Scope) -> String {
        let now = self.clock.now_micros() / 1_000_000;
        let claims = Claims {
            scope,
            sub: did.parse().unwrap(),
            aud: self.config.service_did(),
            iat: now,
            exp: now + 60,
            jti: None,
            sid: None,
        };
        format!("Bearer {}", token::sign(&self.config.jwt_secret, &claims).unwrap())
    }
}

/// A call as it comes.
pub fn request(nsid: &str, header: Option<&str>, query: &[(&str, &str)], input: &Value) -> Request {
    let method = table::find(nsid).unwrap_or_else(|| panic!("no {nsid}"));
    let procedure = method.kind == Kind::Procedure;
    Request {
        verb: if procedure { Verb::Post } else { Verb::Get },
        nsid: nsid.into(),
        query: query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        authorization: header.map(str::to_owned),
        content_type: procedure.then(|| "application/json".into()),
        body: if input.is_null() { Vec::new() } else { input.to_string().into_bytes() },
    }
}

/// Whether JavaScript has all the numbers of a value.
pub fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_i64().is_some_and(|number| number.unsigned_abs() < 1 << 53),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(fields) => fields.values().all(is_exact),
        _ => true,
    }
}
