//! `POST /v1/runtime/connectors/{kind}/{name}/test`: a real event, signed as callers sign theirs, through the public route.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{super::Api, DOMAIN, Which, not_found};
use crate::{
    connectors::manifest::Manifest,
    egress::address::Reach,
    ingress::{
        routes::Route,
        verify::sign::{self, Unsigned},
    },
    model::ids::ConnectorId,
    wire::{extract, problem::Problem},
};

/// What is sent.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = TestEvent)]
pub struct TestBody {
    /// The body, as callers of this kind send it: JSON, or text that is sent as it is. The kind's own sample when absent.
    body: Option<Value>,
    /// What the sample says.
    text: Option<String>,
}

/// What was sent and what came back.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TestResult)]
pub struct TestView {
    request: SentView,
    /// The status of the public route's answer.
    status: u16,
    /// Whether the event is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    receipt: Option<String>,
    /// The run that the event became.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    run_id: Option<String>,
    /// The answer, as JSON where it is JSON, else as text.
    answer: Value,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SentRequest)]
struct SentView {
    method: String,
    url: String,
    /// Names only: values hold credentials.
    headers_sent: Vec<String>,
}

/// Send a test event.
///
/// The daemon signs it with the connector's own secrets and sends it over HTTP to the connector's public route. It is a real
/// event: it becomes a run, and answers go where those of the connector go.
#[utoipa::path(
    post, path = "/v1/runtime/connectors/{kind}/{name}/test", operation_id = "test_connector", tag = "connectors",
    params(Which),
    request_body = TestBody,
    responses(
        (status = 200, description = "It was sent; `status` is what the public route answered.", body = TestView),
        (status = 400, description = "unknown_kind, sample_missing"),
        (status = 404, description = "connector_not_found"),
        (status = 409, description = "connector_not_running"),
        (status = 503, description = "test_not_sent"),
    ),
)]
pub async fn send(
    State(api): State<Api>,
    extract::Path(which): extract::Path<Which>,
    extract::Json(test): extract::Json<TestBody>,
) -> Result<Json<TestView>, Problem> {
    let id = ConnectorId::from(which);
    if api.connectors.get(&id).is_none() {
        return Err(not_found(&api, &id));
    }
    let Some(route) = api.connectors.routes().find(&id) else {
        let detail = format!("connector `{id}` does not run: its status says why");
        return Err(Problem::conflict(DOMAIN, "connector_not_running", detail));
    };
    let manifest = route.plugin.manifest();
    let body = match test.body {
        Some(Value::String(text)) => text,
        Some(body) => body.to_string(),
        None => sample(&api, manifest, &route, test.text.as_deref())?,
    };
    let method = manifest.ingress.methods.first().map_or("POST", String::as_str).to_owned();
    let target = format!("/v1/connectors/{id}{}", route.plugin.events_path());
    let unsigned = Unsigned { method: &method, target: &target, body: body.as_bytes(), now_ms: api.clock.now_ms() };
    let headers = sign::headers(manifest, &route.context.secrets, unsigned);
    let url = format!("http://{}{target}", api.own_address());
    let request = request(&api, &method, &url, &headers)?.body(body).build();
    let request = request.map_err(|error| failed(&error.without_url().to_string()))?;
    let answer = api.egress.send(request, Reach::Private).await.map_err(|error| failed(&error.to_string()))?;
    let text = String::from_utf8_lossy(&answer.body);
    let value = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.as_ref()));
    let receipt = answer.headers.get("kheish-receipt").and_then(|value| value.to_str().ok());
    let headers_sent = headers.into_iter().map(|(name, _)| name).collect();
    Ok(Json(TestView {
        request: SentView { method, url, headers_sent },
        status: answer.status.as_u16(),
        receipt: receipt.map(str::to_owned),
        run_id: value.get("run_id").and_then(Value::as_str).map(str::to_owned),
        answer: value,
    }))
}

fn request(
    api: &Api,
    method: &str,
    url: &str,
    headers: &[(String, crate::secrets::Secret)],
) -> Result<reqwest::RequestBuilder, Problem> {
    let method = method.parse().map_err(|_| failed("the kind's method is none"))?;
    let url = url.parse().map_err(|_| failed("the daemon's own address is no URL"))?;
    let mut request = api.egress.request(method, url, Reach::Private).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(name, value.expose());
    }
    Ok(request)
}

/// The kind's sample, with an id of its own, so that no test is another one's duplicate.
fn sample(api: &Api, manifest: &Manifest, route: &Route, text: Option<&str>) -> Result<String, Problem> {
    let spec = &manifest.ingress;
    let sample = if route.verifier.is_open() { spec.open_sample.as_ref() } else { None };
    let Some(sample) = sample.or(spec.sample.as_ref()) else {
        let detail = format!("kind `{}` has no sample event: give a `body` as its callers send it", manifest.kind);
        return Err(Problem::bad_request(DOMAIN, "sample_missing", detail));
    };
    let id = format!("kheishd-test-{}", api.clock.instance_id());
    let mut event = filled(sample, &id, text.unwrap_or("A test event from kheishd."));
    route.plugin.fill_sample(&route.rules.connector, &mut event);
    Ok(event.to_string())
}

fn filled(sample: &Value, id: &str, text: &str) -> Value {
    match sample {
        Value::String(written) => written.replace("{id}", id).replace("{text}", text).into(),
        Value::Array(values) => values.iter().map(|value| filled(value, id, text)).collect(),
        Value::Object(object) => object
            .iter()
            .map(|(name, value)| (name.clone(), filled(value, id, text)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn failed(detail: &str) -> Problem {
    Problem::unavailable(DOMAIN, "test_not_sent", format!("the test event could not be sent: {detail}"))
}
