//! Who may use the control plane (contract section 1.1).
//!
//! A request passes in this order, before a byte of its body is read: the host it names, the page it comes from, the
//! token it shows, what that token is good for. Connector routes are not concerned: they verify callers themselves.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    assets::links::Links,
    clock::Clock,
    config::auth::{AuthMode, AuthSettings},
    metrics::Metrics,
    secrets::run_token::RunTokens,
    wire::problem::Problem,
};

mod access;
pub mod audit;
mod budget;
pub mod change;
mod cors;
mod failure;
mod loopback;
mod token_file;
mod tokens;

use access::{Needs, Zone};
use audit::{Audit, Event};
use budget::{Budget, Spent};
use change::Change;
use cors::{Caller, Origins};
use failure::Failure;
use tokens::{Shown, Source, Tokens};

/// What was configured, read and found right.
#[derive(Debug)]
pub struct Rules {
    tokens: Option<Tokens>,
    origins: Origins,
    budget: Budget,
}

/// The door. Cheap to clone; clones share one.
#[derive(Clone)]
pub struct Auth {
    rules: Arc<Rules>,
    audit: Audit,
    metrics: Arc<Metrics>,
    clock: Clock,
    links: Arc<Links>,
    run_tokens: Arc<RunTokens>,
}

/// The epoch that a request's token is good for, beside those of a request that needs none: whoever was sent a run may speak
/// of it under that epoch only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenEpoch(pub i64);

/// The run and the epoch that the token of a request for a file is good for: the handler gives out files of that run, for as
/// long as the epoch lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The run, as the token names it.
    pub run: String,
    /// The epoch.
    pub epoch: i64,
}

impl Rules {
    /// Reads tokens and origins. One sentence for each thing to mend: there is no way to be open to the network by
    /// accident, or to run with half of what was meant.
    pub fn load(settings: &AuthSettings, listen: SocketAddr, clock: &Clock) -> Result<Self, Vec<String>> {
        let variable = |name: &str| std::env::var_os(name);
        let mut problems = Vec::new();
        let mut found = |source: Result<Option<Source>, String>| {
            source.unwrap_or_else(|sentence| {
                problems.push(sentence);
                None
            })
        };
        let admin = found(tokens::ADMIN.source(variable, settings.admin_token_file.as_deref()));
        let read_only = found(tokens::READ_ONLY.source(variable, settings.readonly_token_file.as_deref()));
        if problems.is_empty() {
            problems.extend(refused(settings.mode, listen, admin.is_some(), read_only.is_some()));
        }
        let tokens = match admin {
            Some(admin) if settings.mode != AuthMode::None => {
                Tokens::open(admin, read_only, clock.now_ms()).map_err(|sentences| problems.extend(sentences)).ok()
            }
            _ => None,
        };
        let origins = Origins::read(&settings.cors_allow_origins).map_err(|sentences| problems.extend(sentences));
        match origins {
            Ok(origins) if problems.is_empty() => {
                let budget = Budget::new(settings.failure_limit, settings.failure_window_ms);
                Ok(Self { tokens, origins, budget })
            }
            _ => Err(problems),
        }
    }
}

/// Why mode, address and tokens do not go together.
fn refused(mode: AuthMode, listen: SocketAddr, admin: bool, read_only: bool) -> Option<String> {
    let is_local = listen.ip().to_canonical().is_loopback();
    let variables = tokens::ADMIN.variables();
    match mode {
        AuthMode::None if !is_local => Some(format!(
            "listening on {listen} reaches beyond this machine, and --http-auth-mode none lets everybody in: \
             set {variables} and another mode, or listen on 127.0.0.1"
        )),
        AuthMode::None => {
            if admin || read_only {
                tracing::warn!("auth.mode is none: tokens are set, and nobody is asked for them");
            }
            None
        }
        AuthMode::Auto if !is_local && !admin => Some(format!(
            "listening on {listen} reaches beyond this machine and needs an admin token: set {variables}, or listen on 127.0.0.1"
        )),
        AuthMode::Bearer if !admin => Some(format!("--http-auth-mode bearer needs an admin token: set {variables}")),
        _ if read_only && !admin => {
            Some(format!("a read-only token alone leaves nobody who may change anything: set {variables} too"))
        }
        _ => None,
    }
}

impl Auth {
    /// The door with these rules, whose refusals and changes go to `audit`. Links are good for their files only, and tokens of
    /// runs for their runs.
    pub fn new(
        rules: Rules,
        audit: Audit,
        metrics: Arc<Metrics>,
        clock: Clock,
        (links, run_tokens): (Arc<Links>, Arc<RunTokens>),
    ) -> Self {
        Self { rules: Arc::new(rules), audit, metrics, clock, links, run_tokens }
    }

    async fn let_in(&self, zone: Zone, remote: IpAddr, mut request: Request, next: Next) -> Response {
        if zone == Zone::Probe {
            return next.run(request).await;
        }
        if let Some(epoch) = self.token_epoch(&request) {
            request.extensions_mut().insert(epoch);
        }
        if let Some(holder) = self.holder(&request) {
            request.extensions_mut().insert(holder);
        }
        let role = match self.role(&request, remote) {
            Ok(role) => role,
            Err(problem) => return problem.into_response(),
        };
        let change = Change::of(&request, role, remote, &self.audit);
        let response = next.run(request).await;
        if let Some(change) = change {
            change.answered(&response);
        }
        response
    }

    /// What the token of a call about one run is good for, when it is one that was sent with that run.
    fn token_epoch(&self, request: &Request) -> Option<TokenEpoch> {
        let run = access::spoken_of(request.method(), request.uri().path())?;
        self.run_tokens.epoch(run, bearer(request.headers()).ok()?).map(TokenEpoch)
    }

    /// What the token of a request for a file is good for, when it is one that was sent with a run.
    fn holder(&self, request: &Request) -> Option<Holder> {
        if !access::is_for_file(request.method(), request.uri().path()) {
            return None;
        }
        let (run, epoch) = self.run_tokens.holder(bearer(request.headers()).ok()?)?;
        Some(Holder { run: run.to_owned(), epoch })
    }

    /// As whom a request may pass.
    fn role(&self, request: &Request, remote: IpAddr) -> Result<&'static str, Problem> {
        if let Some((asset, token)) = access::link(request.method(), request.uri())
            && !request.headers().contains_key(header::AUTHORIZATION)
        {
            let is_good = self.links.is_good(asset, token, self.clock.now_ms());
            return if is_good { Ok("link") } else { Err(self.refuse(Failure::InvalidLink, remote)) };
        }
        let extensions = request.extensions();
        if extensions.get::<TokenEpoch>().is_some() || extensions.get::<Holder>().is_some() {
            return Ok("receiver");
        }
        let Some(tokens) = &self.rules.tokens else { return Ok("anybody") };
        let token = bearer(request.headers()).map_err(|failure| self.refuse(failure, remote))?;
        let needs = access::needs(request.method(), request.uri().path());
        match (tokens.judge(token, self.clock.now_ms()), needs) {
            (Shown::Admin, _) => Ok("admin"),
            (Shown::ReadOnly, Needs::ReadOnly) => Ok("read_only"),
            (Shown::ReadOnly, Needs::Admin) => Err(self.refuse(Failure::InsufficientAccess, remote)),
            (Shown::Nothing, _) => Err(self.refuse(Failure::InvalidToken, remote)),
            (Shown::Unknown, _) => Err(Problem::unavailable(
                "auth",
                "auth_unavailable",
                "the daemon's token files are not as they should be, and nobody can be let in; its log says why",
            )),
        }
    }

    /// Counts and records a refusal. Only refusals are counted: whoever shows a good token always passes, so that nobody
    /// behind the same address can lock the operator out.
    fn refuse(&self, failure: Failure, remote: IpAddr) -> Problem {
        let record = |event| {
            self.audit.record(&Event { event, reason: Some(failure.code()), remote: Some(remote), ..Event::default() });
        };
        self.metrics.count_auth_failure(failure.code());
        match self.rules.budget.spend(failure, remote, self.clock.now_ms()) {
            Spent::Within => {
                record(failure.event());
                failure.problem()
            }
            Spent::Over { wait_ms, first } => {
                // One row a window: a flood must not push what matters out of the file.
                if first {
                    tracing::warn!(%remote, "{remote} was refused more than auth.failure_limit times ({})", failure.code());
                    record(failure.event_over());
                }
                failure.too_many(wait_ms)
            }
        }
    }
}

/// The middleware, around every route and the fallback.
pub async fn check(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let zone = access::zone(request.uri().path());
    if zone == Zone::Elsewhere {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<SocketAddr>();
    let remote = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip().to_canonical());
    let is_open = auth.rules.tokens.is_none() && zone == Zone::Control;
    if is_open && !loopback::is_addressed(request.uri(), request.headers()) {
        return auth.refuse(Failure::HostNotAllowed, remote).into_response();
    }
    match auth.rules.origins.judge(request.headers()) {
        Caller::NoPage => auth.let_in(zone, remote, request, next).await,
        Caller::Refused => auth.refuse(Failure::OriginNotAllowed, remote).into_response(),
        Caller::Allowed(origin) => {
            let mut response = if cors::is_preflight(request.method(), request.headers()) {
                cors::preflight()
            } else {
                auth.let_in(zone, remote, request, next).await
            };
            cors::allow(&mut response, origin);
            response
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<&[u8], Failure> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next().ok_or(Failure::MissingToken)?, values.next()) else {
        return Err(Failure::MalformedToken);
    };
    let (scheme, token) = value.as_bytes().split_at_checked(7).ok_or(Failure::MalformedToken)?;
    if scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty() { Ok(token) } else { Err(Failure::MalformedToken) }
}
