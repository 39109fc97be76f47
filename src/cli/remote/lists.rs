//! Lists that come in pages.

use clap::Args;
use serde_json::{Value, json};

use super::Console;
use crate::cli::{
    client::{Answer, query},
    failure::Failure,
    output::{FAINT, list, note, styled, text},
    progress::Progress,
};

/// Items asked for at once when all are wanted; the API's own largest page.
const LARGEST: &str = "100";

/// Which part of a list. As JSON a part is the API's page, `{items, pagination}`, and all of it one array.
#[derive(Debug, Args)]
pub struct Paging {
    /// The most items, up to 100.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub limit: Option<u16>,
    /// Where the page before has ended: its `next_cursor`.
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// Everything, page by page.
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    pub all: bool,
}

impl Paging {
    /// Reads the part that is wanted and prints it: as it came, or by `show`.
    pub(crate) async fn print(
        &self,
        console: &Console,
        path: &str,
        filter: &[(&str, Option<&str>)],
        show: impl FnOnce(&[Value]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.all {
            let items = everything(console, path, filter).await?;
            return if console.out.is_json() { console.out.value(&json!(items)) } else { show(&items) };
        }
        let limit = self.limit.map(|limit| limit.to_string());
        let answer = page(console, path, filter, (limit.as_deref(), self.cursor.as_deref())).await?;
        if console.out.is_json() {
            return console.out.document(&answer.body);
        }
        show(list(&answer.json, "/items"))?;
        if let Some(cursor) = answer.json["pagination"]["next_cursor"].as_str() {
            let total = &answer.json["pagination"]["total_count"];
            note(styled(FAINT, format!("{total} in all; go on with --cursor {cursor}, or give --all")));
        }
        Ok(())
    }
}

/// Every item of a list.
pub(crate) async fn everything(
    console: &Console,
    path: &str,
    filter: &[(&str, Option<&str>)],
) -> Result<Vec<Value>, Failure> {
    let progress = Progress::spinner("reading");
    let (mut items, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let answer = page(console, path, filter, (Some(LARGEST), cursor.as_deref())).await?;
        items.extend_from_slice(list(&answer.json, "/items"));
        progress.say(&format!("reading: {} of {}", items.len(), answer.json["pagination"]["total_count"]));
        match text(&answer.json, "/pagination/next_cursor") {
            "" => return Ok(items),
            next => cursor = Some(next.to_owned()),
        }
    }
}

async fn page(
    console: &Console,
    path: &str,
    filter: &[(&str, Option<&str>)],
    (limit, cursor): (Option<&str>, Option<&str>),
) -> Result<Answer, Failure> {
    let mut pairs = filter.to_vec();
    pairs.extend([("page", Some("true")), ("limit", limit), ("cursor", cursor)]);
    console.client.get(&format!("{path}{}", query(&pairs))).await
}
