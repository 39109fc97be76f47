//! Names of this machine, as they stand in `Host` and `Origin`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, Uri, header};

/// Splits `host[:port]`; an IPv6 address stands in brackets, which stay. None when it is nothing of the kind.
pub(super) fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end = match authority.strip_prefix('[') {
        Some(_) => authority.find(']')? + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(end);
    let Some(port) = rest.strip_prefix(':') else { return rest.is_empty().then_some((host, None)) };
    // `parse` would take a sign.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    Some((host, Some(port.parse().ok().filter(|_| digits)?)))
}

/// Whether a host is an address literal that leads to this machine.
pub(super) fn is_loopback_literal(host: &str) -> bool {
    let address = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host.parse::<Ipv6Addr>().map(IpAddr::V6).ok(),
        None => host.parse::<Ipv4Addr>().map(IpAddr::V4).ok(),
    };
    address.is_some_and(|address| address.to_canonical().is_loopback())
}

/// Whether a request names this machine by `localhost`, a name below it, or an address. Whoever names a host elsewhere
/// was led here by a name of their own (DNS rebinding). HTTP/1.0 names none, and no browser speaks it.
pub(super) fn is_addressed(uri: &Uri, headers: &HeaderMap) -> bool {
    let named = headers.get_all(header::HOST).iter().all(|host| host.to_str().is_ok_and(is_this_machine));
    named && uri.authority().is_none_or(|authority| is_this_machine(authority.as_str()))
}

fn is_this_machine(authority: &str) -> bool {
    let Some((host, _)) = host_and_port(authority) else { return false };
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || is_loopback_literal(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_come_apart() {
        assert_eq!(host_and_port("localhost:80"), Some(("localhost", Some(80))));
        assert_eq!(host_and_port("localhost"), Some(("localhost", None)));
        assert_eq!(host_and_port("[::1]:80"), Some(("[::1]", Some(80))));
        assert_eq!(host_and_port("[::1]"), Some(("[::1]", None)));
        for bad in ["a:", "a:+1", "a:65536", "[::1", "[::1]80", "::1", "a:1:2"] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_of_this_machine() {
        for good in [
            "localhost",
            "LocalHost:4000",
            "localhost.",
            "a.localhost:1",
            "127.0.0.1",
            "127.9.8.7:1",
            "[::1]:4",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_this_machine(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "0.0.0.0",
            "notlocalhost",
            "user@localhost",
            "127.1",
            "::1",
        ] {
            assert!(!is_this_machine(bad), "{bad}");
        }
    }
}
