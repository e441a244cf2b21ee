//! Memories that are shared, on their way from the author to a reader.

use murmuration_bridge::BridgeError;
use murmuration_bridge::resolver::Purpose;
use murmuration_memory::MemoryError;
use murmuration_platform::{OutboundRequest, Verb};
use murmuration_syntax::{AtIdentifier, AtUri, Did, Nsid, RepoPath};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::comms::carry::inbox;
use super::comms::home::Home;
use super::comms::{TIMEOUT_MS, known_or_away};
use super::{Host, HostCall, agents};
use crate::XrpcError;
use crate::agent::internal::comms::{Made, Reader, ReaderKeys};
use crate::agent::internal::memory::{GivenMemory, MemoryCall, Shared};
use crate::agent::internal::{Description, InternalCall, ProxyCall};
use crate::agent::memory::share::subjects;
use crate::auth::Caller;
use crate::http::Response;

const GET_SHARED: &str = "agent.memory.getSharedMemory";

impl Host<'_> {
    /// `agent.memory.shareMemory`
    pub(crate) async fn share_memory(&self, call: HostCall) -> Result<Response, XrpcError> {
        let account = call.account.as_ref().ok_or_else(XrpcError::auth_missing)?;
        let to = self.share_with(subjects(&account.did, &call.input, "subjects")?).await?;
        let uri = call.input.text("uri").unwrap_or_default().to_owned();
        let believe = call.input.flag("acceptNewKeys").unwrap_or(false);
        let share = InternalCall::Memory(MemoryCall::Share { uri, to, believe });
        let shared: Result<Shared, XrpcError> = agents::ask(self.agents, &account.did, share).await;
        let Shared { shares, notices } = shared.map_err(known_or_away)?;
        self.carry_all(account, notices).await?;
        Response::json(&serde_json::json!({ "shares": shares }))
    }

    /// Those with whom a memory is to be shared, with what they publish of their keys.
    ///
    /// # Errors
    /// `RecipientNotFound` and `NoRecipientKey`.
    pub async fn share_with(&self, to: Vec<Did>) -> Result<Vec<Reader>, XrpcError> {
        self.readers(to, false).await
    }

    /// Brings messages to their readers that an agent's object has made as it kept a memory.
    ///
    /// # Errors
    /// When the object does not answer.
    pub async fn tell_of_shares(&self, sender: &Did, notices: Vec<Made>) -> Result<(), XrpcError> {
        let account = agents::describe(self.agents, sender, false).await?;
        let account = account.ok_or_else(|| XrpcError::repo_not_found(sender))?;
        self.carry_all(&account, notices).await
    }

    /// What does not arrive now is tried again as any message is.
    async fn carry_all(&self, account: &Description, notices: Vec<Made>) -> Result<(), XrpcError> {
        let carried = notices.into_iter().map(|made| self.carry_made(account, made));
        futures_util::future::join_all(carried).await.into_iter().try_for_each(|made| made.map(drop))
    }

    /// `agent.memory.getSharedMemory`
    pub(crate) async fn shared_memory(&self, call: HostCall) -> Result<Response, XrpcError> {
        let Caller::Delivery { from, to, token } = call.caller else { return Err(XrpcError::auth_missing()) };
        let none = || XrpcError::from(MemoryError::NotFound);
        let uri = AtUri::parse(call.params.text("uri").unwrap_or_default()).map_err(|_| none())?;
        let author = matches!(uri.authority(), AtIdentifier::Did(did) if *did == to);
        let path = uri.path().filter(|_| author).ok_or_else(none)?;
        let key = call.params.text("key").unwrap_or_default();
        if self.directory.by_did(&to).await?.is_none() {
            return Err(none());
        }
        Response::json(&self.give(&from, &to, &path, key, Some(token)).await?)
    }

    /// `agent.memory.getMemory`
    pub(crate) async fn memory(&self, call: HostCall) -> Result<Response, XrpcError> {
        let own = call.caller.claims()?.sub.clone();
        let text = call.params.text("uri").unwrap_or_default();
        let uri = AtUri::parse(text).map_err(|error| XrpcError::invalid(error.to_string()))?;
        let author = match uri.authority() {
            AtIdentifier::Did(author) if *author != own => author.clone(),
            _ => {
                let show = InternalCall::Memory(MemoryCall::Own { uri: text.to_owned() });
                return agents::pass(self.agents, &own, show).await;
            }
        };
        let path = uri.path().ok_or(MemoryError::NotFound)?;
        let key: String = agents::ask(self.agents, &own, InternalCall::Memory(MemoryCall::Key)).await?;
        let given = match self.home(&author).await? {
            Home::Here | Home::Hidden => self.give(&own, &author, &path, &key, None).await,
            Home::Elsewhere => self.fetch_shared(&own, &author, &path, &key).await,
        };
        let path = path.to_string();
        match given {
            Ok(given) => {
                let open = MemoryCall::Open { author, path, given: Box::new(given) };
                agents::pass(self.agents, &own, InternalCall::Memory(open)).await
            }
            Err(error) => {
                if error.error() == "MemoryNotFound" {
                    let forget = InternalCall::Memory(MemoryCall::Forget { author, path });
                    agents::tell(self.agents, &own, forget).await?;
                }
                Err(error)
            }
        }
    }

    /// What an agent of this host gives of a memory to a reader. The reader's keys are looked up where they are wanted.
    async fn give(
        &self,
        reader: &Did,
        author: &Did,
        path: &RepoPath,
        key: &str,
        token: Option<(String, u64)>,
    ) -> Result<GivenMemory, XrpcError> {
        let give = async |to, token| {
            let give = MemoryCall::Give { path: path.to_string(), to, key: key.to_owned(), token };
            let given: Option<GivenMemory> =
                agents::ask(self.agents, author, InternalCall::Memory(give)).await?;
            Ok::<_, XrpcError>(given)
        };
        let unknown = Reader { did: reader.clone(), keys: ReaderKeys::NotNeeded };
        if let Some(given) = give(unknown, token).await? {
            return Ok(given);
        }
        let given = give(self.reader(reader.clone(), false).await?, None).await.map_err(known_or_away)?;
        given.ok_or_else(|| XrpcError::internal("a memory was not given"))
    }

    /// What an agent of another host gives of a memory to one of this.
    async fn fetch_shared(
        &self,
        reader: &Did,
        author: &Did,
        path: &RepoPath,
        key: &str,
    ) -> Result<GivenMemory, XrpcError> {
        let away = |what: String| XrpcError::upstream(format!("{author}: {what}"));
        let none = || XrpcError::from(MemoryError::NotFound);
        let document = match self.document(author, Purpose::Authentication).await {
            Err(error) if error.is_transient() => return Err(away(error.to_string())),
            other => other.map_err(|_: BridgeError| none())?,
        };
        let endpoint = inbox(&document).ok_or_else(none)?;
        let token = ProxyCall::Token {
            aud: format!("{author}#agent_inbox"),
            lxm: Nsid::parse(GET_SHARED).map_err(XrpcError::internal)?,
            even_takendown: false,
        };
        let token: String = agents::ask(self.agents, reader, InternalCall::Proxy(token)).await?;
        let uri = format!("at://{author}/{path}");
        let [uri, key] = [&uri, key].map(|value| utf8_percent_encode(value, NON_ALPHANUMERIC));
        let request = OutboundRequest {
            verb: Verb::Get,
            url: format!("{endpoint}/xrpc/{GET_SHARED}?uri={uri}&key={key}"),
            headers: vec![("authorization".into(), format!("Bearer {token}"))],
            body: Vec::new(),
            max_bytes: MAX_GIVEN_BYTES,
            timeout_ms: TIMEOUT_MS,
        };
        let answer = self.outbound.send(request).await.map_err(|error| away(error.to_string()))?;
        match (answer.status, serde_json::from_slice(&answer.body)) {
            (200, Ok(given)) => Ok(given),
            (400 | 403 | 404, _) => Err(none()),
            (status, _) => Err(away(format!("its host answered {status}"))),
        }
    }
}

/// Bytes of a memory that is given, in JSON: an envelope, a key, and what lies apart, in base 64.
const MAX_GIVEN_BYTES: usize = 2 * 1024 * 1024;
