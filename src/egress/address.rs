//! Which addresses outbound requests may go to. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far requests may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Addresses that are globally reachable.
    Public,
    /// Also this machine and private networks, because an operator said so. Never addresses at which clouds hand out
    /// credentials to their machines.
    Private,
    /// This machine and private networks only: for what is not encrypted.
    Local,
    /// This machine only, whatever a name is said to lead to.
    Loopback,
}

/// What names of this machine lead to.
pub const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

impl Reach {
    /// Whether an address may be reached; the reason when not.
    ///
    /// ```
    /// use kheish::egress::address::Reach;
    ///
    /// assert!(Reach::Public.check("10.0.0.1".parse().unwrap()).is_err());
    /// assert!(Reach::Private.check("10.0.0.1".parse().unwrap()).is_ok());
    /// assert!(Reach::Private.check("169.254.169.254".parse().unwrap()).is_err());
    /// ```
    pub fn check(self, address: IpAddr) -> Result<(), String> {
        let address = unmapped(address);
        match class(address) {
            _ if self == Self::Loopback => {
                let is_loopback = address.is_loopback();
                if is_loopback { Ok(()) } else { Err(format!("{address} is not this machine")) }
            }
            Class::Global if self == Self::Local => {
                Err(format!("{address} is a public address, and plain http goes to private ones only"))
            }
            Class::Global => Ok(()),
            Class::Private if self != Self::Public => Ok(()),
            Class::Private => {
                Err(format!("{address} is not a public address: an operator can set allow_private_network beside it"))
            }
            Class::Never => Err(format!("{address} is never a destination")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Global,
    Private,
    Never,
}

/// IPv4 within IPv6, in the forms that reach an IPv4 host.
fn unmapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, .., y, z] = v6.segments();
    let last = Ipv4Addr::from((u32::from(y) << 16) | u32::from(z));
    match (a, b, c) {
        _ if v6.to_ipv4_mapped().is_some() => IpAddr::V4(last),
        // RFC 4291: IPv4-compatible; the first of these are this machine and none at all.
        (0, 0, 0) if v6.segments()[3..6] == [0, 0, 0] && y != 0 => IpAddr::V4(last),
        // RFC 2765: IPv4-translated.
        (0, 0, 0) if v6.segments()[3..6] == [0, 0xffff, 0] => IpAddr::V4(last),
        // RFC 6052: NAT64.
        (0x64, 0xff9b, 0) if v6.segments()[3..6] == [0, 0, 0] => IpAddr::V4(last),
        // RFC 8215: NAT64 of a private network, which can reach more than the public one: never less strict.
        (0x64, 0xff9b, 1) if class_v4(last) == Class::Never => IpAddr::V4(last),
        // RFC 3056: 6to4.
        (0x2002, ..) => IpAddr::V4(Ipv4Addr::from((u32::from(b) << 16) | u32::from(c))),
        _ => address,
    }
}

fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    }
}

/// IANA's special-purpose registry for IPv4.
fn class_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        // "This network", link-local with the metadata services, multicast and reserved.
        [0, ..] | [169, 254, ..] | [224..=255, ..] => Class::Never,
        // Further metadata services (Alibaba, Oracle).
        [100, 100, 100, 200] | [192, 0, 0, 192] => Class::Never,
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Class::Private,
        // Protocol assignments, documentation, benchmarking, 6to4 relays.
        [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => {
            Class::Private
        }
        _ => Class::Global,
    }
}

/// IANA's special-purpose registry for IPv6: what is not global unicast (2000::/3) is not global.
fn class_v6(address: Ipv6Addr) -> Class {
    match address.segments() {
        // Multicast, link-local, unspecified.
        [0xff00..=0xffff, ..] | [0xfe80..=0xfebf, ..] | [0, 0, 0, 0, 0, 0, 0, 0] => Class::Never,
        // Amazon's metadata service.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Class::Never,
        // Teredo and other protocol assignments, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Class::Private,
        [0x2000..=0x3fff, ..] => Class::Global,
        _ => Class::Private,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class_of(text: &str) -> Class {
        class(unmapped(text.parse().unwrap()))
    }

    #[test]
    fn known_addresses_fall_into_their_class() {
        for global in
            ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]
        {
            assert_eq!(class_of(global), Class::Global, "{global}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd12::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2001:db8::1",
            "::10.0.0.1",
            "::ffff:0:7f00:1",
            "64:ff9b:1::101:101",
        ] {
            assert_eq!(class_of(private), Class::Private, "{private}");
        }
        for never in [
            "169.254.169.254",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::169.254.169.254",
            "::ffff:0:a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
        ] {
            assert_eq!(class_of(never), Class::Never, "{never}");
        }
    }

    proptest! {
        #[test]
        fn a_mapped_address_is_judged_as_what_it_reaches(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            prop_assert_eq!(class(unmapped(IpAddr::V6(v4.to_ipv6_mapped()))), class_v4(v4));
        }

        #[test]
        fn a_grant_never_reaches_metadata_services(a: u8, b: u8) {
            let address = IpAddr::V4(Ipv4Addr::new(169, 254, a, b));
            prop_assert!(Reach::Private.check(address).is_err() && Reach::Local.check(address).is_err());
        }

        #[test]
        fn this_machine_is_no_other(bits: u32) {
            let address = IpAddr::V4(Ipv4Addr::from(bits));
            prop_assert_eq!(Reach::Loopback.check(address).is_ok(), bits >> 24 == 127);
        }

        #[test]
        fn what_is_public_is_allowed_with_a_grant_too(bits: u128) {
            let address = IpAddr::V6(Ipv6Addr::from(bits));
            prop_assert!(Reach::Public.check(address).is_err() || Reach::Private.check(address).is_ok());
            prop_assert!(Reach::Public.check(address).is_err() || Reach::Local.check(address).is_err());
        }
    }
}
