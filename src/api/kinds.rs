//! `/v1/runtime/kinds`: what connectors there can be, with everything that a form needs.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::Value;

use super::Api;
use crate::{
    connectors::{
        Plugin,
        manifest::{IngressSpec, Manifest, Recipe, SecretList, SecretSlot},
    },
    wire::{extract, problem::Problem},
};

/// A kind of connectors, as its plugin describes it. What the parts mean says the schema of manifests, which is published with
/// the contract.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Kind)]
pub struct KindView {
    kind: String,
    /// The plugin's own version.
    version: String,
    description: String,
    /// What its connectors can do beside taking events.
    does: Vec<Ability>,
    /// The version of the contract that the plugin was written against.
    contract: String,
    /// JSON Schema of the settings. Secrets and the fields that every connector has are not part of it.
    #[schema(value_type = Object)]
    settings: Value,
    /// Secret slots by name: `description`, `required`.
    #[schema(value_type = BTreeMap<String, Object>)]
    secrets: BTreeMap<String, SecretSlot>,
    /// Lists of secrets by name: `description`, and the names of the members of an entry, `key` and `secret`.
    #[schema(value_type = BTreeMap<String, Object>)]
    secret_lists: BTreeMap<String, SecretList>,
    /// How callers are authenticated, in order.
    #[schema(value_type = Vec<Object>)]
    verification: Vec<Recipe>,
    /// Methods, rate, and samples for test events.
    #[schema(value_type = Object)]
    ingress: IngressSpec,
    /// The plugin's file, or `native:` and the kind.
    file: String,
    /// SHA-256 of the plugin's code, or `native`.
    digest: String,
}

/// What connectors of a kind can do beside taking events: each is an interface that the plugin exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KindAbility)]
pub enum Ability {
    /// They can be reply targets.
    Delivers,
    /// They can look up what may have arrived.
    Reconciles,
    /// They can be asked for events.
    Polls,
    /// They can register at their platform.
    Activates,
    /// They can fetch files that events name.
    Fetches,
}

impl Ability {
    fn of(plugin: &dyn Plugin) -> Vec<Self> {
        let all = [
            (Self::Delivers, plugin.delivers()),
            (Self::Reconciles, plugin.reconciles()),
            (Self::Polls, plugin.polls()),
            (Self::Activates, plugin.activates()),
            (Self::Fetches, plugin.fetches()),
        ];
        all.into_iter().filter_map(|(ability, has)| has.then_some(ability)).collect()
    }
}

/// All kinds, in the order of their names.
#[utoipa::path(
    get, path = "/v1/runtime/kinds", operation_id = "list_kinds", tag = "connectors",
    responses((status = 200, description = "Each with its settings' schema and its secret slots.", body = [KindView])),
)]
pub async fn list(State(api): State<Api>) -> Json<Vec<KindView>> {
    let kinds = api.connectors.kinds();
    Json(kinds.kinds().iter().filter_map(|kind| view(&api, kind)).collect())
}

/// One kind.
#[utoipa::path(
    get, path = "/v1/runtime/kinds/{kind}", operation_id = "get_kind", tag = "connectors",
    params(("kind" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The kind.", body = KindView), (status = 404, description = "kind_not_found")),
)]
pub async fn get(
    State(api): State<Api>,
    extract::Path(kind): extract::Path<String>,
) -> Result<Json<KindView>, Problem> {
    let missing = || {
        let known = api.connectors.kinds().kinds().join(", ");
        Problem::not_found(
            "connectors",
            "kind_not_found",
            format!("no plugin provides the kind `{kind}` (there are: {known})"),
        )
    };
    view(&api, &kind).map(Json).ok_or_else(missing)
}

fn view(api: &Api, kind: &str) -> Option<KindView> {
    let (plugin, file) = api.connectors.kinds().provider(kind)?;
    let Manifest {
        contract, kind, version, description, settings, secrets, secret_lists, verification, ingress, ..
    } = plugin.manifest().clone();
    let (does, digest) = (Ability::of(&*plugin), plugin.digest().to_owned());
    Some(KindView {
        kind,
        version,
        description,
        does,
        contract,
        settings,
        secrets,
        secret_lists,
        verification,
        ingress,
        file,
        digest,
    })
}
