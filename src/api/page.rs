//! Lists, whole or in pages (contract section 1.3): a bare array, or with `page=true` or `cursor` an object with the way on.

use std::collections::BTreeMap;

use axum::Json;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoParams, ToSchema,
    openapi::{
        Ref, RefOr,
        schema::{ArrayItems, Schema},
    },
};

use crate::{store::StoreError, wire::problem::Problem};

/// Items in a page when the caller names no limit.
const DEFAULT_LIMIT: i64 = 50;
/// The most items in a page; more is cut to this.
const MAX_LIMIT: i64 = 100;

/// What every list takes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items wanted, 50 when absent; more than 100 are cut to 100.
    #[param(minimum = 1)]
    limit: Option<i64>,
    /// Answers with a page rather than the bare list.
    page: Option<bool>,
    /// Where the last page ended: its `next_cursor`. Implies `page`.
    cursor: Option<String>,
}

/// A list, bare or as a page.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum List<T> {
    /// Without `page` and `cursor`.
    Bare(Vec<T>),
    /// With one of them.
    Page(Page<T>),
}

/// A part of a list, with the way on.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    items: Vec<T>,
    pagination: Pagination,
}

/// Where a page stands in its list.
#[derive(Serialize, ToSchema)]
pub struct Pagination {
    /// The most items of a page.
    #[schema(minimum = 1, maximum = 100)]
    limit: i64,
    /// Everything that matches, on all pages.
    #[schema(minimum = 0)]
    total_count: i64,
    has_more: bool,
    /// The `cursor` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
    /// What the list is sorted by.
    order: &'static str,
}

/// Lets the schemas of lists and pages name their items' schema, which the derived ones repeat.
pub fn refer_to_items(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    for (name, schema) in schemas {
        let of = |generic: &str| name.strip_prefix(generic).and_then(|rest| rest.strip_prefix('_'));
        let Some(item) = of(&List::<()>::name()).or_else(|| of(&Page::<()>::name())) else { continue };
        let items = match schema {
            RefOr::T(Schema::OneOf(kinds)) => kinds.items.first_mut(),
            RefOr::T(Schema::Object(page)) => page.properties.get_mut("items"),
            _ => None,
        };
        if let Some(RefOr::T(Schema::Array(array))) = items {
            array.items = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(item).into()));
        }
    }
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
    /// Whether it asks for nothing.
    pub fn is_plain(&self) -> bool {
        self.limit.is_none() && self.page != Some(true) && self.cursor.is_none()
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
    pub async fn answer<T>(
        &self,
        mut items: Vec<(String, T)>,
        total: impl Future<Output = Result<i64, StoreError>>,
        order: &'static str,
    ) -> Result<Json<List<T>>, Problem> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| has_more).map(|(key, _)| cursor_behind(key));
        let items: Vec<T> = items.into_iter().map(|(_, item)| item).collect();
        if !self.paged {
            return Ok(Json(List::Bare(items)));
        }
        let pagination = Pagination { limit: self.limit, total_count: total.await?, has_more, next_cursor, order };
        Ok(Json(List::Page(Page { items, pagination })))
    }
}

/// The cursor that goes on behind the item with this sort key.
pub fn cursor_behind(key: &impl std::fmt::Display) -> String {
    URL_SAFE_NO_PAD.encode(key.to_string())
}

/// The id that a cursor goes on behind.
pub fn id_in<T: std::str::FromStr>(cursor: &str) -> Result<T, Problem> {
    decode(cursor)?.parse().map_err(|_| invalid_cursor())
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
