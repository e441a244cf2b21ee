//! What the method table says of a method.

use crate::agent::AgentHandler;
use crate::host::HostMethod;

/// A method, declared once.
pub struct Method {
    /// The method's name.
    pub nsid: &'static str,
    /// Query, procedure or subscription: decides the verb.
    pub kind: Kind,
    /// Who may call it.
    pub auth: Auth,
    /// Where it runs.
    pub place: Place,
    /// Points that a call costs its caller (rate limits).
    pub cost: u32,
}

/// The three kinds of <https://atproto.com/specs/lexicon>.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// GET or HEAD.
    Query,
    /// POST.
    Procedure,
    /// A WebSocket.
    Subscription,
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Auth {
    /// Anyone; a token is not looked at.
    Open,
    /// The account itself, by an access token.
    Access,
    /// The account itself, by a refresh token.
    Refresh,
    /// The account itself, by a refresh token that may have expired: to end its session.
    RefreshEvenExpired,
}

/// Where a method runs.
#[derive(Clone, Copy)]
pub enum Place {
    /// In the Worker.
    Host(HostMethod),
    /// In the object of the account that `route` names.
    Agent {
        /// How the account is found.
        route: Route,
        /// What runs there.
        run: AgentHandler,
    },
    /// In the Worker, which moves the bytes, and in the caller's object, which keeps the books.
    BlobUpload,
    /// The same for a download.
    BlobDownload,
    /// In the host's relay.
    Relay,
}

/// How the account of a request is found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Route {
    /// The subject of the bearer token; the object verifies it.
    Subject,
    /// A parameter that holds a DID.
    Did(&'static str),
    /// A parameter that holds a DID or a handle: the handle costs one directory read.
    Repo(&'static str),
}
