//! `agent.comms.subscribeInbox`: what happens to an agent's messages, on a socket by which the agent also calls methods.
//!
//! ```text
//!   client ── #call { id, method, input } ──► the method, as over HTTP ──► #answer { id, output } or #failure { id, error }
//!          ── #renew { id, accessJwt } ─────► the socket goes on with the new token
//!          ◄── #item, #receipt ────────────── what has happened, each piece once, in the order of its number
//!          ◄── #info Live { seq } ─────────── everything up to here has been told
//! ```
//!
//! What is written here runs in the agent's object. Everything in [`Inbox`] is synchronous, so there is no hand-over to get wrong: a
//! reader becomes live in the turn that tells it the last that is stored, and what happens is told in the turn that stores it.
//! What a sleeping object must remember of a reader lies with its socket and costs no row.
//!
//! A socket may do what its token may, and ends with it: when the token does, when its session is ended, and when the account is put
//! to rest or taken down. A method that is called on it is looked at once more, as it is over HTTP.

mod frame;
mod reader;

use std::collections::BTreeMap;

use murmuration_comms::{Happened, News};
use murmuration_lexicons as lexicons;
use murmuration_rate::Rule;
use murmuration_relay::limits::PUMP_PAUSE_MS;
use murmuration_relay::pace::{Place, Step, high_water, step};
use murmuration_relay::{CLOSE_POLICY, Message, Opening, Pump, Refusal, Sockets, SubscriberId, opening};

use crate::XrpcError;
use crate::agent::comms::view;
use crate::agent::{Args, Context, check_standing};
use crate::auth;
use crate::method::{Auth, Standing};
use crate::token::Claims;

pub use frame::{Called, MAX_FRAME_BYTES, PATH, STREAM, SUBPROTOCOL, answered};
use frame::{Said, failure, info, item, outcome, receipt};
use reader::Reader;

/// The readers of an agent's inbox.
#[derive(Debug, Default)]
pub struct Inbox {
    readers: BTreeMap<SubscriberId, Reader>,
}

/// What a client asks for that opens a socket.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The cursor, as it was sent.
    cursor: Option<String>,
    /// Whether bodies are to be opened.
    opens: bool,
    /// By which token.
    claims: Claims,
}

impl Ask {
    /// Reads a request: who asks, and for what.
    ///
    /// # Errors
    /// What a method of the account answers to a caller that it refuses; `RateLimitExceeded` beyond [`MAX_SOCKETS`].
    pub fn read(
        context: &Context<'_>,
        inbox: &Inbox,
        authorization: Option<&str>,
        query: &[(String, String)],
    ) -> Result<Self, XrpcError> {
        let caller = auth::authenticate(context.config, Auth::Private, authorization, context.now_seconds())?;
        let claims = caller.claims()?.clone();
        let profile = context.account.profile().map_err(|_| foreign())?;
        if profile.did != claims.sub {
            return Err(foreign());
        }
        check_standing(Standing::Active, &profile)?;
        let params = lexicons::params(context.catalog, STREAM, query);
        let params = Args::new(params.map_err(|error| XrpcError::invalid(error.to_string()))?);
        if inbox.readers.len() >= MAX_SOCKETS {
            let error = XrpcError::new(429, "RateLimitExceeded", "The agent has too many sockets");
            return Err(error.with("retry-after", RETRY_SECONDS.to_string()));
        }
        let cursor = query.iter().find(|(name, _)| name == "cursor").map(|(_, value)| value.clone());
        Ok(Self { cursor, opens: params.flag("includeDecrypted").unwrap_or(true), claims })
    }

    /// Why a stream with this cursor cannot begin; `None` if it can.
    ///
    /// # Errors
    /// The storage's.
    pub fn refusal(&self, context: &Context<'_>) -> Result<Option<Refusal>, XrpcError> {
        let comms = context.account.comms()?;
        let head = comms.latest(context.clock.now_micros())?;
        Ok(match opening(self.cursor.as_deref(), head, comms.earliest()?) {
            Opening::Future => Some(Refusal::new("FutureCursor", "Cursor in the future.")),
            Opening::Malformed => {
                Some(Refusal::new("InvalidRequest", "The parameter cursor must be an integer"))
            }
            _ => None,
        })
    }
}

impl Inbox {
    /// Whether nobody reads.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    /// Begins a stream on an open socket. `unlimited`: the client has shown what frees of rate limits.
    ///
    /// # Errors
    /// The storage's.
    pub fn add(
        &mut self,
        context: &Context<'_>,
        sockets: &dyn Sockets,
        id: SubscriberId,
        ask: Ask,
        unlimited: bool,
    ) -> Result<(), XrpcError> {
        let comms = context.account.comms()?;
        let (head, earliest) = (comms.latest(context.clock.now_micros())?, comms.earliest()?);
        let opening = opening(ask.cursor.as_deref(), head, earliest);
        // What was not dropped of that time, because it is not done, is told all the same.
        let asked = ask.cursor.as_deref().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        let place = match opening {
            Opening::Replay { .. } | Opening::Outdated { .. } => Place::Behind { after: asked, fell: false },
            _ => Place::Live,
        };
        let reader = Reader::new(place, ask.claims, ask.opens, unlimited);
        sockets.keep(id, &reader.attachment());
        self.readers.insert(id, reader);
        if matches!(opening, Opening::Outdated { .. }) {
            sockets.send(&[id], Message::Text(&info("OutdatedCursor", earliest.saturating_sub(1))));
        }
        if place == Place::Live {
            sockets.send(&[id], Message::Text(&info("Live", head)));
        }
        Ok(())
    }

    /// Takes back a reader after the object has slept. Answers whether the attachment was one of ours.
    pub fn restore(&mut self, id: SubscriberId, attachment: &str) -> bool {
        let reader = Reader::of_attachment(attachment);
        let known = reader.is_some();
        self.readers.extend(reader.map(|reader| (id, reader)));
        known
    }

    /// Forgets a reader whose socket is gone.
    pub fn remove(&mut self, id: SubscriberId) {
        self.readers.remove(&id);
    }

    /// When the first token ends by which somebody reads, in microseconds since the Unix epoch.
    #[must_use]
    pub fn next_end(&self) -> Option<u64> {
        self.readers.values().map(|reader| reader.claims.exp.saturating_mul(1_000_000)).min()
    }

    /// Whether somebody reads from the storage.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.readers.values().any(|reader| reader.place != Place::Live)
    }

    /// To be called in the turn of whatever the object has done, before anything is awaited: tells what has happened, and
    /// ends the streams of those who may not read any more.
    ///
    /// # Errors
    /// The storage's. Every reader is cut then: it would miss what was not told.
    pub fn tend(&mut self, context: &Context<'_>, sockets: &dyn Sockets) -> Result<(), XrpcError> {
        let over = self.over(context);
        let told = match over {
            Some(over) => Err(over),
            None => self
                .end_sessions(context, sockets)
                .and_then(|()| self.expire(context, sockets))
                .and_then(|()| self.tell(context, sockets)),
        };
        let Err(error) = told else { return Ok(()) };
        let name = match error.error() {
            "AccountTakedown" => "AccountTakedown",
            "AccountDeactivated" => "AccountDeactivated",
            "InvalidToken" => "InvalidToken",
            _ => "InternalServerError",
        };
        let refusal = Refusal::new(name, error.message());
        for id in self.readers.keys().copied().collect::<Vec<_>>() {
            self.end(sockets, id, &refusal);
        }
        if error.cause().is_some() { Err(error) } else { Ok(()) }
    }

    /// Sends those who are behind what comes next for them, as far as they take it.
    ///
    /// # Errors
    /// The storage's.
    pub fn pump(&mut self, context: &Context<'_>, sockets: &dyn Sockets) -> Result<Pump, XrpcError> {
        let (now, mark) = (context.clock.now_micros(), high_water(self.readers.len()));
        let behind: Vec<SubscriberId> = self.readers.keys().copied().collect();
        let mut again = false;
        for id in behind {
            let Some(reader) = self.readers.get_mut(&id) else { continue };
            let Place::Behind { after, fell } = reader.place else { continue };
            // How many numbers it lags says nothing here: a number is a time.
            let place = Place::Behind { after, fell: false };
            match step(place, sockets.buffered(id), mark, after, reader.blocked_since, now / 1000) {
                Step::Cut => {
                    self.cut(sockets, id);
                    continue;
                }
                Step::Wait => {
                    reader.blocked_since.get_or_insert(now / 1000);
                    continue;
                }
                Step::Send => reader.blocked_since = None,
            }
            let page = context.account.comms()?.news(after, PAGE, now)?;
            for news in &page.news {
                sockets.send(&[id], Message::Text(&text(context, news, reader.opens)?));
            }
            reader.place = match page.complete {
                true => Place::Live,
                false => Place::Behind { after: page.through, fell },
            };
            again |= !page.complete;
            sockets.keep(id, &reader.attachment());
            if page.complete && !fell {
                let head = context.account.comms()?.latest(now)?;
                sockets.send(&[id], Message::Text(&info("Live", head)));
            }
        }
        Ok(match (self.is_behind(), again) {
            (false, _) => Pump::Idle,
            (true, true) => Pump::Again,
            (true, false) => Pump::Pause(PUMP_PAUSE_MS),
        })
    }

    /// What a client has said, if there is something to do: a call whose answer goes to [`Inbox::answer`]. `text` is `None` for
    /// what is no text.
    pub fn hear(
        &mut self,
        context: &Context<'_>,
        sockets: &dyn Sockets,
        id: SubscriberId,
        text: Option<&str>,
    ) -> Option<Called> {
        let reader = self.readers.get_mut(&id)?;
        if !reader.unlimited && reader.frames.take(FRAMES, 1, context.clock.now_micros()).is_err() {
            self.end(sockets, id, &Refusal::new("RateLimitExceeded", "Too many frames"));
            return None;
        }
        let said = text.ok_or_else(|| Refusal::new("InvalidFrame", "a frame must be text"));
        match said.and_then(|text| Said::read(context.catalog, text)) {
            Err(refusal) => {
                self.end(sockets, id, &refusal);
                None
            }
            Ok(Said::Call(Err((name, error)))) => {
                self.answer(sockets, id, &failure(&name, &error));
                None
            }
            Ok(Said::Call(Ok(called))) if self.waiting() >= MAX_WAITING => {
                let error = XrpcError::new(429, "RateLimitExceeded", "Too many calls wait");
                self.answer(sockets, id, &failure(&called.id, &error.with("retry-after", "1")));
                None
            }
            Ok(Said::Call(Ok(called))) => {
                let reader = self.readers.get_mut(&id)?;
                reader.waiting += 1;
                Some(Called { claims: Some(reader.claims.clone()), unlimited: reader.unlimited, ..called })
            }
            Ok(Said::Renew { id: name, token }) => {
                let renewed = self.renew(context, sockets, id, &token);
                self.answer(sockets, id, &outcome(&name, renewed));
                None
            }
        }
    }

    /// Sends the answer of a call that was heard, and lets the next come.
    pub fn finish(&mut self, sockets: &dyn Sockets, id: SubscriberId, text: &str) {
        if let Some(reader) = self.readers.get_mut(&id) {
            reader.waiting = reader.waiting.saturating_sub(1);
        }
        self.answer(sockets, id, text);
    }

    /// Calls that wait for an answer.
    fn waiting(&self) -> usize {
        self.readers.values().map(|reader| reader.waiting).sum()
    }

    /// Sends an answer. A client that asks and does not listen is cut.
    fn answer(&mut self, sockets: &dyn Sockets, id: SubscriberId, text: &str) {
        if !self.readers.contains_key(&id) {
            return;
        }
        if sockets.buffered(id) >= MOST_UNREAD_ANSWERS {
            self.cut(sockets, id);
            return;
        }
        sockets.send(&[id], Message::Text(text));
    }

    fn renew(
        &mut self,
        context: &Context<'_>,
        sockets: &dyn Sockets,
        id: SubscriberId,
        token: &str,
    ) -> Result<(), XrpcError> {
        let header = format!("Bearer {token}");
        let caller = auth::authenticate(context.config, Auth::Private, Some(&header), context.now_seconds())?;
        let claims = caller.claims()?;
        let reader = self.readers.get_mut(&id).ok_or_else(foreign)?;
        if claims.sub != reader.claims.sub {
            return Err(foreign());
        }
        reader.claims = claims.clone();
        sockets.keep(id, &reader.attachment());
        Ok(())
    }

    /// Why nobody may read any more; `None` if they may.
    fn over(&self, context: &Context<'_>) -> Option<XrpcError> {
        if self.readers.is_empty() {
            return None;
        }
        let profile = context.account.profile().map_err(|_| foreign());
        profile.and_then(|profile| check_standing(Standing::Active, &profile)).err()
    }

    /// Ends the streams whose sessions were ended. Reads a row for each stream when one was.
    fn end_sessions(&mut self, context: &Context<'_>, sockets: &dyn Sockets) -> Result<(), XrpcError> {
        if !context.account.sessions_ended() {
            return Ok(());
        }
        for (id, session) in
            self.readers.iter().map(|(id, reader)| (*id, reader.claims.sid.clone())).collect::<Vec<_>>()
        {
            // A token that names no session is of no session that lives.
            let lives = session.map(|session| context.account.session_lives(&session)).transpose()?;
            if lives != Some(true) {
                self.end(sockets, id, &Refusal::new(SESSION_ENDED, "The session was ended: log in again"));
            }
        }
        Ok(())
    }

    /// Ends the streams whose tokens have ended.
    fn expire(&mut self, context: &Context<'_>, sockets: &dyn Sockets) -> Result<(), XrpcError> {
        let now = context.now_seconds();
        let ended = self.readers.iter().filter(|(_, reader)| reader.claims.expired(now));
        for id in ended.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end(sockets, id, &Refusal::new("ExpiredToken", "Token has expired"));
        }
        Ok(())
    }

    /// Tells those who are live what has happened. Who can not take it is behind from here on.
    fn tell(&mut self, context: &Context<'_>, sockets: &dyn Sockets) -> Result<(), XrpcError> {
        let now = context.clock.now_micros();
        // Taken whether somebody reads or not: who comes later has a cursor, or wants to know nothing of it.
        let Ok(comms) = context.account.comms() else { return Ok(()) };
        let all = comms.fresh(now)?;
        if all.is_empty() || self.readers.is_empty() {
            return Ok(());
        }
        let mark = high_water(self.readers.len());
        for news in &all {
            for opens in [true, false] {
                let mut takers = Vec::new();
                for (id, reader) in &mut self.readers {
                    if reader.place != Place::Live || reader.opens != opens {
                        continue;
                    }
                    if sockets.buffered(*id) < mark {
                        takers.push(*id);
                    } else {
                        reader.place = Place::Behind { after: news.number.saturating_sub(1), fell: true };
                        sockets.keep(*id, &reader.attachment());
                    }
                }
                if !takers.is_empty() {
                    sockets.send(&takers, Message::Text(&text(context, news, opens)?));
                }
            }
        }
        Ok(())
    }

    fn cut(&mut self, sockets: &dyn Sockets, id: SubscriberId) {
        self.end(sockets, id, &Refusal::new("ConsumerTooSlow", "Stream consumer too slow"));
    }

    /// Ends the stream of a reader, and says why.
    fn end(&mut self, sockets: &dyn Sockets, id: SubscriberId, refusal: &Refusal) {
        sockets.send(&[id], Message::Text(&refusal.text()));
        sockets.close(id, CLOSE_POLICY, refusal.error);
        self.readers.remove(&id);
    }
}

/// The message of a piece of news.
fn text(context: &Context<'_>, news: &News, opens: bool) -> Result<String, XrpcError> {
    Ok(match &news.what {
        Happened::Came(came) => item(news.number, &view::item(context, came, opens)?),
        Happened::Told { id, receipt: told } => receipt(news.number, &view::receipt(*id, told)),
    })
}

fn foreign() -> XrpcError {
    XrpcError::invalid_token("Token could not be verified")
}

/// Sockets of an agent at a time: an agent needs one, and its owner's tools a few.
pub const MAX_SOCKETS: usize = 16;
/// Frames that a client may send on a socket: each may be a message, of which an account has 5,000 an hour.
pub const FRAMES: Rule = Rule::new(200, 1);
/// Calls on an agent's sockets that wait for their turn: with the largest bodies, 16 MB of an isolate's memory.
pub const MAX_WAITING: usize = 32;
/// Bytes that may lie before a client when another answer comes.
pub const MOST_UNREAD_ANSWERS: u64 = 4 << 20;
/// Pieces of news that are told at once to one who is behind.
const PAGE: usize = 256;
/// Seconds after which one that found no room may come again.
const RETRY_SECONDS: u32 = 60;
const SESSION_ENDED: &str = "SessionEnded";
