//! Queries name only what their route knows: a parameter that would be ignored is a typing error that passes unseen.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{MatchedPath, Query, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Operation, ParameterIn},
};

use super::document::operations;
use crate::{nearest::suggestion, wire::problem::Problem};

/// The most characters of an unknown name that are repeated.
const SHOWN_CHARS: usize = 100;

/// The query parameters of each operation, by path and method.
pub struct Names(BTreeMap<(String, Method), Vec<String>>);

impl Names {
    /// What the document says.
    pub fn of(document: &OpenApi) -> Self {
        let mut names = BTreeMap::new();
        for (path, item) in &document.paths.paths {
            for (method, operation) in operations(item) {
                names.insert((path.clone(), method), of_operation(operation));
            }
        }
        Self(names)
    }
}

fn of_operation(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
        _ => None,
    });
    parameters.collect()
}

/// The middleware. A method that the path does not have is the router's to refuse.
pub async fn check(
    State(names): State<Arc<Names>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let method = if request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
    if let Some(known) = names.0.get(&(path.as_str().to_owned(), method)) {
        let Query(sent) = Query::<Vec<(String, String)>>::try_from_uri(request.uri())?;
        if let Some((name, _)) = sent.iter().find(|(name, _)| !known.contains(name)) {
            return Err(unknown(name, known));
        }
    }
    Ok(next.run(request).await)
}

fn unknown(name: &str, known: &[String]) -> Problem {
    let mut hint = suggestion(name, known.iter().map(String::as_str));
    if hint.is_empty() {
        hint = match known {
            [] => "; this route takes none".to_owned(),
            known => format!("; there are {}", known.join(", ")),
        };
    }
    let shown: String = name.chars().take(SHOWN_CHARS).collect();
    Problem::bad_request("api", "invalid_query", format!("unknown query parameter `{shown}`{hint}"))
}
