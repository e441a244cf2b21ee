//! The way of a request: from its path to the place where it is answered.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use futures_channel::oneshot;
use murmuration_bridge::resolver::Cache;
use murmuration_lexicons::{self as lexicons, Catalog};
use murmuration_platform::Clock;
use murmuration_rate::Tabs;
use murmuration_syntax::{Did, Nsid};
use murmuration_xrpc::agent::{Args, check_verb};
use murmuration_xrpc::auth::{self, Caller};
use murmuration_xrpc::host::{Directory, Host, PageRequest};
use murmuration_xrpc::http as plain;
use murmuration_xrpc::limits::{self, Counter};
use murmuration_xrpc::method::{Method, Place, Route};
use murmuration_xrpc::{Config, XrpcError, table};
use web_sys::Response;
use worker::{Context, Env, Request};

use crate::blobs;
use crate::clock::WallClock;
use crate::directory::D1;
use crate::entropy::SystemEntropy;
use crate::http::{self, Asked};
use crate::limits::Calls;
use crate::mail;
use crate::outbound::Fetcher;
use crate::stubs::{Stubs, names_internal_host};

/// What an isolate keeps between requests. Nothing here belongs to a request.
struct Isolate {
    config: Config,
    cache: Cache,
    tabs: Rc<RefCell<Tabs>>,
}

thread_local! {
    static ISOLATE: RefCell<Option<Rc<Isolate>>> = const { RefCell::new(None) };
}

fn isolate(env: &Env) -> Result<Rc<Isolate>, XrpcError> {
    ISOLATE.with_borrow_mut(|slot| {
        if let Some(isolate) = slot {
            return Ok(Rc::clone(isolate));
        }
        let isolate =
            Rc::new(Isolate { config: http::config(env)?, cache: Cache::default(), tabs: Rc::default() });
        Ok(Rc::clone(slot.insert(isolate)))
    })
}

/// Answers a request from outside. Every fault is an answer, too.
pub(crate) async fn respond(request: Request, env: Env, context: &Context) -> Response {
    if request.method() == worker::Method::Options {
        return http::preflight(&request).into();
    }
    #[cfg(feature = "test-routes")]
    if let Some(answer) = crate::test_routes::outside(&request, &env).await {
        return answer.into();
    }
    let asked = Asked::of(&request);
    let sent = http::Sent::of(&request);
    let calls =
        isolate(&env).ok().and_then(|isolate| Calls::of(&request, &env, &isolate.config, &isolate.tabs));
    let answer = match route(request, env, context, calls.clone()).await {
        Ok(answer) => answer,
        Err(error) => {
            sent.drain().await;
            http::give(http::refusal(&error), asked).into()
        }
    };
    match calls {
        Some(calls) => calls.tell(answer),
        None => answer,
    }
}

async fn route(
    request: Request,
    env: Env,
    context: &Context,
    calls: Option<Rc<Calls>>,
) -> Result<Response, XrpcError> {
    // An object believes what comes from this host, so nobody outside may use the name.
    if names_internal_host(&request.inner().url()) {
        return Err(XrpcError::new(421, "InvalidRequest", "this host does not go by that name"));
    }
    let asked = Asked::of(&request);
    let path = request.path();
    let Some(nsid) = path.strip_prefix(http::XRPC) else {
        return Ok(http::give(page(&path, &request, &env).await?, asked).into());
    };
    if nsid == "_health" {
        let answer = with_host(&env, async |host: &Host<'_>| host.health(env!("CARGO_PKG_VERSION")).await);
        return Ok(http::give(answer.await?, asked).into());
    }
    let counter = calls.as_deref().map(|calls| -> &dyn Counter { calls });
    let method = table::find(nsid);
    limits::charge_client(counter, method).await?;
    let Some(method) = method else {
        Nsid::parse(nsid).map_err(|_| XrpcError::invalid("invalid xrpc path"))?;
        return Err(XrpcError::not_implemented());
    };
    check_verb(method, http::verb(&request.method()))?;
    match method.place {
        Place::Host(run) => {
            let answer = to_its_end(context, async move {
                let mut request = request;
                let plain = http::read(&mut request, method.max_json).await?;
                let answer = async |host: &Host<'_>| host.answer(method, run, &plain).await;
                with_counted_host(&env, calls.as_deref(), answer).await
            });
            Ok(http::give(answer.await?, asked).into())
        }
        Place::Agent { route, .. } => {
            let did = account(route, method, &request, &env, counter).await?;
            Stubs::new(&env).forward(&did, request.inner()).await
        }
        Place::BlobUpload => {
            let answer = to_its_end(context, async move {
                let header = request.headers().get("authorization").ok().flatten();
                let answer = async |host: &Host<'_>| {
                    let uploader = host.uploader(method, header.as_deref()).await?;
                    blobs::upload(&request, uploader, host.config, &env).await
                };
                with_counted_host(&env, calls.as_deref(), answer).await
            });
            Ok(http::give(answer.await?, asked).into())
        }
        Place::BlobDownload => blobs::download(&request, method, &env).await.map(Into::into),
        Place::Relay => Stubs::new(&env).subscribe(request.inner()).await,
    }
}

/// What is served beside XRPC.
async fn page(path: &str, request: &Request, env: &Env) -> Result<plain::Response, XrpcError> {
    let name = request.headers().get("host").ok().flatten();
    let query = http::query(request);
    let verb = http::verb(&request.method());
    let asked = PageRequest { verb, path, host: name.as_deref(), query: &query };
    with_host(env, async |host: &Host<'_>| host.page(&asked).await).await
}

/// The account that a request is for.
async fn account(
    route: Route,
    method: &Method,
    request: &Request,
    env: &Env,
    counter: Option<&dyn Counter>,
) -> Result<Did, XrpcError> {
    let (name, handles) = match route {
        Route::Subject => {
            // Verified here already, so that nobody wakes an object with a token of their own making.
            let header = request.headers().get("authorization").ok().flatten();
            let now = WallClock.now_micros() / 1_000_000;
            let caller = auth::authenticate(&isolate(env)?.config, method.auth, header.as_deref(), now)?;
            limits::charge_method(counter, method, &caller, &Args::default()).await?;
            return Ok(caller.claims()?.sub.clone());
        }
        Route::Did(name) => (name, false),
        Route::Repo(name) => (name, true),
    };
    limits::charge_method(counter, method, &Caller::Anyone, &Args::default()).await?;
    let query = http::query(request);
    let value = query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if let Some(did) = value.and_then(|text| Did::parse(text).ok()) {
        return Ok(did);
    }
    // Rarer than a DID, so only now: the lexicon's words for what is wrong, or a handle.
    let params = lexicons::params(Catalog::builtin(), method.nsid, &query)
        .map_err(|error| XrpcError::invalid(error.to_string()))?;
    if !handles {
        return Args::new(params).parsed(name);
    }
    let handle = value.unwrap_or_default();
    let found = with_host(env, async |host: &Host<'_>| host.locate(handle).await).await?;
    found.ok_or_else(|| XrpcError::invalid(format!("Could not find repo: {handle}")))
}

/// Runs `work` with the host's methods over this Worker's bindings.
async fn with_host<T>(
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
    let outbound = Fetcher::new(isolate.config.allow_private_network);
    let mailer = mail::open(&isolate.config.mail, env, &outbound);
    let host = Host {
        config: &isolate.config,
        catalog: Catalog::builtin(),
        directory: Directory::new(&database),
        agents: &Stubs::new(env),
        outbound: &outbound,
        mailer: mailer.as_deref(),
        counter: calls.map(|calls| -> &dyn Counter { calls }),
        cache: &isolate.cache,
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
