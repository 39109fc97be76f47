//! Lists, whole or in pages (contract section 1.3): a bare array, or with `page=true` or `cursor` an object with the way on.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{store::StoreError, wire::problem::Problem};

/// Items in a page when the caller names no limit.
const DEFAULT_LIMIT: i64 = 50;
/// The most items in a page; more is cut to this.
const MAX_LIMIT: i64 = 100;

/// What every list takes.
#[derive(Debug, Default, Deserialize)]
pub struct PageQuery {
    limit: Option<i64>,
    page: Option<bool>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Page<T> {
    items: Vec<T>,
    pagination: Pagination,
}

#[derive(Serialize)]
struct Pagination {
    limit: i64,
    total_count: i64,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    order: &'static str,
}

/// A checked [`PageQuery`].
#[derive(Debug)]
pub struct Paging {
    /// Items wanted.
    pub limit: i64,
    /// The sort key after which the page begins.
    pub after: Option<String>,
    paged: bool,
}

impl PageQuery {
    /// The same from a query that has more in it.
    pub fn new(limit: Option<i64>, page: Option<bool>, cursor: Option<String>) -> Self {
        Self { limit, page, cursor }
    }

    /// Checks limit and cursor.
    pub fn check(&self) -> Result<Paging, Problem> {
        let limit = match self.limit {
            Some(limit) if limit < 1 => {
                return Err(Problem::bad_request(
                    "pagination",
                    "invalid_limit",
                    format!("limit is {limit}; give 1 to {MAX_LIMIT}"),
                ));
            }
            Some(limit) => limit.min(MAX_LIMIT),
            None => DEFAULT_LIMIT,
        };
        let after = self.cursor.as_deref().map(decode).transpose()?;
        Ok(Paging { limit, after, paged: self.page == Some(true) || self.cursor.is_some() })
    }
}

impl Paging {
    /// The cursor read as an id of this sort.
    pub fn after_id<T: std::str::FromStr>(&self) -> Result<Option<T>, Problem> {
        self.after.as_deref().map(|key| key.parse().map_err(|_| invalid_cursor())).transpose()
    }

    /// How many rows to read: one more than wanted tells whether there are more.
    pub fn read(&self) -> i64 {
        self.limit + 1
    }

    /// Writes the list. `items` are what was read, with their sort keys; `total` counts everything, and is asked only for a
    /// page.
    pub async fn answer<T: Serialize>(
        &self,
        mut items: Vec<(String, T)>,
        total: impl Future<Output = Result<i64, StoreError>>,
        order: &'static str,
    ) -> Result<Response, Problem> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| has_more).map(|(key, _)| URL_SAFE_NO_PAD.encode(key));
        let items: Vec<T> = items.into_iter().map(|(_, item)| item).collect();
        if !self.paged {
            return Ok(Json(items).into_response());
        }
        let pagination = Pagination { limit: self.limit, total_count: total.await?, has_more, next_cursor, order };
        Ok(Json(Page { items, pagination }).into_response())
    }
}

fn decode(cursor: &str) -> Result<String, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid_cursor())?;
    String::from_utf8(bytes).map_err(|_| invalid_cursor())
}

fn invalid_cursor() -> Problem {
    Problem::bad_request(
        "pagination",
        "invalid_cursor",
        "the cursor is not one that this list gave: take next_cursor as it is",
    )
}
