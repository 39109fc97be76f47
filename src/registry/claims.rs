//! What a connector has for itself alone, so that no other one of its kind may have it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Connectors,
    definition::{Broken, Definition, Source},
};
use crate::{connectors::Claim, ingress::routes::Route, model::ids::ConnectorId};

/// What became of building a definition.
pub(super) type Built = (Arc<Definition>, Result<Route, Vec<Broken>>);

/// A claim as no second connector may make it: the kind, and what it is.
type Place = (String, String);

/// What a route claims. One that serves may be of other fields than its connector has by now.
fn claim(route: &Route) -> Option<Claim> {
    route.plugin.claim(&serde_json::from_str(&route.context.settings).ok()?)
}

impl Connectors {
    /// Refuses what was built where another connector has what it claims; those that are `gone` have nothing any more. Who
    /// serves already keeps what it has; of those that come together the file's come first, then those that come first by name.
    pub(super) fn settle_claims(&self, built: &mut [Built], gone: &[ConnectorId]) {
        let mut claims = BTreeMap::new();
        let mut leaving: BTreeSet<&ConnectorId> = gone.iter().collect();
        for (index, (definition, route)) in built.iter().enumerate() {
            let Ok(route) = route else { continue };
            let id = &definition.id;
            match claim(route) {
                Some(claim) => drop(claims.insert((definition.source != Source::File, id.clone()), (index, claim))),
                None => drop(leaving.insert(id)),
            }
        }
        if claims.is_empty() {
            return;
        }
        let mut taken = self.taken(&claims.values().map(|(index, claim)| (&built[*index].0.id, claim)).collect());
        taken.retain(|_, owner| !leaving.contains(owner));
        for ((_, id), (index, Claim { pointer, what })) in claims {
            let owner = taken.entry((id.kind.clone(), what.clone())).or_insert_with(|| id.clone());
            if *owner != id {
                let detail = format!("connector `{owner}` has {what}: give each its own");
                built[index].1 = Err(vec![Broken::at(pointer, detail)]);
            }
        }
    }

    /// What connectors that serve have, but for those that claim something else now.
    fn taken(&self, claims: &HashMap<&ConnectorId, &Claim>) -> HashMap<Place, ConnectorId> {
        let kinds: BTreeSet<&str> = claims.keys().map(|id| id.kind.as_str()).collect();
        let serving = kinds.into_iter().flat_map(|kind| self.routes().of_kind(kind));
        let staying = serving.filter_map(|route| {
            let (id, claim) = (&route.rules.connector, claim(&route)?);
            let stays = claims.get(id).is_none_or(|new| **new == claim);
            stays.then(|| ((id.kind.clone(), claim.what), id.clone()))
        });
        staying.collect()
    }
}
