//! Lists: bare, in pages, filtered; and queries that make no sense.

use kheish_host_tests::{host::Host, receiver::Receiver};
use serde_json::{Value, json};

use super::{host, say};

/// Follows the pages of a list and returns the `id` member of every item, in order.
async fn follow(host: &Host, list: &str, limit: usize, id: &str, total: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    let joint = if list.contains('?') { '&' } else { '?' };
    loop {
        let page = host.get(&format!("{list}{joint}page=true&limit={limit}{cursor}")).await.expect(200);
        let about = &page.json["pagination"];
        assert_eq!((&about["limit"], &about["total_count"]), (&json!(limit), &json!(total)));
        let items = page.json["items"].as_array().cloned().unwrap_or_default();
        assert!(!items.is_empty() && items.len() <= limit);
        ids.extend(items.iter().map(|item| item[id].as_str().unwrap_or_default().to_owned()));
        match about["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => {
                assert_eq!(about["has_more"], false);
                return ids;
            }
        }
        assert_eq!(about["has_more"], true);
    }
}

#[tokio::test]
async fn runs_come_in_pages_either_way() {
    let host = host(&["s", "t"]).await;
    let mut all = Vec::new();
    for n in 0..7 {
        all.push(say(&host, if n % 3 == 0 { "t" } else { "s" }, "text").await);
    }
    assert_eq!(follow(&host, "/v1/runs", 3, "run_id", 7).await, all);
    let mut reversed = all.clone();
    reversed.reverse();
    assert_eq!(follow(&host, "/v1/runs?order=desc", 2, "run_id", 7).await, reversed);
    let of_t = [all[0].clone(), all[3].clone(), all[6].clone()];
    assert_eq!(follow(&host, "/v1/runs?session_id=t", 1, "run_id", 3).await, of_t);
    let page = host.get("/v1/runs?page=true").await.expect(200);
    assert_eq!(page.text("/pagination/order"), "submitted_at_ms_asc,run_id_asc");
}

#[tokio::test]
async fn runs_can_be_told_apart_by_status() {
    let host = host(&["s"]).await;
    let first = say(&host, "s", "one").await;
    let second = say(&host, "s", "two").await;
    let worker = host.worker("w");
    let claimed = worker.take().await;
    worker.finish(&claimed, &[]).await.expect(200);
    for (status, runs) in [("completed", vec![&first]), ("queued", vec![&second]), ("failed", vec![])] {
        let list = host.get(&format!("/v1/runs?status={status}")).await.expect(200);
        let ids: Vec<&str> = list.items().iter().filter_map(|run| run["run_id"].as_str()).collect();
        assert_eq!(ids, runs, "{status}");
    }
}

#[tokio::test]
async fn sessions_come_in_the_order_of_their_ids() {
    let names = ["b", "a:1", "z", "m/n", "ü"];
    let host = host(&names).await;
    let mut sorted = names.map(str::to_owned);
    sorted.sort();
    assert_eq!(follow(&host, "/v1/sessions", 2, "session_id", 5).await, sorted);
    assert_eq!(host.get("/v1/sessions?page=true").await.text("/pagination/order"), "session_id_asc");
}

#[tokio::test]
async fn deliveries_come_in_pages_and_show_no_address() {
    let receiver = Receiver::start().await;
    let host = host(&["s"]).await;
    let body = json!({ "content": "a", "reply_targets": [receiver.target_json("/secret-path")] });
    let run = host.submit("s", &body).await.expect(202).text("/run_id").to_owned();
    let worker = host.worker("w");
    let claimed = worker.take().await;
    worker.finish(&claimed, &["1", "2", "3", "4", "5"]).await.expect(200);
    host.deliveries_when(&run, 5, "delivered").await;
    let ids = follow(&host, "/v1/deliveries", 2, "delivery_id", 5).await;
    assert_eq!(follow(&host, &format!("/v1/deliveries?run_id={run}"), 4, "delivery_id", 5).await, ids);
    assert_eq!(follow(&host, "/v1/deliveries?status=delivered&session_id=s", 5, "delivery_id", 5).await, ids);
    let one = host.get(&format!("/v1/deliveries/{}", ids[0])).await.expect(200);
    let target = one.text("/target");
    assert!(target.starts_with("http:address_sha256:") && target.len() == 36, "{target}");
    assert!(!String::from_utf8_lossy(&one.body).contains("secret-path"));
}

#[tokio::test]
async fn without_page_a_list_is_bare_and_cut() {
    let host = host(&["s"]).await;
    for _ in 0..3 {
        say(&host, "s", "text").await;
    }
    assert_eq!(host.get("/v1/runs").await.expect(200).items().len(), 3);
    assert_eq!(host.get("/v1/runs?limit=2").await.expect(200).items().len(), 2);
    let clamped = host.get("/v1/runs?limit=5000&page=true").await.expect(200);
    assert_eq!(clamped.json["pagination"]["limit"], 100);
    let by_default = host.get("/v1/runs?page=true").await.expect(200);
    assert_eq!(by_default.json["pagination"]["limit"], 50);
}

#[tokio::test]
async fn queries_that_make_no_sense_have_codes() {
    let host = host(&[]).await;
    for list in ["/v1/runs", "/v1/sessions", "/v1/deliveries"] {
        for limit in ["0", "-1"] {
            host.get(&format!("{list}?limit={limit}")).await.problem(400, "pagination", "invalid_limit");
        }
        host.get(&format!("{list}?cursor=%21%21")).await.problem(400, "pagination", "invalid_cursor");
        host.get(&format!("{list}?limit=many")).await.problem(400, "api", "invalid_query");
    }
    for list in ["/v1/runs", "/v1/deliveries"] {
        // Well-formed base64, but no id.
        host.get(&format!("{list}?cursor=YWJj")).await.problem(400, "pagination", "invalid_cursor");
    }
    host.get("/v1/runs?order=sideways").await.problem(400, "pagination", "invalid_order");
    host.get("/v1/runs?status=lost").await.problem(400, "runs", "invalid_status");
    host.get("/v1/deliveries?status=lost").await.problem(400, "deliveries", "invalid_status");
    host.get("/v1/deliveries/nonsense").await.problem(404, "deliveries", "delivery_not_found");
}

#[tokio::test]
async fn routes_and_methods_that_are_not_there_are_told_in_the_common_form() {
    let host = host(&[]).await;
    host.get("/v1/nothing").await.problem(404, "api", "route_not_found");
    host.get("/").await.problem(404, "api", "route_not_found");
    host.get("/v1/runs/claim").await.problem(405, "api", "method_not_allowed");
    let answer = host.post("/v1/status", &Value::Null).await;
    answer.problem(405, "api", "method_not_allowed");
    assert!(answer.header("allow").contains("GET"), "{:?}", answer.headers);
    let odd = host.get("/v1/runs/%FF").await;
    assert!([400, 404].contains(&odd.status), "{}", odd.status);
    odd.problem_of(odd.status, odd.text("/domain"));
}
