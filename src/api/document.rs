//! `/v1/openapi.json`: the API's document, made from the handlers' own annotations.
//!
//! A handler's annotation says what is its own. Of a refusal it gives the status, and the codes as description, such as
//! `(status = 404, description = "run_not_found")`. What every operation may answer is added here, and every refusal is
//! a problem document.

use std::collections::BTreeMap;

use axum::{
    Extension,
    body::Bytes,
    http::{Method, header},
    response::{IntoResponse, Response as HttpResponse},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Content, Info, License, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, ParameterIn, PathItem},
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
        tag::{Tag, TagBuilder},
    },
};

use super::page;
use crate::wire::problem;

/// The name of the one security scheme.
const BEARER: &str = "bearer";

const TAGS: [(&str, &str); 12] = [
    ("events", "What happens, as it happens, and from where a reader left off."),
    ("connectors", "What is configured, what of it runs, and the kinds that plugins provide."),
    ("secrets", "Sealed values that connectors name. They go in and never come out."),
    ("ingress", "Where events come in. Public: each connector authenticates its callers."),
    ("sessions", "Conversations; one run at a time in each."),
    ("runs", "Pieces of work, from submission to answer."),
    ("work", "For workers: claim runs, keep them, end them."),
    ("deliveries", "Outputs on their way to reply targets."),
    ("assets", "Files: of events, and uploaded ones."),
    ("plugins", "Connector kinds and the files that provide them."),
    ("status", "The daemon at a glance."),
    ("probes", "Public: is it alive, does it take work."),
];

/// The document as it is sent.
#[derive(Clone)]
pub struct Document(Bytes);

impl Document {
    /// Completes the two parts and puts them together: the control plane needs a token, the rest is public.
    pub fn new(mut control: OpenApi, mut public: OpenApi) -> Self {
        each_operation(&mut control, |operation| {
            for (status, codes) in common(operation) {
                add(operation, status, codes);
            }
        });
        each_operation(&mut public, |operation| operation.security = Some(Vec::new()));
        control.merge(public);
        each_operation(&mut control, |operation| {
            operation.responses.responses.iter_mut().for_each(|(status, answer)| complete(status, answer));
        });
        describe(&mut control);
        Self(serde_json::to_vec(&control).unwrap_or_default().into())
    }
}

/// This document.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    operation_id = "get_openapi",
    tag = "status",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value, content_type = "application/json"))
)]
pub async fn get(Extension(Document(text)): Extension<Document>) -> HttpResponse {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// The operations of a path, by method.
pub fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let all = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn each_operation(document: &mut OpenApi, mut change: impl FnMut(&mut Operation)) {
    for item in document.paths.paths.values_mut() {
        let all = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        all.into_iter().flatten().for_each(&mut change);
    }
}

/// What an operation of the control plane can answer besides its own: status and codes.
fn common(operation: &Operation) -> Vec<(&'static str, &'static str)> {
    let mut answers = vec![
        ("400", "invalid_query"),
        ("401", "missing_token, malformed_token, invalid_token"),
        ("403", "insufficient_access"),
        ("429", "rate_limited"),
        ("503", "overloaded, service_unavailable, daemon_draining"),
    ];
    let in_path = |parameter: &RefOr<_>| {
        matches!(parameter, RefOr::T(utoipa::openapi::path::Parameter { parameter_in: ParameterIn::Path, .. }))
    };
    if operation.parameters.iter().flatten().any(in_path) {
        answers.push(("400", "invalid_path"));
    }
    if operation.request_body.is_some() {
        answers.push(("400", "invalid_payload, incomplete_body"));
        answers.push(("413", "payload_too_large"));
        answers.push(("415", "unsupported_media_type"));
    }
    answers
}

fn add(operation: &mut Operation, status: &str, codes: &str) {
    let answers: &mut BTreeMap<_, _> = &mut operation.responses.responses;
    match answers.get_mut(status) {
        Some(RefOr::T(answer)) => answer.description = format!("{}, {codes}", answer.description),
        Some(RefOr::Ref(_)) => {}
        None => {
            answers.insert(status.to_owned(), ResponseBuilder::new().description(codes).build().into());
        }
    }
}

/// A refusal is a problem document, and says which codes it has.
fn complete(status: &str, answer: &mut RefOr<Response>) {
    let RefOr::T(answer) = answer else { return };
    if !status.starts_with(['4', '5']) {
        return;
    }
    // Codes are in lower case; anything else is a sentence already.
    if answer.description.starts_with(|first: char| first.is_ascii_lowercase()) {
        answer.description = format!("Codes: {}", answer.description);
    }
    if answer.content.is_empty() {
        let schema = Ref::from_schema_name(problem::Document::name());
        answer.content.insert("application/problem+json".to_owned(), Content::new(Some(schema)).into());
    }
}

fn describe(document: &mut OpenApi) {
    document.info = Info::new("kheishd", env!("CARGO_PKG_VERSION"));
    document.info.description = Some(env!("CARGO_PKG_DESCRIPTION").to_owned());
    document.info.license = Some(License::new(env!("CARGO_PKG_LICENSE")));
    let tag = |(name, description)| -> Tag { TagBuilder::new().name(name).description(Some(description)).build() };
    document.tags = Some(TAGS.map(tag).into());
    document.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    components.schemas.insert(problem::Document::name().into_owned(), problem::Document::schema());
    let mut parts = Vec::new();
    problem::Document::schemas(&mut parts);
    components.schemas.extend(parts);
    page::refer_to_items(&mut components.schemas);
    // A path that takes the rest of an address: the router marks that, the document has no mark for it.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
}
