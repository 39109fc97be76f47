//! Which paths belong to whom, and what a request on the control plane needs.
//!
//! Paths are compared as they were sent, segment by segment, as the router does: nothing is decoded first, so an escaped
//! slash cannot turn one path into another between here and there.

use axum::http::{Method, Uri};

/// Whose path it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// The operator's and the workers', and everything below `/v1` that no route has.
    Control,
    /// Open to anybody.
    Probe,
    /// Connectors, which verify callers themselves, and paths that mean nothing.
    Elsewhere,
}

/// The least that a token must be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Either token.
    ReadOnly,
    /// The admin token.
    Admin,
}

/// What the read-only token may GET. `*` is one segment, `**` one or more.
const READ_ONLY: [&str; 18] = [
    "/metrics",
    "/v1/deliveries",
    "/v1/deliveries/*",
    "/v1/events/stream",
    "/v1/openapi.json",
    "/v1/plugins",
    "/v1/runs",
    "/v1/runs/*",
    "/v1/runs/*/stream",
    "/v1/runtime/connectors",
    "/v1/runtime/connectors/*/*",
    "/v1/runtime/kinds",
    "/v1/runtime/kinds/**",
    "/v1/sessions",
    "/v1/sessions/*",
    "/v1/sessions/*/reply-targets",
    "/v1/sessions/*/stream",
    "/v1/status",
];

/// What workers POST many times a second: too much for the audit file, and each is a row of a run already.
const OF_WORKERS: [&str; 5] =
    ["/v1/runs/claim", "/v1/runs/*/heartbeat", "/v1/runs/*/outputs", "/v1/runs/*/finish", "/v1/runs/*/fail"];

/// Whose path it is.
pub(super) fn zone(path: &str) -> Zone {
    if path == "/healthz" || path == "/readyz" {
        return Zone::Probe;
    }
    let mut segments = segments(path);
    match (segments.next(), segments.next(), segments.next()) {
        (Some("v1"), Some("connectors"), Some(_)) => Zone::Elsewhere,
        (Some("v1" | "metrics"), ..) => Zone::Control,
        _ => Zone::Elsewhere,
    }
}

/// What a request on the control plane needs. A path that is not listed needs the admin token, also when no route has it.
pub(super) fn needs(method: &Method, path: &str) -> Needs {
    let listed = !changes_something(method) && READ_ONLY.iter().any(|pattern| matches(pattern, path));
    if listed { Needs::ReadOnly } else { Needs::Admin }
}

/// The file and the token of a link to a file's bytes, as they were sent. Nothing else than this one GET can be asked for so.
pub(super) fn link<'r>(method: &Method, uri: &'r Uri) -> Option<(&'r str, &'r str)> {
    if method != Method::GET || !matches("/v1/assets/*/raw", uri.path()) {
        return None;
    }
    let token = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    Some((segments(uri.path()).nth(2)?, token))
}

/// The run that a call of whoever performs it is about, as its path was sent.
pub(super) fn spoken_of<'r>(method: &Method, path: &'r str) -> Option<&'r str> {
    let is_about_one = method == Method::POST && OF_WORKERS[1..].iter().any(|pattern| matches(pattern, path));
    segments(path).nth(2).filter(|_| is_about_one)
}

/// Whether a request looks at one file: whoever performs a run may look at the run's.
pub(super) fn is_for_file(method: &Method, path: &str) -> bool {
    method == Method::GET && ["/v1/assets/*", "/v1/assets/*/raw"].iter().any(|pattern| matches(pattern, path))
}

/// Whether a request that was let in is a row in the audit file.
pub(super) fn is_audited(method: &Method, path: &str) -> bool {
    let of_worker = method == Method::POST && OF_WORKERS.iter().any(|pattern| matches(pattern, path));
    changes_something(method) && !of_worker
}

fn changes_something(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').into_iter().flat_map(|rest| rest.split('/'))
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (segments(pattern), segments(path));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("*"), Some(segment)) if is_plain(segment) => {}
            (Some("**"), Some(segment)) => return is_plain(segment) && given.all(is_plain),
            (Some(literal), Some(segment)) if literal == segment => {}
            _ => return false,
        }
    }
}

/// Whether a segment stays one segment, and goes nowhere, whoever decodes it.
fn is_plain(segment: &str) -> bool {
    let decoded = segment.to_ascii_lowercase().replace("%2e", ".");
    let hidden = ["%2f", "%5c", "%25", "%00", "\\"];
    !["", ".", ".."].contains(&decoded.as_str()) && !hidden.iter().any(|part| decoded.contains(part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_path_has_one_owner() {
        for path in ["/v1", "/v1/", "/v1/status", "/v1/nowhere/at/all", "/v1/connectors", "/metrics", "/metrics/x"] {
            assert_eq!(zone(path), Zone::Control, "{path}");
        }
        for path in ["/v1/connectors/http/orders", "/v1/connectors/http/orders/below", "/v1/connectors/", "/", "", "*"]
        {
            assert_eq!(zone(path), Zone::Elsewhere, "{path}");
        }
        assert_eq!((zone("/healthz"), zone("/readyz")), (Zone::Probe, Zone::Probe));
        assert_eq!((zone("/healthz/x"), zone("/v1connectors/a/b")), (Zone::Elsewhere, Zone::Elsewhere));
    }

    #[test]
    fn what_is_listed_is_for_reading_and_nothing_near_it() {
        for pattern in READ_ONLY {
            let path = pattern.replace("**", "a/b").replace('*', "a");
            for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
                assert_eq!(needs(&method, &path), Needs::ReadOnly, "{method} {path}");
            }
            for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::TRACE] {
                assert_eq!(needs(&method, &path), Needs::Admin, "{method} {path}");
            }
            for near in [format!("{path}/"), format!("/{path}"), format!("{path}/raw/more/x"), path.to_uppercase()] {
                let below_kinds = near.starts_with("/v1/runtime/kinds/") && !near.ends_with('/');
                assert_eq!(needs(&Method::GET, &near) == Needs::Admin, !below_kinds, "{near}");
            }
        }
    }

    #[test]
    fn escapes_and_dots_do_not_reach_further() {
        for path in [
            "/v1/runs/..",
            "/v1/runs/%2e%2E",
            "/v1/runs/a%2fb",
            "/v1/runs/a%5Cb",
            "/v1/runs/a%252fb",
            "/v1/runs//stream",
            "/v1/runtime/kinds/../secrets",
            "/v1/runtime/kinds/x/%2e%2e/%2e%2e/secrets",
            "/v1/runtime/connectors/http/..%2f..%2fsecrets",
            "/v1/runtime/secrets",
            "/v1/runtime/secrets/a",
            "/v1/assets/a/raw",
            "/v1//status",
            "//v1/status",
            "/v1/status%2f",
        ] {
            assert_eq!(needs(&Method::GET, path), Needs::Admin, "{path}");
        }
    }

    #[test]
    fn a_link_is_one_get_of_a_files_bytes() {
        let link =
            |method: Method, uri: &str| link(&method, &uri.parse().unwrap()).map(|(id, token)| format!("{id} {token}"));
        assert_eq!(link(Method::GET, "/v1/assets/ab/raw?token=1.2").as_deref(), Some("ab 1.2"));
        assert_eq!(link(Method::GET, "/v1/assets/ab/raw?x=1&token=").as_deref(), Some("ab "));
        for path in [
            "/v1/assets/ab/raw",
            "/v1/assets/ab/raw?Token=1.2",
            "/v1/assets/ab/raw/?token=1.2",
            "/v1/assets/ab?token=1.2",
            "/v1/assets/ab/../raw?token=1.2",
            "/v1/assets/a%2fb/raw?token=1.2",
            "/v1/status?token=1.2",
            "//v1/assets/ab/raw?token=1.2",
        ] {
            assert_eq!(link(Method::GET, path), None, "{path}");
        }
        for method in [Method::HEAD, Method::OPTIONS, Method::POST, Method::PUT, Method::DELETE] {
            assert_eq!(link(method, "/v1/assets/ab/raw?token=1.2"), None);
        }
    }

    #[test]
    fn calls_about_a_run_are_four_posts() {
        for verb in ["heartbeat", "outputs", "finish", "fail"] {
            let path = format!("/v1/runs/run_a/{verb}");
            assert_eq!(spoken_of(&Method::POST, &path), Some("run_a"));
            assert_eq!(spoken_of(&Method::GET, &path), None, "{path}");
            assert_eq!(spoken_of(&Method::POST, &format!("{path}/")), None, "{path}/");
        }
        for path in
            ["/v1/runs/claim", "/v1/runs/run_a", "/v1/runs/run_a/cancel", "/v1/runs/a%2fb/finish", "/v1/runs//finish"]
        {
            assert_eq!(spoken_of(&Method::POST, path), None, "{path}");
        }
    }

    #[test]
    fn files_of_a_run_are_looked_at_one_by_one() {
        for path in ["/v1/assets/ab", "/v1/assets/ab/raw"] {
            assert!(is_for_file(&Method::GET, path), "{path}");
            for method in [Method::HEAD, Method::POST, Method::PUT, Method::DELETE] {
                assert!(!is_for_file(&method, path), "{method} {path}");
            }
        }
        for path in ["/v1/assets", "/v1/assets/", "/v1/assets/ab/raw/", "/v1/assets/a%2fb", "/v1/assets/../runs"] {
            assert!(!is_for_file(&Method::GET, path), "{path}");
        }
    }

    #[test]
    fn workers_calls_are_no_rows_and_other_changes_are() {
        for path in
            ["/v1/runs/claim", "/v1/runs/a/heartbeat", "/v1/runs/a/outputs", "/v1/runs/a/finish", "/v1/runs/a/fail"]
        {
            assert!(!is_audited(&Method::POST, path), "{path}");
            assert!(is_audited(&Method::DELETE, path), "{path}");
        }
        assert!(is_audited(&Method::POST, "/v1/sessions"));
        assert!(is_audited(&Method::POST, "/v1/runs/a%2fb/fail"));
        assert!(!is_audited(&Method::GET, "/v1/sessions"));
    }

    proptest! {
        #[test]
        fn only_listed_shapes_are_for_reading(path in "(/(v1|runtime|secrets|kinds|runs|status|assets|a|raw|%2e|\\.\\.|a%2Fb|)){1,6}") {
            if needs(&Method::GET, &path) == Needs::ReadOnly {
                prop_assert!(!path.contains("secrets") || path.starts_with("/v1/runtime/kinds/") || path == "/v1/runs/secrets");
                prop_assert!(!path.contains("assets") || path.starts_with("/v1/runtime/kinds/") || path == "/v1/runs/assets");
                prop_assert!(!path.contains('%') && !path.contains(".."));
                prop_assert!(path.starts_with("/v1/") && !path.contains("//"));
            }
        }
    }
}
