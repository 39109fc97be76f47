//! A model as executor: what it is told, how its answers arrive, and what happens when they do not.

use std::time::{Duration, Instant};

use kheish_host_tests::{
    host::Host,
    openai_double::{OpenAiDouble, Play},
};
use serde_json::{Value, json};

const KEY: &str = "sk-a-key-that-nobody-shows";

async fn host(double: &OpenAiDouble, more: &str) -> Host {
    let settings = double.settings(more) + "[queue]\ndefault_lease_ms = 600\n";
    let host = Host::builder().plugins(&[]).executor("openai").settings(&settings).start().await;
    host.make_session("room").await;
    host
}

async fn say(host: &Host, text: &str) -> String {
    let answer = host.submit("room", &json!({ "content": text, "actor_id": "ann" })).await.expect(202);
    answer.text("/run_id").to_owned()
}

/// A run that has ended like this.
async fn ended(host: &Host, text: &str, status: &str) -> Value {
    let run = say(host, text).await;
    host.run_when(&run, status).await
}

fn pairs(messages: &[(String, String)]) -> Vec<(&str, &str)> {
    messages.iter().map(|(role, text)| (role.as_str(), text.as_str())).collect()
}

#[tokio::test]
async fn a_stream_cut_anywhere_becomes_one_output_with_its_usage() {
    for size in [1, 7, 100_000] {
        let double =
            OpenAiDouble::start(None, move |_, _| Play::stream(&["Hé", "llo ", "\u{1f44b}"]).cut_into(size)).await;
        let host = host(&double, "price_per_million_input = 1.0\nprice_per_million_output = 10.0").await;
        let run = ended(&host, "hi", "completed").await;
        assert_eq!(run["outputs"].as_array().map(Vec::len), Some(1));
        assert_eq!(run["outputs"][0]["content"], "Héllo \u{1f44b}");
        let usage = json!({
            "model": "double-1", "requests": 1, "finish_reason": "stop", "input_tokens": 11, "output_tokens": 5,
            "cached_tokens": 4, "cost": 0.000_061,
        });
        assert_eq!(run["usage"], usage);
    }
}

#[tokio::test]
async fn an_answer_that_comes_whole_is_read_too() {
    let double = OpenAiDouble::start(None, |_, _| Play::whole("all of it")).await;
    for stream in [true, false] {
        let host =
            host(&double, &format!("stream = {stream}\nmax_output_tokens = 9\nextra_body = {{ seed = 4 }}")).await;
        let run = ended(&host, "hi", "completed").await;
        assert_eq!((&run["outputs"][0]["content"], &run["usage"]["cost"]), (&json!("all of it"), &json!(0.25)));
        let asked = double.asked().pop().unwrap();
        let sent = (&asked["stream"], &asked["max_tokens"], &asked["seed"], &asked["messages"][0]["name"]);
        assert_eq!(sent, (&json!(stream), &json!(9), &json!(4), &json!("ann")));
    }
}

#[tokio::test]
async fn earlier_runs_are_told_in_order_and_failed_ones_are_not() {
    let double = OpenAiDouble::start(None, |nth, _| match nth {
        1 => Play::status(400, "", r#"{"error":{"message":"not this"}}"#),
        nth => Play::stream(&[&format!("answer {nth}")]),
    });
    let double = double.await;
    let host = host(&double, "system_prompt = \"be brief\"\nhistory_runs = 2").await;
    ended(&host, "one", "completed").await;
    let failed = ended(&host, "two", "failed").await;
    assert_eq!(failed["error"]["code"], "openai_refused");
    assert_eq!(failed["error"]["detail"], "the endpoint answered 400: not this");
    ended(&host, "three", "completed").await;
    let told = [("system", "be brief"), ("user", "one"), ("assistant", "answer 0"), ("user", "three")];
    assert_eq!(pairs(&double.messages(2)), told);
    ended(&host, "four", "completed").await;
    ended(&host, "five", "completed").await;
    let told = [
        ("system", "be brief"),
        ("user", "three"),
        ("assistant", "answer 2"),
        ("user", "four"),
        ("assistant", "answer 3"),
        ("user", "five"),
    ];
    assert_eq!(pairs(&double.messages(4)), told);
}

#[tokio::test]
async fn history_has_a_limit_of_bytes_and_the_input_none() {
    let double = OpenAiDouble::start(None, |_, _| Play::stream(&["0123456789"])).await;
    let host = host(&double, "history_bytes = 25").await;
    for text in ["aa", "bb", "cc"] {
        ended(&host, text, "completed").await;
    }
    let long = "x".repeat(100);
    ended(&host, &long, "completed").await;
    let told =
        [("user", "bb"), ("assistant", "0123456789"), ("user", "cc"), ("assistant", "0123456789"), ("user", &long)];
    assert_eq!(pairs(&double.messages(3)), told);
}

#[tokio::test]
async fn what_passes_is_asked_again_and_waits_are_kept() {
    let double = OpenAiDouble::start(None, |nth, _| match nth {
        0 => Play::status(429, "retry-after: 1\r\n", "{}"),
        1 => Play::broken(&["half an ans"]),
        2 => Play::status(503, "", "busy"),
        _ => Play::stream(&["whole"]),
    });
    let double = double.await;
    let host = host(&double, "max_attempts = 4").await;
    let start = Instant::now();
    let run = ended(&host, "hi", "completed").await;
    assert!(start.elapsed() >= Duration::from_secs(1), "Retry-After was shortened");
    assert_eq!((&run["outputs"][0]["content"], &run["usage"]["requests"]), (&json!("whole"), &json!(4)));
    assert_eq!((run["attempt"].as_i64(), run["outputs"].as_array().map(Vec::len)), (Some(1), Some(1)));
}

#[tokio::test]
async fn attempts_end_and_the_session_moves_on() {
    let double = OpenAiDouble::start(None, |nth, _| match nth {
        0..3 => Play::status(500, "", "broken"),
        _ => Play::stream(&["fine"]),
    });
    let double = double.await;
    let host = host(&double, "max_attempts = 3").await;
    let run = ended(&host, "one", "failed").await;
    assert_eq!(run["error"], json!({ "code": "openai_unavailable", "detail": "the endpoint answered 500: broken" }));
    ended(&host, "two", "completed").await;
    assert_eq!(double.asked().len(), 4);
}

#[tokio::test]
async fn silence_ends_a_request() {
    let double = OpenAiDouble::start(None, |nth, _| match nth {
        0 => Play::broken(&["a"]).hanging(),
        _ => Play::stream(&["b"]),
    });
    let double = double.await;
    let host = host(&double, "idle_timeout_ms = 200").await;
    assert_eq!(ended(&host, "hi", "completed").await["outputs"][0]["content"], "b");
    double.left_times(1).await;
}

#[tokio::test]
async fn a_run_that_is_taken_away_drops_its_request() {
    let double = OpenAiDouble::start(None, |_, _| Play::broken(&["a"]).hanging()).await;
    let host = host(&double, "").await;
    let run = say(&host, "hi").await;
    double.asked_times(1).await;
    let body = json!({ "epoch": 1, "code": "stopped", "reason": "by the test" });
    host.post(&format!("/v1/runs/{run}/fail"), &body).await.expect(200);
    double.left_times(1).await;
    assert_eq!(host.run(&run).await["outputs"], json!([]));
}

#[tokio::test]
async fn answers_have_a_limit() {
    // The last piece is too much, or many more follow it.
    for pieces in [51, 20_000] {
        let double = OpenAiDouble::start(None, move |_, _| Play::broken(&vec!["0123456789"; pieces]).hanging()).await;
        let host = host(&double, "answer_bytes = 500").await;
        assert_eq!(ended(&host, "hi", "failed").await["error"]["code"], "openai_answer_too_long");
        double.left_times(1).await;
    }
}

#[tokio::test]
async fn the_key_is_sent_and_never_shown() {
    let refusal = format!(r#"{{"error":{{"message":"Incorrect API key provided: {KEY}"}}}}"#);
    let double = OpenAiDouble::start(Some(KEY), move |nth, _| match nth {
        0 => Play::stream(&["fine"]),
        _ => Play::status(401, "", &refusal),
    });
    let double = double.await;
    let host = host(&double, "api_key_secret_ref = \"model-key\"").await;
    let missing = ended(&host, "zero", "failed").await;
    assert_eq!(missing["error"]["code"], "openai_misconfigured");
    let secret =
        json!({ "slot_id": "model-key", "provider": "generic", "mode": "opaque_secret", "state": { "value": KEY } });
    host.post("/v1/runtime/secrets", &secret).await.expect(200);
    ended(&host, "one", "completed").await;
    let refused = ended(&host, "two", "failed").await;
    assert_eq!(refused["error"]["code"], "openai_unauthorized");
    assert!(!refused.to_string().contains(KEY) && refused.to_string().contains("[masked]"), "{refused}");
    assert!(!host.log().contains(KEY));
}

#[tokio::test]
async fn settings_that_make_no_sense_stop_the_start() {
    let start =
        async |settings: &str| Host::builder().plugins(&[]).executor("openai").settings(settings).run_to_end().await;
    let ended = start("").await;
    assert!(ended.code == Some(2) && ended.stderr.contains("[executors.openai]"), "{ended:?}");
    let ended = start("[executors.openai]\ntype = \"openai\"\nbase_url = \"here\"\nmodel = \"\"\n").await;
    let named = ended.stderr.contains("executors.openai.base_url") && ended.stderr.contains("executors.openai.model");
    assert!(ended.code == Some(2) && named, "{ended:?}");
}

#[tokio::test]
async fn private_addresses_need_the_operator_s_word() {
    let double = OpenAiDouble::start(None, |_, _| Play::stream(&["never"])).await;
    let settings = double.settings("").replace("allow_private_network = true\n", "");
    let host = Host::builder().plugins(&[]).executor("openai").settings(&settings).start().await;
    host.make_session("room").await;
    assert_eq!(ended(&host, "hi", "failed").await["error"]["code"], "openai_denied");
    assert_eq!(double.asked().len(), 0);
}
