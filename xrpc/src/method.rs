//! What the method table says of a method.

use crate::XrpcError;
use crate::agent::AgentHandler;
use crate::host::proxy::Treatment;
use crate::host::{Host, HostCall, Task};
use crate::http::Response;
use crate::limits::Limit;

/// A method that runs in the Worker.
pub type HostHandler = for<'a> fn(&'a Host<'a>, HostCall) -> Task<'a, Result<Response, XrpcError>>;

/// A method, declared once.
#[derive(Clone, Copy)]
pub struct Method {
    /// The method's name.
    pub nsid: &'static str,
    /// Query, procedure or subscription: decides the verb.
    pub kind: Kind,
    /// Who may call it.
    pub auth: Auth,
    /// What the caller's account must be.
    pub standing: Standing,
    /// Where it runs.
    pub place: Place,
    /// Points of what a client may ask of all methods together that a call costs: 1 for most, more for one that makes much
    /// work, none for one that is counted by itself.
    pub cost: u32,
    /// The method's own limits.
    pub limits: &'static [Limit],
    /// Bytes of the largest JSON body.
    pub max_json: usize,
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

/// Who may call a method. *The account itself* shows a session's token; *full* means that the session was begun with the
/// account's own password, not with an app password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Auth {
    /// Anyone; a token is not looked at.
    Open,
    /// Anyone; but the account itself, or the operator, sees what is hidden from others.
    Optional,
    /// As [`Auth::Optional`], and the account itself by the token that it has while it is taken down: it may leave with
    /// what is its own.
    OptionalEvenTakendown,
    /// The account itself, by an access token.
    Access,
    /// As [`Auth::Access`], and by the token of an account that is taken down: what it needs to leave, or to appeal.
    AccessEvenTakendown,
    /// The account itself, by an access token that reaches private messages: not one of an app password, unless it is privileged.
    Private,
    /// Anyone, for what is public; the account itself as [`Auth::Private`], for its own, too.
    OptionalPrivate,
    /// The account itself, in full.
    Full,
    /// As [`Auth::Full`], and by the token of an account that is taken down.
    FullEvenTakendown,
    /// The account itself, by an access token or, from another host, by a service token for this method.
    AccessOrService,
    /// Anyone, or an account of another host by a service token for this method.
    OptionalService,
    /// The account itself, by a refresh token.
    Refresh,
    /// The account itself, by a refresh token that may have expired: to end its session.
    RefreshEvenExpired,
    /// An account of any host, by a service token for this method and for the inbox of an account of this host.
    Delivery,
    /// The operator, by the admin password.
    Admin,
    /// The operator, or the moderation service that the operator trusts, by a service token.
    Moderator,
}

/// What the caller's account must be, beside its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Anything.
    Any,
    /// Not taken down.
    NotTakendown,
    /// Neither taken down nor deactivated.
    Active,
}

/// Where a method runs.
#[derive(Clone, Copy)]
pub enum Place {
    /// In the Worker.
    Host(HostHandler),
    /// In the object of the account that `route` names.
    Agent {
        /// How the account is found.
        route: Route,
        /// What runs there.
        run: AgentHandler,
    },
    /// In the caller's object where it is about their own alone, and in the Worker otherwise.
    Wide {
        /// What runs in the object.
        own: AgentHandler,
        /// What runs in the Worker.
        wide: HostHandler,
    },
    /// In the Worker, which moves the bytes, and in the caller's object, which keeps the books.
    BlobUpload,
    /// The same for a download.
    BlobDownload,
    /// In the Worker, which knows whose signatures count, and in the caller's object, which reads the body.
    RepoImport,
    /// In the caller's object, which keeps the socket.
    Inbox,
    /// In the host's relay.
    Relay,
    /// In another service, which the Worker asks in the account's name.
    Proxy(Treatment),
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

impl Method {
    /// A method that anyone may call, as often as any other; the methods below say what is otherwise.
    pub(crate) const fn new(nsid: &'static str, kind: Kind, place: Place) -> Self {
        Self {
            nsid,
            kind,
            auth: Auth::Open,
            standing: Standing::Any,
            place,
            cost: 1,
            limits: &[],
            max_json: MAX_JSON_BYTES,
        }
    }

    /// A method that runs in the Worker.
    pub(crate) const fn host(nsid: &'static str, kind: Kind, run: HostHandler) -> Self {
        Self::new(nsid, kind, Place::Host(run))
    }

    /// A query that anyone may ask of the account that `route` names.
    pub(crate) const fn read(nsid: &'static str, route: Route, run: AgentHandler) -> Self {
        Self::new(nsid, Kind::Query, Place::Agent { route, run })
    }

    /// A method that runs in the caller's own object.
    pub(crate) const fn own(nsid: &'static str, kind: Kind, auth: Auth, run: AgentHandler) -> Self {
        Self::new(nsid, kind, Place::Agent { route: Route::Subject, run }).auth(auth)
    }

    /// A method that runs in the caller's own object, or in the Worker where it reaches further.
    pub(crate) const fn wide(nsid: &'static str, kind: Kind, own: AgentHandler, wide: HostHandler) -> Self {
        Self::new(nsid, kind, Place::Wide { own, wide })
    }

    /// A method that another service answers, as this host treats it.
    pub(crate) const fn proxied(nsid: &'static str, kind: Kind, treatment: Treatment) -> Self {
        Self::new(nsid, kind, Place::Proxy(treatment)).auth(Auth::Access)
    }

    /// The same, for other callers.
    pub(crate) const fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// The same, for accounts of that standing.
    pub(crate) const fn standing(mut self, standing: Standing) -> Self {
        self.standing = standing;
        self
    }

    /// The same, at a price.
    pub(crate) const fn cost(mut self, points: u32) -> Self {
        self.cost = points;
        self
    }

    /// The same, with limits of its own.
    pub(crate) const fn limits(mut self, limits: &'static [Limit]) -> Self {
        self.limits = limits;
        self
    }

    /// The same, with another limit on its JSON body.
    pub(crate) const fn max_json(mut self, bytes: usize) -> Self {
        self.max_json = bytes;
        self
    }
}

/// Bytes of a JSON body, unless the method says otherwise (reference server: 150 kB).
pub const MAX_JSON_BYTES: usize = 150 * 1024;
/// Bytes of a JSON body of a method that writes records: room for 200 of them (reference server: 1 MB).
pub const MAX_WRITE_JSON_BYTES: usize = 1_000_000;
