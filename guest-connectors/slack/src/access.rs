//! Who may speak: the operator's allow-lists. An empty list lets everybody in; a list that is there and a value that is not is
//! a miss.

use kheish_guest::Refusal;

use crate::settings::Settings;

/// What a request says about where it comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The app that it is for.
    pub(crate) app: Option<String>,
    /// Its organisation.
    pub(crate) enterprise: Option<String>,
    /// Its workspace.
    pub(crate) team: Option<String>,
    /// Its channel.
    pub(crate) channel: Option<String>,
    /// Further installations that Slack delivers it for: organisation and workspace. One for a whole organisation names no
    /// workspace.
    pub(crate) installations: Vec<(Option<String>, Option<String>)>,
}

/// Checks all of it.
pub(crate) fn check(settings: &Settings, origin: &Origin) -> Result<(), Refusal> {
    one("allowed_api_app_ids", "app", &settings.allowed_api_app_ids, origin.app.as_deref())?;
    one("allowed_enterprise_ids", "organisation", &settings.allowed_enterprise_ids, origin.enterprise.as_deref())?;
    one("allowed_team_ids", "workspace", &settings.allowed_team_ids, origin.team.as_deref())?;
    one("allowed_channel_ids", "channel", &settings.allowed_channel_ids, origin.channel.as_deref())?;
    for (enterprise, team) in &origin.installations {
        one("allowed_enterprise_ids", "organisation", &settings.allowed_enterprise_ids, enterprise.as_deref())?;
        if team.is_some() || enterprise.is_none() {
            one("allowed_team_ids", "workspace", &settings.allowed_team_ids, team.as_deref())?;
        }
    }
    Ok(())
}

fn one(list: &str, what: &str, allowed: &[String], value: Option<&str>) -> Result<(), Refusal> {
    if allowed.is_empty() || value.is_some_and(|value| allowed.iter().any(|one| one == value)) {
        return Ok(());
    }
    let reason = match value {
        Some(value) => format!("The {what} `{value}` is not among {list}: add it there to let it in."),
        None => format!("The request names no {what}, and {list} lets in only those that it names."),
    };
    Err(Refusal::new(403, "not_allowed", reason))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(settings: Value, origin: &Origin) -> Option<String> {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        check(&settings, origin).err().map(|refusal| {
            assert_eq!((refusal.status, refusal.code.as_str()), (403, "not_allowed"));
            refusal.reason
        })
    }

    fn text(value: &str) -> Option<String> {
        Some(value.to_owned())
    }

    fn origin() -> Origin {
        Origin {
            app: text("A1"),
            enterprise: text("E1"),
            team: text("T1"),
            channel: text("C1"),
            installations: vec![(text("E1"), text("T1"))],
        }
    }

    #[test]
    fn without_lists_everybody_is_let_in() {
        assert_eq!(refused(json!({}), &origin()), None);
        assert_eq!(refused(json!({}), &Origin::default()), None);
    }

    #[test]
    fn each_list_is_kept() {
        for (list, good) in [
            ("allowed_api_app_ids", "A1"),
            ("allowed_enterprise_ids", "E1"),
            ("allowed_team_ids", "T1"),
            ("allowed_channel_ids", "C1"),
        ] {
            assert_eq!(refused(json!({list: ["X9", good]}), &origin()), None, "{list}");
            assert!(refused(json!({list: ["X9"]}), &origin()).is_some_and(|reason| reason.contains(list)));
            assert!(
                refused(json!({list: [good]}), &Origin::default()).is_some_and(|reason| reason.contains("names no"))
            );
        }
    }

    #[test]
    fn every_installation_has_to_be_on_the_lists() {
        let mut two = origin();
        two.installations.push((text("E1"), text("T2")));
        assert_eq!(refused(json!({"allowed_team_ids": ["T1", "T2"]}), &two), None);
        assert!(refused(json!({"allowed_team_ids": ["T1"]}), &two).is_some());
        two.installations[1] = (text("E2"), text("T1"));
        assert!(refused(json!({"allowed_enterprise_ids": ["E1"]}), &two).is_some());
        two.installations[1] = (None, None);
        assert!(refused(json!({"allowed_team_ids": ["T1"]}), &two).is_some());
        two.installations[1] = (text("E1"), None);
        assert_eq!(refused(json!({"allowed_team_ids": ["T1"]}), &two), None, "a whole organisation");
    }
}
