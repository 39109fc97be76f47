//! Albums by webhook: Telegram sends each picture as an update of its own, and they become one run.

use std::time::{Duration, Instant};

use kheish_host_tests::{
    client::Answer,
    host::{Host, HostBuilder},
    telegram::BotApi,
    wait::eventually,
    worker::Claimed,
};
use serde_json::{Value, json};

use super::{builder, double, webhook};

/// A wait that no test sits out.
const LONG: &str = "allow_private_network = true\nalbum_settle_ms = 10000\n";
/// One that is over soon.
const SHORT: &str = "allow_private_network = true\nalbum_settle_ms = 300\n";

const QUICK: &str = "[queue]\nsweep_interval_ms = 20\n[downloads]\npoll_interval_ms = 20\n";
/// Three pictures are all that an album has: the third ends the wait.
const OF_THREE: &str = "[gathering]\nmax_events = 3\n";

fn of_three(api: &BotApi) -> HostBuilder {
    builder(&api.url(), LONG).settings(&format!("{QUICK}{OF_THREE}"))
}

fn quick(api: &BotApi) -> HostBuilder {
    builder(&api.url(), SHORT).settings(QUICK)
}

/// An update with a picture whose only byte is its number. The first of an album has the caption.
fn picture(api: &BotApi, number: u8, album: &str, caption: Option<&str>) -> Value {
    let photo = api.keep("photo.jpg", vec![number]);
    let members = json!({ "photo": [photo], "media_group_id": album, "caption": caption, "message_id": number });
    json!({ "update_id": number, "message": api.written(5, members) })
}

fn text(api: &BotApi, number: u8, text: &str) -> Value {
    json!({ "update_id": number, "message": api.written(5, json!({ "text": text, "message_id": number })) })
}

async fn send(host: &Host, update: &Value) -> Answer {
    webhook(host).post(update).await.expect(200)
}

/// Sends an update that is new. Returns its run.
async fn accepted(host: &Host, update: &Value) -> String {
    let answer = send(host, update).await;
    assert_eq!(answer.header("kheish-receipt"), "accepted", "{}", answer.json);
    answer.text("/run_id").to_owned()
}

/// The numbers of a run's pictures, and its texts, as they stand in its input.
async fn content(host: &Host, run: &str) -> Vec<String> {
    let mut content = Vec::new();
    for part in host.run(run).await["input"].as_array().unwrap() {
        match part["text"].as_str() {
            Some(text) => content.push(text.to_owned()),
            None => {
                let id = part["asset_id"].as_str().unwrap_or_else(|| panic!("no file: {part}"));
                content.push(host.get(&format!("/v1/assets/{id}/raw")).await.expect(200).body[0].to_string());
            }
        }
    }
    content
}

async fn take(host: &Host) -> Claimed {
    host.worker("w").take().await
}

/// Claims a run, ends it, and returns what it was.
async fn perform(host: &Host) -> (String, Vec<String>) {
    let claimed = take(host).await;
    let content = content(host, &claimed.run).await;
    host.worker("w").finish(&claimed, &["done"]).await.expect(200);
    (claimed.run, content)
}

#[tokio::test]
async fn three_pictures_are_one_run_in_the_order_in_which_they_were_sent() {
    let api = double().await;
    let host = of_three(&api).start().await;
    let run = accepted(&host, &picture(&api, 22, "g", None)).await;
    assert!(host.worker("w").claim(4, 5_000).await.is_empty(), "it waits for the others");
    assert_eq!(accepted(&host, &picture(&api, 21, "g", Some("holiday"))).await, run);
    assert!(host.worker("w").claim(4, 5_000).await.is_empty());
    assert_eq!(accepted(&host, &picture(&api, 23, "g", None)).await, run);
    assert_eq!(perform(&host).await, (run.clone(), ["holiday", "21", "22", "23"].map(str::to_owned).to_vec()));
    let metadata = host.run(&run).await["input_metadata"].clone();
    assert_eq!(metadata["telegram"]["messages"], json!([22]), "the first that came speaks");
    let joined = |at: usize| metadata["event_joined"][at]["telegram"]["messages"].clone();
    assert_eq!((joined(0), joined(1)), (json!([21]), json!([23])));
    assert_eq!(host.get("/v1/runs").await.expect(200).items().len(), 1);
}

#[tokio::test]
async fn a_kill_while_it_waits_loses_nothing() {
    let api = double().await;
    let mut host = of_three(&api).start().await;
    let pictures = [21, 22, 23].map(|number| picture(&api, number, "g", None));
    let run = accepted(&host, &pictures[0]).await;
    host.kill();
    host.restart().await;
    assert_eq!(accepted(&host, &pictures[1]).await, run);
    host.kill();
    host.restart().await;
    // Telegram did not hear of it, and sends it again.
    let again = send(&host, &pictures[1]).await;
    assert_eq!((again.header("kheish-receipt"), again.text("/run_id")), ("duplicate", run.as_str()));
    assert_eq!(accepted(&host, &pictures[2]).await, run);
    assert_eq!(perform(&host).await, (run, ["21", "22", "23"].map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn a_wait_that_was_killed_ends_by_itself() {
    let api = double().await;
    let mut host = quick(&api).executor("echo").start().await;
    let run = accepted(&host, &picture(&api, 21, "g", Some("see"))).await;
    host.kill();
    host.restart().await;
    host.run_when(&run, "completed").await;
}

#[tokio::test]
async fn a_picture_that_comes_again_is_there_once() {
    let api = double().await;
    let host = of_three(&api).start().await;
    let pictures = [21, 22, 23].map(|number| picture(&api, number, "g", None));
    let run = accepted(&host, &pictures[0]).await;
    accepted(&host, &pictures[1]).await;
    for update in &pictures[..2] {
        let again = send(&host, update).await;
        assert_eq!((again.header("kheish-receipt"), again.text("/run_id")), ("duplicate", run.as_str()));
    }
    let other = picture(&api, 22, "g", Some("another content"));
    host.refuses(409, "idempotency_conflict", webhook(&host).post(&other)).await;
    accepted(&host, &pictures[2]).await;
    assert_eq!(perform(&host).await.1, ["21", "22", "23"]);
    let late = send(&host, &pictures[1]).await;
    assert_eq!((late.header("kheish-receipt"), late.text("/run_id")), ("duplicate", run.as_str()));
}

#[tokio::test]
async fn a_picture_that_comes_too_late_is_a_run_of_its_own() {
    let api = double().await;
    let host = quick(&api).start().await;
    let run = accepted(&host, &picture(&api, 21, "g", None)).await;
    accepted(&host, &picture(&api, 22, "g", None)).await;
    let claimed = take(&host).await;
    assert_eq!(claimed.run, run);
    let late = accepted(&host, &picture(&api, 23, "g", None)).await;
    assert_ne!(late, run);
    assert_eq!(content(&host, &run).await, ["21", "22"]);
    host.worker("w").finish(&claimed, &["done"]).await.expect(200);
    assert_eq!(perform(&host).await, (late, vec!["23".to_owned()]));
}

#[tokio::test]
async fn two_albums_at_once_stay_apart_and_what_is_said_after_them_stays_after_them() {
    let api = double().await;
    let host = of_three(&api).start().await;
    let one = accepted(&host, &picture(&api, 21, "one", None)).await;
    let two = accepted(&host, &picture(&api, 31, "two", None)).await;
    assert_eq!(accepted(&host, &picture(&api, 22, "one", None)).await, one);
    let said = accepted(&host, &text(&api, 41, "what do you think?")).await;
    assert_eq!(accepted(&host, &picture(&api, 32, "two", None)).await, two);
    assert_eq!(accepted(&host, &picture(&api, 33, "two", None)).await, two);
    assert!(host.worker("w").claim(4, 5_000).await.is_empty(), "nobody passes the one that waits");
    assert_eq!(accepted(&host, &picture(&api, 23, "one", None)).await, one);
    // A further one of an album that is full begins another run.
    let further = accepted(&host, &picture(&api, 24, "one", None)).await;
    assert_eq!(perform(&host).await, (one, ["21", "22", "23"].map(str::to_owned).to_vec()));
    assert_eq!(perform(&host).await, (two, ["31", "32", "33"].map(str::to_owned).to_vec()));
    assert_eq!(perform(&host).await, (said, vec!["what do you think?".to_owned()]));
    host.worker("w").cancel(&further).await.expect(200);
}

#[tokio::test]
async fn the_same_name_in_another_chat_is_another_album() {
    let api = double().await;
    let host = of_three(&api).start().await;
    let one = accepted(&host, &picture(&api, 21, "g", None)).await;
    let mut elsewhere = picture(&api, 22, "g", None);
    elsewhere["message"]["chat"] = json!({ "id": -7, "type": "supergroup", "title": "Team" });
    assert_ne!(accepted(&host, &elsewhere).await, one);
}

#[tokio::test]
async fn a_wait_ends_at_its_moment_and_not_at_the_next_look() {
    let api = double().await;
    // Looks so seldom that only what wakes a worker lets it see anything.
    let settings = "[queue]\npoll_interval_ms = 600000\n[downloads]\npoll_interval_ms = 20\n";
    let host = builder(&api.url(), SHORT).settings(settings).executor("echo").start().await;
    let began = Instant::now();
    let run = accepted(&host, &picture(&api, 21, "g", Some("see"))).await;
    host.run_when(&run, "completed").await;
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}

#[tokio::test]
async fn pictures_that_keep_coming_do_not_put_the_run_off_for_ever() {
    let api = double().await;
    let settings = format!("{QUICK}[gathering]\nlongest_ms = 500\n");
    let host = builder(&api.url(), LONG).settings(&settings).start().await;
    let began = Instant::now();
    let run = accepted(&host, &picture(&api, 21, "g", None)).await;
    accepted(&host, &picture(&api, 22, "g", None)).await;
    assert_eq!(perform(&host).await, (run, ["21", "22"].map(str::to_owned).to_vec()));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_album_that_is_cancelled_holds_up_nobody() {
    let api = double().await;
    let host = of_three(&api).start().await;
    let run = accepted(&host, &picture(&api, 21, "g", None)).await;
    let said = accepted(&host, &text(&api, 41, "never mind")).await;
    assert!(host.worker("w").claim(4, 5_000).await.is_empty());
    host.worker("w").cancel(&run).await.expect(200);
    assert_eq!(perform(&host).await, (said, vec!["never mind".to_owned()]));
    // What comes now has nothing to join.
    let late = accepted(&host, &picture(&api, 22, "g", None)).await;
    assert_ne!(late, run);
    assert_eq!(host.run(&run).await["status"], "cancelled");
}

#[tokio::test]
async fn a_file_that_cannot_be_had_is_told_in_its_place() {
    let api = double().await;
    let host = of_three(&api).start().await;
    let pictures = [21, 22, 23].map(|number| picture(&api, number, "g", None));
    api.lose(&pictures[1]["message"]["photo"][0]);
    let run = accepted(&host, &pictures[2]).await;
    accepted(&host, &pictures[1]).await;
    accepted(&host, &pictures[0]).await;
    let claimed = take(&host).await;
    assert_eq!(claimed.run, run);
    let input = host.run(&run).await["input"].clone();
    let kinds: Vec<&str> = input.as_array().unwrap().iter().filter_map(|part| part["type"].as_str()).collect();
    assert_eq!(kinds, ["asset", "unavailable_file", "asset"], "{input}");
    eventually("nothing more is fetched", async || {
        let calls = api.calls_of("getFile").len();
        (calls == 3).then_some(())
    })
    .await;
}
