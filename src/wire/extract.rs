//! Extractors whose refusals are problem documents.

use axum::extract::{FromRequest, FromRequestParts};

use super::problem::Problem;

/// A JSON body; `Content-Type: application/json` is demanded, so that no other site's page can post here.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub struct Json<T>(pub T);

/// A query string.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);

/// The parts of the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);
