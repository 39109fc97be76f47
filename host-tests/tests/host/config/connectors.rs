//! Broken connectors files, one mistake at a time and several at once.

use kheish_host_tests::{
    connectors::Http,
    host::{HTTP, Host, MISBEHAVING},
};

use super::{assert_refused, with_connectors};

/// A table whose first line is line 1, with these lines from line 4 on.
fn table(lines: &str) -> String {
    format!("[[http_connectors]]\nname = \"orders\"\nbearer_token = \"tok\"\n{lines}\n")
}

#[tokio::test]
async fn text_that_is_no_toml() {
    assert_refused(&with_connectors(&table("actor_id = ")).await, &["connectors.toml:4", "actor_id"]);
    assert_refused(&with_connectors(&table("this is no toml")).await, &["connectors.toml:4"]);
    assert_refused(&with_connectors("[[http_connectors]\nname = \"a\"\n").await, &["connectors.toml:1"]);
    assert_refused(&with_connectors(&table("name = \"twice\"")).await, &["connectors.toml", "name"]);
}

#[tokio::test]
async fn fields_and_tables_that_do_not_exist() {
    let typo = with_connectors(&table("require_idempotency_kee = false")).await;
    assert_refused(
        &typo,
        &["connectors.toml:4", "http/orders", "`require_idempotency_kee`", "did you mean `require_idempotency_key`?"],
    );
    let policy = with_connectors(&table("session_policy = { create_if_mising = true }")).await;
    assert_refused(&policy, &["connectors.toml:4", "session_policy", "create_if_mising"]);
    let scoped = with_connectors(&table("session_policy = { capability_scope = {}, persona_id = \"p\" }")).await;
    assert_refused(&scoped, &["connectors.toml:4", "session_policy", "`persona_id` is for the agent runtime"]);
    let array = with_connectors("[[http_conectors]]\nname = \"a\"\n").await;
    assert_refused(&array, &["connectors.toml:1", "`http_conectors`", "did you mean `http_connectors`?"]);
    let single = with_connectors("[http_connectors]\nname = \"a\"\n").await;
    assert_refused(&single, &["connectors.toml:1", "[[http_connectors]]"]);
}

#[tokio::test]
async fn values_of_another_type_or_out_of_range() {
    for (line, field) in [
        ("bearer_token_env = 7", "bearer_token_env"),
        ("require_idempotency_key = \"yes\"", "require_idempotency_key"),
        ("signature_max_age_secs = 0", "signature_max_age_secs"),
        ("signature_max_age_secs = 3601", "signature_max_age_secs"),
        ("ingress_events_per_second = 0", "ingress_events_per_second"),
        ("ingress_events_per_second = -1", "ingress_events_per_second"),
        ("ingress_events_per_second = 1.5", "ingress_events_per_second"),
        ("allow_unauthenticated_ingress = 1", "allow_unauthenticated_ingress"),
        ("fixed_session_id = \"..\"", "fixed_session_id"),
        ("fixed_session_id = 4", "fixed_session_id"),
        ("default_binding_keys = \"a\"", "default_binding_keys"),
        ("default_binding_keys = [\"\"]", "default_binding_keys"),
        ("session_policy = true", "session_policy"),
        ("actor_id = []", "actor_id"),
    ] {
        let ended = with_connectors(&table(line)).await;
        assert_refused(&ended, &["connectors.toml:4", "http/orders", field]);
    }
}

#[tokio::test]
async fn secrets_from_two_places_from_nowhere_or_blank() {
    let both = with_connectors(&table("bearer_token_env = \"HOME\"")).await;
    assert_refused(&both, &["connectors.toml:4", "bearer_token_env", "not both"]);
    let hmac = with_connectors(&table("hmac_secret = \"k\"\nhmac_secret_env = \"HOME\"")).await;
    assert_refused(&hmac, &["connectors.toml:5", "hmac_secret_env"]);
    let unset = with_connectors(&table("hmac_secret_env = \"NO_SUCH_VARIABLE_HERE\"")).await;
    assert_refused(&unset, &["connectors.toml:4", "hmac_secret_env", "NO_SUCH_VARIABLE_HERE"]);
    let reference = with_connectors(&table("hmac_secret_secret_ref = \"slot\"")).await;
    assert_refused(&reference, &["connectors.toml:4", "hmac_secret_secret_ref"]);
    for blank in ["", "   "] {
        let ended = with_connectors(&table(&format!("hmac_secret = \"{blank}\""))).await;
        assert_refused(&ended, &["connectors.toml:4", "hmac_secret", "blank"]);
    }
}

#[tokio::test]
async fn a_door_that_is_open_by_mistake() {
    let open = with_connectors("[[http_connectors]]\nname = \"orders\"\n").await;
    assert_refused(
        &open,
        &["connectors.toml:1", "http/orders", "bearer_token", "hmac_secret", "allow_unauthenticated_ingress"],
    );
    let demand = with_connectors(&table("require_hmac_signature = true")).await;
    assert_refused(&demand, &["connectors.toml:", "http/orders", "require_hmac_signature", "hmac_secret"]);
    let keyless =
        with_connectors(&table("hmac_secret = \"k\"\nrequire_hmac_signature = true\nrequire_idempotency_key = false"))
            .await;
    assert_refused(&keyless, &["http/orders", "require_idempotency_key"]);
}

#[tokio::test]
async fn names_that_are_missing_bad_or_taken() {
    assert_refused(
        &with_connectors("[[http_connectors]]\nbearer_token = \"t\"\n").await,
        &["connectors.toml:1", "name"],
    );
    let long = "x".repeat(65);
    for name in ["", "a:b", "a/b", "a b", ".hidden", "ü", &long] {
        let ended = with_connectors(&format!("[[http_connectors]]\nname = \"{name}\"\nbearer_token = \"t\"\n")).await;
        assert_refused(&ended, &["connectors.toml:2", "name"]);
    }
    let twice = with_connectors(&format!("{}{}", table(""), table(""))).await;
    assert_refused(&twice, &["connectors.toml:6", "http/orders", "another connector"]);
}

#[tokio::test]
async fn kinds_that_nobody_provides() {
    let unknown = with_connectors("[[connectors]]\nkind = \"pigeon\"\nname = \"coop\"\n").await;
    assert_refused(&unknown, &["connectors.toml:1", "pigeon/coop", "http"]);
    let slack = with_connectors("[[slack_connectors]]\nname = \"team\"\n").await;
    assert_refused(&slack, &["connectors.toml:1", "slack/team"]);
    let unnamed = with_connectors("[[connectors]]\nname = \"coop\"\n").await;
    assert_refused(&unnamed, &["connectors.toml:1", "kind"]);
}

#[tokio::test]
async fn reply_targets_that_lead_nowhere() {
    for target in [
        "{ plugin = \"pigeon\", address = \"coop\" }",
        "{ plugin = \"http\", address = \"not a url\" }",
        "{ plugin = \"http\", address = \"ftp://example.com/\" }",
        "{ plugin = \"http\" }",
        "{ plugin = \"http\", address = \"https://example.com/\", more = 1 }",
        "\"https://example.com/\"",
    ] {
        let ended = with_connectors(&table(&format!("default_reply_targets = [{target}]"))).await;
        assert_refused(&ended, &["connectors.toml:4", "http/orders", "default_reply_targets"]);
    }
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let text = "[[http_connectors]]\nname = \"a:b\"\nfixed_session_id = 1\n\n[[http_connectors]]\nname = \"c\"\nsession_policy = 1\n\n[[nonsense]]\nx = 1\n";
    assert_refused(
        &with_connectors(text).await,
        &["connectors.toml:2", "connectors.toml:3", "connectors.toml:7", "connectors.toml:9"],
    );
    let by_kind = format!("{}[[http_connectors]]\nname = \"open\"\n", table("unknwon = 1\nsignature_max_age_secs = 0"));
    assert_refused(&with_connectors(&by_kind).await, &["connectors.toml:4", "connectors.toml:5", "http/open"]);
    let two_kinds = format!(
        "{}\n[[connectors]]\nkind = \"misbehaving\"\nname = \"m\"\nbehaviour = \"kind\"\n",
        table("unknwon = 1")
    );
    let ended = Host::builder().plugins(&[HTTP, MISBEHAVING]).connectors(two_kinds).run_to_end().await;
    assert_refused(&ended, &["http/orders", "unknwon", "misbehaving/m", "behaviour"]);
}

#[tokio::test]
async fn a_kinds_problem_is_not_blamed_on_a_missing_plugin() {
    let ended = with_connectors(&table("unknwon = 1")).await;
    assert_refused(&ended, &["unknwon"]);
    assert!(!ended.stderr.contains("no plugin in"), "{}", ended.stderr);
}

#[tokio::test]
async fn secrets_may_come_from_the_environment() {
    let connector = Http::named("orders").set("bearer_token_env = \"KHEISH_TEST_TOKEN\"");
    let host = Host::builder().connectors(connector).env("KHEISH_TEST_TOKEN", "from outside").start().await;
    host.sender("orders").bearer("from outside").say("k1", "room", "hello").await.expect(200);
    host.refuses(401, "invalid_token", host.sender("orders").bearer("KHEISH_TEST_TOKEN").say("k2", "room", "hello"))
        .await;
}
