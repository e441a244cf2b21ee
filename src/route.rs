//! The way of a request: from its path to the place where it is answered.
//!
//! What most requests do not come by is boxed. A future that is not is compiled into the one that awaits it, and V8, which
//! optimizes what runs often, took 27 MB and most of a second for the whole.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use futures_channel::oneshot;
use futures_util::future::FutureExt as _;
use murmuration_bridge::resolver::Cache;
use murmuration_lexicons::{self as lexicons, Catalog};
use murmuration_platform::Clock;
use murmuration_rate::Tabs;
use murmuration_syntax::{Did, Nsid};
use murmuration_xrpc::agent::repo::NOT_HOSTED;
use murmuration_xrpc::agent::{Args, check_verb};
use murmuration_xrpc::auth::{self, Caller};
use murmuration_xrpc::host::proxy::answer::{MAX_REFUSAL_BYTES, Reason};
use murmuration_xrpc::host::proxy::{Treatment, leads_away};
use murmuration_xrpc::host::{
    DeliveryQueue, Directory, Host, LanguageModels, PageRequest, Residents, is_own,
};
use murmuration_xrpc::http as plain;
use murmuration_xrpc::limits::{self, Counter};
use murmuration_xrpc::method::{Auth, Method, Place, Route};
use murmuration_xrpc::{Config, XrpcError, table};
use web_sys::Response;
use worker::{Context, Env};

use crate::ai::Ai;
use crate::blobs;
use crate::body::{self, Encoding, Sender};
use crate::clock::WallClock;
use crate::directory::D1;
use crate::entropy::SystemEntropy;
use crate::http::{self, Asked};
use crate::import;
use crate::limits::Calls;
use crate::mail;
use crate::outbound::{Fetcher, Visits};
use crate::proxy;
use crate::queue::Deliveries;
use crate::request::Incoming;
use crate::stubs::{Stubs, names_internal_host};

/// The method whose records may be another host's.
const GET_RECORD: &str = "com.atproto.repo.getRecord";

/// What an isolate keeps between requests. Nothing here belongs to a request.
struct Isolate {
    config: Config,
    cache: Cache,
    residents: Residents,
    tabs: Rc<RefCell<Tabs>>,
    visits: Option<Rc<Visits>>,
}

impl Isolate {
    fn fetcher(&self) -> Fetcher {
        Fetcher::new(self.config.allow_private_network).counting(self.visits.clone())
    }
}

thread_local! {
    static ISOLATE: RefCell<Option<Rc<Isolate>>> = const { RefCell::new(None) };
}

fn isolate(env: &Env) -> Result<Rc<Isolate>, XrpcError> {
    ISOLATE.with_borrow_mut(|slot| {
        if let Some(isolate) = slot {
            return Ok(Rc::clone(isolate));
        }
        let config = http::config(env)?;
        let visits = Visits::of(&config).map(Rc::new);
        let isolate = Rc::new(Isolate {
            config,
            cache: Cache::default(),
            residents: Residents::default(),
            tabs: Rc::default(),
            visits,
        });
        Ok(Rc::clone(slot.insert(isolate)))
    })
}

/// Answers a request from outside. Every fault is an answer, too.
pub(crate) async fn respond(request: Incoming, env: Env, context: &Context) -> Response {
    if request.is_preflight() {
        return http::preflight(&request);
    }
    #[cfg(feature = "test-routes")]
    if let Some(answer) = crate::test_routes::outside(&request, &env).await {
        return answer.into();
    }
    let asked = Asked::of(&request);
    let request = Rc::new(request);
    let calls =
        isolate(&env).ok().and_then(|isolate| Calls::of(&request, &env, &isolate.config, &isolate.tabs));
    let answer = match route(Rc::clone(&request), asked, env, context, calls.clone()).await {
        Ok(answer) => answer,
        Err(error) => {
            request.drain().await;
            http::give(http::refusal(&error), asked)
        }
    };
    match calls {
        Some(calls) => calls.tell(answer),
        None => answer,
    }
}

async fn route(
    request: Rc<Incoming>,
    asked: Asked,
    env: Env,
    context: &Context,
    calls: Option<Rc<Calls>>,
) -> Result<Response, XrpcError> {
    // An object believes what comes from this host, so nobody outside may use the name.
    if names_internal_host(request.url()) {
        return Err(XrpcError::new(421, "InvalidRequest", "this host does not go by that name"));
    }
    let Some(nsid) = request.path().strip_prefix(http::XRPC) else {
        return Ok(http::give(page(&request, &env).boxed_local().await?, asked));
    };
    if nsid == "_health" && matches!(request.verb(), plain::Verb::Get | plain::Verb::Head) {
        let answer = with_host(&env, async |host: &Host<'_>| host.health(env!("CARGO_PKG_VERSION")).await);
        return Ok(http::give(answer.boxed_local().await?, asked));
    }
    let counter = calls.as_deref().map(|calls| -> &dyn Counter { calls });
    let method = table::find(nsid);
    limits::charge_client(counter, method).await?;
    let Some(method) = method else {
        let nsid = Nsid::parse(nsid).map_err(|_| XrpcError::invalid("invalid xrpc path"))?;
        return send_on(&request, &env, &nsid, Auth::Access, Treatment::Plain).boxed_local().await;
    };
    check_verb(method, request.verb())?;
    let named = request.proxy();
    let is_local = !matches!(method.place, Place::Proxy(_));
    if is_local && named.is_some() && leads_away(&isolate(&env)?.config, nsid, named)? {
        let nsid = own_nsid(method)?;
        return send_on(&request, &env, &nsid, method.auth, Treatment::Plain).boxed_local().await;
    }
    match method.place {
        Place::Wide { .. } if is_own(&request.query(), request.authorization().is_some()) => {
            let caller = bearer(method, &request, &isolate(&env)?.config)?;
            limits::charge_method(counter, method, &caller, &Args::default()).await?;
            Stubs::new(&env).forward(&caller.claims()?.sub, request.inner()).await
        }
        Place::Host(run) | Place::Wide { wide: run, .. } => {
            let answer = to_its_end(context, async move {
                let plain = http::read(&request, method.max_json).await?;
                let answer = async |host: &Host<'_>| host.answer(method, run, &plain).await;
                with_counted_host(&env, calls.as_deref(), answer).await
            });
            Ok(http::give(answer.await?, asked))
        }
        Place::Agent { route, .. } => {
            let Some(did) = account(route, method, &request, &env, counter).await? else {
                return elsewhere(method, &request, &env).boxed_local().await;
            };
            let answer = Stubs::new(&env).forward(&did, request.inner()).await?;
            match is_elsewhere(method, &answer).await {
                true => elsewhere(method, &request, &env).boxed_local().await,
                false => Ok(answer),
            }
        }
        Place::BlobUpload => {
            let answer = to_its_end(context, async move {
                // There are none, but a name that is refused everywhere is refused here, too.
                lexicons::params(Catalog::builtin(), method.nsid, &request.query())
                    .map_err(|error| XrpcError::invalid(error.to_string()))?;
                let answer = async |host: &Host<'_>| {
                    let uploader = host.uploader(method, request.authorization()).await?;
                    blobs::upload(&request, uploader, host.config, &env).await
                };
                with_counted_host(&env, calls.as_deref(), answer).await
            });
            Ok(http::give(answer.await?, asked))
        }
        Place::RepoImport => import_repo(method, &request, &env, counter).boxed_local().await,
        Place::BlobDownload => blobs::download(&request, method, &env).boxed_local().await,
        Place::Inbox => {
            let caller = bearer(method, &request, &isolate(&env)?.config)?;
            limits::charge_method(counter, method, &caller, &Args::default()).await?;
            Stubs::new(&env).forward(&caller.claims()?.sub, request.inner()).await
        }
        Place::Relay => Stubs::new(&env).subscribe(request.inner()).await,
        Place::Proxy(treatment) => {
            send_on(&request, &env, &own_nsid(method)?, method.auth, treatment).boxed_local().await
        }
    }
}

/// Sends an import on to its account, with the keys that may have signed it.
async fn import_repo(
    method: &Method,
    request: &Incoming,
    env: &Env,
    counter: Option<&dyn Counter>,
) -> Result<Response, XrpcError> {
    let isolate = isolate(env)?;
    let caller = bearer(method, request, &isolate.config)?;
    let did = caller.claims()?.sub.clone();
    // What its headers refuse costs nothing of the few that an account has.
    import::check(request, &isolate.config)?;
    limits::charge_method(counter, method, &caller, &Args::default()).await?;
    let keys = with_host(env, async |host: &Host<'_>| host.import_keys(&did).await).await?;
    import::forward(request, env, &did, &keys).await
}

/// What is served beside XRPC.
async fn page(request: &Incoming, env: &Env) -> Result<plain::Response, XrpcError> {
    let name = request.header("host");
    let query = request.query();
    let (verb, path) = (request.verb(), request.path());
    let asked = PageRequest { verb, path, host: name.as_deref(), query: &query };
    with_host(env, async |host: &Host<'_>| host.page(&asked).await).await
}

/// Sends a request on to another service.
async fn send_on(
    request: &Incoming,
    env: &Env,
    nsid: &Nsid,
    auth: Auth,
    treatment: Treatment,
) -> Result<Response, XrpcError> {
    let fetcher = isolate(env)?.fetcher();
    let answer = async |host: &Host<'_>| proxy::answer(host, &fetcher, request, nsid, auth, treatment).await;
    with_host(env, answer).await
}

/// The answer about an account that is not on this host: the AppView's, for a record, where there is one.
async fn elsewhere(method: &Method, request: &Incoming, env: &Env) -> Result<Response, XrpcError> {
    let isolate = isolate(env)?;
    match &isolate.config.appview {
        Some(appview) if method.nsid == GET_RECORD => {
            proxy::ask_openly(&isolate.fetcher(), request, &appview.url).await
        }
        _ if method.nsid == GET_RECORD => Err(XrpcError::invalid(NOT_HOSTED)),
        _ => {
            let query = request.query();
            let name = query.iter().find(|(name, _)| name == "repo").map(|(_, value)| value.as_str());
            Err(XrpcError::invalid(format!("Could not find repo: {}", name.unwrap_or_default())))
        }
    }
}

/// Whether an object has answered that it holds no account, to somebody who wants a record.
async fn is_elsewhere(method: &Method, answer: &Response) -> bool {
    if method.nsid != GET_RECORD || answer.status() != 400 {
        return false;
    }
    // A copy, because the answer is the client's.
    let Ok(copy) = answer.clone() else { return false };
    let body = body::read(copy.body().as_ref(), Encoding::Identity, MAX_REFUSAL_BYTES, Sender::Server).await;
    body.is_ok_and(|body| Reason::parse(&body).message.as_deref() == Some(NOT_HOSTED))
}

fn own_nsid(method: &Method) -> Result<Nsid, XrpcError> {
    Nsid::parse(method.nsid).map_err(XrpcError::internal)
}

/// The account that a request is for; `None` if it names a handle that no account of this host has.
async fn account(
    route: Route,
    method: &Method,
    request: &Incoming,
    env: &Env,
    counter: Option<&dyn Counter>,
) -> Result<Option<Did>, XrpcError> {
    let (name, handles) = match route {
        Route::Subject => {
            let caller = bearer(method, request, &isolate(env)?.config)?;
            limits::charge_method(counter, method, &caller, &Args::default()).await?;
            return Ok(Some(caller.claims()?.sub.clone()));
        }
        Route::Did(name) => (name, false),
        Route::Repo(name) => (name, true),
    };
    limits::charge_method(counter, method, &Caller::Anyone, &Args::default()).await?;
    let query = request.query();
    let value = query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if let Some(did) = value.and_then(|text| Did::parse(text).ok()) {
        return Ok(Some(did));
    }
    // Rarer than a DID, so only now: the lexicon's words for what is wrong, or a handle.
    let params = lexicons::params(Catalog::builtin(), method.nsid, &query)
        .map_err(|error| XrpcError::invalid(error.to_string()))?;
    if !handles {
        return Args::new(params).parsed(name).map(Some);
    }
    let handle = value.unwrap_or_default();
    with_host(env, async |host: &Host<'_>| host.locate(handle).await).boxed_local().await
}

/// Who a request is from. Verified here already, so that nobody wakes an object with a token of their own making.
fn bearer(method: &Method, request: &Incoming, config: &Config) -> Result<Caller, XrpcError> {
    auth::authenticate(config, method.auth, request.authorization(), WallClock.now_micros() / 1_000_000)
}

/// Runs `work` with the host's methods over this Worker's bindings.
pub(crate) async fn with_host<T>(
    env: &Env,
    work: impl AsyncFnOnce(&Host<'_>) -> Result<T, XrpcError>,
) -> Result<T, XrpcError> {
    with_counted_host(env, None, work).await
}

/// As [`with_host`], and counts the calls of the request's client.
async fn with_counted_host<T>(
    env: &Env,
    calls: Option<&Calls>,
    work: impl AsyncFnOnce(&Host<'_>) -> Result<T, XrpcError>,
) -> Result<T, XrpcError> {
    let isolate = isolate(env)?;
    let database = D1::open(env);
    let outbound = isolate.fetcher();
    let mailer = mail::open(&isolate.config.mail, env, &outbound);
    let (queue, ai) = (Deliveries::open(env), Ai::open(env));
    let host = Host {
        config: &isolate.config,
        catalog: Catalog::builtin(),
        directory: Directory::new(&database),
        agents: &Stubs::new(env),
        outbound: &outbound,
        queue: queue.as_ref().map(|queue| -> &dyn DeliveryQueue { queue }),
        mailer: mailer.as_deref(),
        models: ai.as_ref().map(|ai| -> &dyn LanguageModels { ai }),
        counter: calls.map(|calls| -> &dyn Counter { calls }),
        cache: &isolate.cache,
        residents: &isolate.residents,
        clock: &WallClock,
        entropy: &SystemEntropy,
    };
    work(&host).await
}

/// Runs `work` to its end even when the client goes away: a cancelled request would stop it between two steps.
async fn to_its_end<T: 'static>(
    context: &Context,
    work: impl Future<Output = Result<T, XrpcError>> + 'static,
) -> Result<T, XrpcError> {
    let (done, result) = oneshot::channel();
    context.wait_until(async move {
        // A caller that went away does not listen.
        let _ = done.send(work.await);
    });
    result.await.unwrap_or_else(|_| Err(XrpcError::internal("the work was dropped")))
}
