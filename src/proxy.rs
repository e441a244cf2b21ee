//! Requests that go on to another service: the answer's headers are chosen here, its body passes by.

use murmuration_syntax::Nsid;
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::host::Host;
use murmuration_xrpc::host::proxy::answer::{
    self, BODY_TIMEOUT_MS, BODY_TOTAL_MS, FORWARDED, FORWARDED_BODY, HEADERS_TIMEOUT_MS, MAX_ANSWER_BYTES,
    MAX_FRESH_BYTES, MAX_REFUSAL_BYTES, REPO_REV, RETURNED, RETURNED_BODY, Reason,
};
use murmuration_xrpc::host::proxy::{Permit, Sending, Treatment, View};
use murmuration_xrpc::http::Verb;
use murmuration_xrpc::method::Auth;
use web_sys::Response;

use crate::http::{self, Asked, Head};
use crate::outbound::{Arrival, Fetcher, Passage};
use crate::request::Incoming;

/// Packings that the runtime takes off a body that is read here.
const UNPACKED: &[&str] = &["gzip", "br"];

/// Sends a request on in its caller's name.
///
/// # Errors
/// What the caller is to see.
pub(crate) async fn answer(
    host: &Host<'_>,
    fetcher: &Fetcher,
    request: &Incoming,
    nsid: &Nsid,
    auth: Auth,
    treatment: Treatment,
) -> Result<Response, XrpcError> {
    let verb = request.verb();
    if verb == Verb::Other {
        return Err(XrpcError::invalid("XRPC requests only supports GET and POST"));
    }
    let query = request.query();
    let sending = Sending {
        nsid,
        auth,
        treatment,
        proxy: request.proxy(),
        authorization: request.authorization(),
        query: &query,
    };
    let permit = host.permit(&sending).await?;
    let fresh = matches!(treatment, Treatment::Fresh(_));
    let mut arrival = send(fetcher, request, &permit.origin, Some(&permit.token), fresh).await?;
    let asked = Asked::of(request);
    if arrival.status() >= 300 {
        return refuse(host, &permit, treatment, &query, arrival, asked).await;
    }
    if let (Treatment::Fresh(view), Verb::Get) = (treatment, verb)
        && let Some(answer) = freshen(host, &permit, view, &mut arrival, asked).await?
    {
        return Ok(answer);
    }
    Ok(pass(arrival, asked))
}

/// Asks a service in nobody's name: what anyone may know.
///
/// # Errors
/// What the caller is to see.
pub(crate) async fn ask_openly(
    fetcher: &Fetcher,
    request: &Incoming,
    origin: &str,
) -> Result<Response, XrpcError> {
    let mut arrival = send(fetcher, request, origin, None, false).await?;
    let asked = Asked::of(request);
    if arrival.status() < 300 {
        return Ok(pass(arrival, asked));
    }
    let reason = reason(&mut arrival).await;
    Ok(http::give(answer::refusal(arrival.status(), reason, returned(&arrival)), asked))
}

async fn send(
    fetcher: &Fetcher,
    request: &Incoming,
    origin: &str,
    token: Option<&str>,
    fresh: bool,
) -> Result<Arrival, XrpcError> {
    let verb = request.verb();
    let body = if verb == Verb::Post { request.body() } else { None };
    let mut headers: Vec<(&'static str, String)> = Vec::new();
    let names = FORWARDED.iter().chain(FORWARDED_BODY.iter().filter(|_| body.is_some()));
    for name in names {
        headers.extend(request.header(name).map(|value| (*name, value)));
    }
    // What is read here must be packed in a way that can be unpacked here.
    match headers.iter_mut().find(|(name, _)| *name == "accept-encoding") {
        Some((_, value)) if fresh => "gzip".clone_into(value),
        Some(_) => {}
        None => headers.push(("accept-encoding", if fresh { "gzip" } else { "identity" }.to_owned())),
    }
    headers.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
    let passage = Passage {
        verb,
        url: format!("{origin}{}", request.path_and_query()),
        headers,
        body,
        headers_ms: HEADERS_TIMEOUT_MS,
        idle_ms: BODY_TIMEOUT_MS,
        total_ms: BODY_TOTAL_MS,
        max_bytes: MAX_ANSWER_BYTES,
    };
    fetcher.pass(&passage).await.map_err(|error| {
        worker::console_warn!("proxy: {error}");
        answer::unanswered(&error)
    })
}

/// Brings an answer up to date. `None` when it is to pass as it is.
async fn freshen(
    host: &Host<'_>,
    permit: &Permit,
    view: View,
    arrival: &mut Arrival,
    asked: Asked,
) -> Result<Option<Response>, XrpcError> {
    let rev = arrival.header(REPO_REV);
    if !arrival.may_be_json() {
        return Ok(None);
    }
    let Some(recent) = host.recent(&permit.did, rev.as_deref()).await else { return Ok(None) };
    let read = arrival.read(MAX_FRESH_BYTES).await;
    let read = read.map_err(|_| XrpcError::upstream("The upstream service broke off its answer"))?;
    let Some(bytes) = read else { return Ok(None) };
    let Some(mut answer) = host.freshen(view, &permit.did, &recent, &bytes).await else {
        arrival.put_back(&bytes);
        return Ok(None);
    };
    answer.headers.extend(returned(arrival));
    Ok(Some(http::give(answer, asked)))
}

/// The answer to a request that the service refused.
async fn refuse(
    host: &Host<'_>,
    permit: &Permit,
    treatment: Treatment,
    query: &[(String, String)],
    mut arrival: Arrival,
    asked: Asked,
) -> Result<Response, XrpcError> {
    let reason = reason(&mut arrival).await;
    let headers = returned(&arrival);
    if treatment == Treatment::Fresh(View::PostThread) && reason.error.as_deref() == Some("NotFound") {
        let rev = arrival.header(REPO_REV);
        if let Some(mut thread) = host.own_thread(&permit.did, rev.as_deref(), query).await {
            thread.headers.extend(headers);
            return Ok(http::give(thread, asked));
        }
    }
    Ok(http::give(answer::refusal(arrival.status(), reason, headers), asked))
}

/// Why a service refuses, if it says so in JSON and in short.
async fn reason(arrival: &mut Arrival) -> Reason {
    if !arrival.may_be_json() {
        arrival.abandon();
        return Reason::default();
    }
    match arrival.read(MAX_REFUSAL_BYTES).await {
        Ok(Some(bytes)) => Reason::parse(&bytes),
        _ => {
            arrival.abandon();
            Reason::default()
        }
    }
}

/// The headers of an answer that its caller gets to see.
fn returned(arrival: &Arrival) -> Vec<(&'static str, String)> {
    RETURNED.iter().filter_map(|name| Some((*name, arrival.header(name)?))).collect()
}

/// The answer as it came, with the headers that may pass.
fn pass(mut arrival: Arrival, asked: Asked) -> Response {
    let mut head = Head::new(asked);
    let body = arrival.take_body();
    for name in RETURNED.iter().chain(RETURNED_BODY) {
        if let Some(value) = arrival.header(name) {
            let was_unpacked = *name == "content-encoding"
                && body.is_some()
                && UNPACKED.iter().any(|packing| value.eq_ignore_ascii_case(packing));
            if !was_unpacked {
                head.set(name, &value);
            }
        }
    }
    match body {
        Some(stream) => head.stream(arrival.status(), &stream),
        None => head.empty(arrival.status()),
    }
}
