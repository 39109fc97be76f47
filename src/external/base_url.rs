//! Where a sidecar may answer (contract section 2.5). Pure.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;

use crate::egress::address::{LOOPBACK, Reach};

/// Checks the address of a sidecar that runs elsewhere; `private` is the operator's grant. What names lead to is looked at
/// when they are resolved.
pub(super) fn check_remote(text: &str, private: bool) -> Result<(), String> {
    let url = parse(text)?;
    let host = host(&url);
    let reach = if private { Reach::Private } else { Reach::Public };
    if let Some(address) = literal(&host) {
        return reach.check(address);
    }
    if !private && is_local_name(&host) {
        return Err(format!("`{host}` is this machine: set allow_private_network = true beside it"));
    }
    Ok(())
}

/// Checks the address of a sidecar that the daemon starts: it is on this machine.
pub(super) fn check_child(text: &str) -> Result<(), String> {
    let url = parse(text)?;
    let host = host(&url);
    let local = literal(&host).map_or_else(|| is_local_name(&host), |address| address.to_canonical().is_loopback());
    if !local {
        return Err(format!("`{host}` is not this machine: a child answers at 127.0.0.1, [::1] or localhost"));
    }
    if !["", "/"].contains(&url.path()) {
        return Err("it has a path: a child answers at `http://host:port`".to_owned());
    }
    if url.port().is_none() {
        return Err("it names no port of its own: a child answers at `http://host:port`".to_owned());
    }
    Ok(())
}

/// Where a child answers whose base was checked. Names of this machine are asked of nobody.
pub(super) fn child_addresses(base: &str) -> Vec<SocketAddr> {
    let Ok(url) = Url::parse(base) else { return Vec::new() };
    let port = url.port_or_known_default().unwrap_or_default();
    let hosts = literal(&host(&url)).map_or_else(|| LOOPBACK.to_vec(), |address| vec![address]);
    hosts.into_iter().map(|host| SocketAddr::new(host, port)).collect()
}

/// What two children cannot both have of their bases, which were checked: names of this machine are the same place as the
/// addresses that they lead to.
pub(super) fn place(base: &str) -> Option<String> {
    let url = Url::parse(base).ok()?;
    let port = url.port_or_known_default()?;
    Some(match literal(&host(&url)).map(|address| address.to_canonical()) {
        Some(address) if !LOOPBACK.contains(&address) => SocketAddr::new(address, port).to_string(),
        _ => format!("localhost:{port}"),
    })
}

/// The URL of a call below the base, which was checked.
pub(super) fn join(base: &str, call: &str) -> Option<Url> {
    Url::parse(&format!("{}{call}", base.trim_end_matches('/'))).ok()
}

fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("it is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("it is not an http or https URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user name or a password: take it out, the shared_token is the credential".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query or a fragment: calls are appended to it".to_owned());
    }
    Ok(url)
}

/// In lower case, without the dot that may end a name.
fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase()
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_local_name(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_elsewhere_is_public_unless_granted() {
        for public in
            ["https://bridge.example", "http://bridge.example:8080/base/", "https://1.1.1.1", "https://[2606:4700::1]"]
        {
            assert_eq!(check_remote(public, false), Ok(()), "{public}");
            assert_eq!(check_remote(public, true), Ok(()), "{public}");
        }
        for private in [
            "http://127.0.0.1:9000",
            "http://127.1:9000",
            "http://0x7f000001",
            "http://[::1]:9000",
            "http://[::ffff:127.0.0.1]:9000",
            "http://[::ffff:10.0.0.1]",
            "http://10.0.0.1",
            "http://192.168.1.1.",
            "http://100.64.0.1",
            "http://198.18.0.1",
            "http://192.0.0.1",
            "http://[2001:db8::1]",
            "http://[fc00::1]",
            "http://localhost:9000",
            "http://LOCALHOST.:9000",
            "http://bridge.localhost",
            "http://a.b.localhost.",
        ] {
            assert!(check_remote(private, false).is_err(), "{private}");
            assert_eq!(check_remote(private, true), Ok(()), "{private}");
        }
        for never in
            ["http://169.254.169.254", "http://0.0.0.0:9000", "http://[::ffff:169.254.169.254]", "http://224.0.0.1"]
        {
            assert!(check_remote(never, false).is_err() && check_remote(never, true).is_err(), "{never}");
        }
    }

    #[test]
    fn what_is_no_base_is_refused() {
        for text in [
            "",
            "bridge",
            "ftp://bridge.example",
            "unix:/run/bridge",
            "https://user@bridge.example",
            "https://:word@bridge.example",
            "https://bridge.example/?a=b",
            "https://bridge.example/#a",
            "https://",
        ] {
            assert!(check_remote(text, true).is_err() && check_child(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_child_is_on_this_machine_and_has_no_path() {
        for good in [
            "http://127.0.0.1:9000",
            "http://127.0.0.1:9000/",
            "http://[::1]:9000",
            "http://[::ffff:127.0.0.1]:9000",
            "http://localhost:9000",
            "http://localhost.:9000",
            "http://bridge.localhost:9000",
        ] {
            assert_eq!(check_child(good), Ok(()), "{good}");
        }
        for bad in [
            "http://127.0.0.1:9000/base",
            "http://10.0.0.1:9000",
            "http://bridge.example",
            "http://localhost.example",
            "http://notlocalhost",
            "http://0.0.0.0:9000",
            "http://[::ffff:10.0.0.1]:9000",
        ] {
            assert!(check_child(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_this_machine_are_one_place() {
        for local in [
            "http://localhost:9000",
            "http://bridge.localhost.:9000/",
            "http://127.0.0.1:9000",
            "http://[::1]:9000",
            "http://[::ffff:127.0.0.1]:9000",
        ] {
            assert_eq!(place(local).as_deref(), Some("localhost:9000"), "{local}");
        }
        assert_eq!(place("http://127.0.0.2:9000").as_deref(), Some("127.0.0.2:9000"));
        assert_eq!(place("http://localhost:9001").as_deref(), Some("localhost:9001"));
    }

    #[test]
    fn a_child_is_looked_for_on_this_machine_only() {
        let addresses = |base| child_addresses(base).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(addresses("http://bridge.localhost:9000"), ["127.0.0.1:9000", "[::1]:9000"]);
        assert_eq!(addresses("http://127.0.0.2:9000/"), ["127.0.0.2:9000"]);
        assert_eq!(addresses("http://[::1]:9000"), ["[::1]:9000"]);
    }

    #[test]
    fn calls_are_appended() {
        for base in ["http://a.example/base", "http://a.example/base/", "http://a.example/base//"] {
            assert_eq!(join(base, "/deliver").unwrap().as_str(), "http://a.example/base/deliver");
        }
    }
}
