//! Before any route, known or not: the host and the origin are known, somebody proves who they are, and does not ask too much. The same
//! headers are on every answer.
//!
//! INVARIANT: S23. Nobody comes in without a credential: an address that does not exist answers 401, too.

use super::arrivals::Arrival;
use super::problem::Problem;
use super::tls::ClientChain;
use super::{Http, Settings, streams};
use crate::api::auth::Unauthenticated;
use crate::api::code::Code;
use crate::api::refusals::Refused;
use crate::model::principal::{Caller, Door, PrincipalKind};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// Names of query parameters that others use for tokens. An address is written down by every proxy on the way: none may hold one.
const TOKENS_IN_QUERY: [&str; 8] =
    ["access_token", "token", "api_key", "apikey", "key", "bearer", "authorization", "password"];

/// Whoever is on the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// From where.
    pub address: SocketAddr,
    /// The certificate that they have shown.
    pub certificate: Option<ClientChain>,
    /// Whether anybody has shown over this connection who they are: until then it is not kept open for long.
    pub arrival: Arc<Arrival>,
}

/// The names under which the door is known, and the pages that may call it.
#[derive(Debug)]
pub struct Names {
    hosts: BTreeSet<String>,
    origins: BTreeSet<String>,
}

impl Names {
    /// The loopback names, the address that it listens on, and what the configuration adds.
    pub fn of(settings: &Settings) -> Self {
        let ip = settings.address.ip();
        let own = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        let mut hosts: BTreeSet<String> = settings.config.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        hosts.extend(["localhost".into(), "127.0.0.1".into(), "[::1]".into(), own]);
        Self { hosts, origins: settings.config.origins.iter().cloned().collect() }
    }

    /// The host that a request is for, whatever the port: a port may be forwarded, a name may not be somebody else's.
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let unknown = || {
            Problem::new(
                Code::MisdirectedHost,
                "this door does not answer under that host; add it to `http.hosts` in the configuration if it is one of its names",
            )
        };
        let mut named = headers.get_all(HOST).iter();
        let header = named.next().map(|value| value.to_str().unwrap_or_default());
        if named.next().is_some() {
            return Err(unknown());
        }
        // HTTP/2 names it in the address; where both are given, both count.
        let mut given: Vec<&str> = uri.authority().map(|authority| authority.as_str()).into_iter().collect();
        given.extend(header);
        let known = |host: &&str| self.hosts.contains(&without_port(host).to_ascii_lowercase());
        if given.is_empty() || !given.iter().all(known) { Err(unknown()) } else { Ok(()) }
    }

    /// A page in a browser may call only when it is listed.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let refused = || {
            Problem::new(
                Code::MisdirectedHost,
                "a page of that origin may not call this door; add it to `http.origins` in the configuration if it may",
            )
        };
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => {}
            (Some(origin), None) if origin.to_str().is_ok_and(|origin| self.origins.contains(origin)) => return Ok(()),
            _ => return Err(refused()),
        }
        // Browsers say this of themselves, also where they send no origin.
        match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
            Some(b"cross-site" | b"same-site") => Err(refused()),
            _ => Ok(()),
        }
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|c| c.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Lets a request through, or says why not.
pub async fn guard(State(http): State<Arc<Http>>, request: Request, next: Next) -> Response {
    // By the address's pattern: what was asked for may be anything.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let (method, began) = (request.method().clone(), Instant::now());
    let mut response = match pass(&http, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    dress(response.headers_mut(), http.settings.config.tls.is_some());
    let (route, status) = (route.as_deref().unwrap_or("unmatched"), response.status().as_u16());
    http.doors.metrics.http(route, method.as_str(), status, began.elapsed());
    response
}

async fn pass(http: &Arc<Http>, mut request: Request, next: Next) -> Result<Response, Problem> {
    let peer = request.extensions().get::<Peer>().cloned();
    let from = peer.as_ref().map_or_else(|| "addr unknown".into(), |peer| format!("addr {}", peer.address.ip()));
    let door = if request.uri().path().starts_with("/mcp") { Door::Mcp } else { Door::Http };
    let refuse = |problem: Problem| {
        let refused = Refused {
            credential: &from,
            verb: "come in",
            code: problem.code(),
            why: problem.detail(),
            ..Refused::at(door)
        };
        http.doors.service.refuse(refused, None);
        problem
    };
    http.names.check_host(request.uri(), request.headers()).map_err(refuse)?;
    http.names.check_origin(request.headers()).map_err(refuse)?;
    no_token_in(request.uri())?;
    peer.iter().for_each(|peer| peer.arrival.speak());
    let caller = caller(http, request.headers(), peer.as_ref(), door).await;
    let caller = caller.map_err(|why| {
        peer.iter().for_each(|peer| peer.arrival.is_refused());
        http.doors.metrics.authentication_failed(&door.to_string());
        refuse(Problem::new(Code::Unauthenticated, why.to_string()))
    })?;
    let kill = is_kill(request.method(), request.uri());
    let has_room = peer.as_ref().is_none_or(|peer| peer.arrival.prove(caller.principal.kind));
    if !has_room {
        peer.iter().for_each(|peer| peer.arrival.is_refused());
    }
    if !has_room && !kill {
        return Err(Problem::new(Code::Busy, "agents and services have as many connections open as they may"));
    }
    // A person stops as often as they like; an agent that stops things in a loop is asked to wait, as for anything else.
    if !kill || caller.principal.kind == PrincipalKind::Agent {
        http.limits.rate(&caller).inspect_err(|problem| {
            let refused = Refused {
                caller: Some(&caller),
                verb: "come in",
                code: problem.code(),
                why: problem.detail(),
                ..Refused::at(door)
            };
            http.doors.service.refuse(refused, None);
        })?;
    }
    request.extensions_mut().insert(caller.clone());
    // A kill takes its place when its body has come (`intake`): nobody keeps places of kills by being slow.
    let _place = if kill { None } else { Some(http.limits.place(caller.principal.kind)?) };
    let looks = matches!(*request.method(), Method::GET | Method::HEAD) && door == Door::Http;
    let shown = Shown { authorization: request.headers().get(AUTHORIZATION).cloned(), peer, caller };
    let answer = next.run(request);
    if !looks {
        return Ok(answer.await);
    }
    let response = http.limits.in_time(answer).await?;
    if streams::is_stream(&response) { streams::keep(http, shown, response) } else { Ok(response) }
}

/// What somebody has come in by, to be looked at again while they stay.
pub struct Shown {
    authorization: Option<HeaderValue>,
    peer: Option<Peer>,
    caller: Caller,
}

impl Shown {
    /// Whoever came in by it.
    pub fn kind(&self) -> PrincipalKind {
        self.caller.principal.kind
    }

    /// It would let in the same caller, with the same roles, now.
    pub async fn holds(&self, http: &Http) -> bool {
        let headers = self.authorization.iter().map(|value| (AUTHORIZATION, value.clone())).collect();
        caller(http, &headers, self.peer.as_ref(), self.caller.door).await.is_ok_and(|caller| caller == self.caller)
    }
}

/// A stop order.
pub fn is_kill(method: &Method, uri: &Uri) -> bool {
    *method == Method::POST && uri.path() == "/v1/kills"
}

fn no_token_in(uri: &Uri) -> Result<(), Problem> {
    let names = uri.query().unwrap_or_default().split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let mut names = names.map(str::to_ascii_lowercase);
    if names.any(|name| TOKENS_IN_QUERY.contains(&name.as_str())) {
        return Err(Problem::new(
            Code::BadRequest,
            "a credential does not belong into an address, where every proxy writes it down: send `Authorization: Bearer TOKEN`, and revoke this one",
        ));
    }
    Ok(())
}

async fn caller(http: &Http, headers: &HeaderMap, peer: Option<&Peer>, door: Door) -> Result<Caller, Unauthenticated> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let refused = |why: &str| Unauthenticated::Refused { why: why.into() };
    match (given.next(), given.next()) {
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| refused("the header `Authorization` is not text"))?;
            let token = match text.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
                _ => return Err(refused("the header `Authorization` is not `Bearer TOKEN`")),
            };
            http.doors.auth.bearer(token, door).await
        }
        (Some(_), Some(_)) => Err(refused("the header `Authorization` is there more than once")),
        (None, _) => match peer.and_then(|peer| peer.certificate.as_ref()) {
            Some(shown) => {
                let der = shown.verified(http.doors.service.wall());
                let der = der.map_err(|error| refused(&format!("the client certificate does not hold: {error}")))?;
                http.doors.auth.certificate(der, door)
            }
            None => Err(Unauthenticated::Missing),
        },
    }
}

/// Nothing is kept by anybody on the way, nothing is run or framed by a browser, and no address goes on to another site.
fn dress(headers: &mut HeaderMap, tls: bool) {
    let fixed = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}
