//! Which addresses a sandbox may reach: public unicast, and nothing of this machine or its neighbours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// 127.0.0.0/8, ::1.
    Loopback,
    /// 169.254.0.0/16 (cloud metadata services live here), fe80::/10.
    LinkLocal,
    /// Home and office networks, carrier NAT, unique local addresses.
    Private,
    /// Multicast and broadcast.
    Multicast,
    /// Reserved, documentation and benchmark ranges, 0.0.0.0/8.
    Reserved,
    /// An address of this machine.
    Host,
}

/// Decides about a destination. `host_addresses` are this machine's own; `allow_lan` opens private ranges and nothing else.
pub fn check(destination: IpAddr, host_addresses: &[IpAddr], allow_lan: bool) -> Result<(), Refused> {
    let destination = destination.to_canonical();
    if host_addresses.iter().any(|own| own.to_canonical() == destination) {
        return Err(Refused::Host);
    }
    let verdict = match destination {
        IpAddr::V4(address) => check_v4(address),
        IpAddr::V6(address) => check_v6(address),
    };
    match verdict {
        Err(Refused::Private) if allow_lan => Ok(()),
        other => other,
    }
}

fn check_v4(address: Ipv4Addr) -> Result<(), Refused> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, _, _) => Err(Refused::Loopback),
        (169, 254, _) => Err(Refused::LinkLocal),
        (10, _, _) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Err(Refused::Private),
        (224..=239, _, _) => Err(Refused::Multicast),
        (0, _, _) | (192, 0, 0 | 2) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) | (240..=255, _, _) => {
            Err(Refused::Reserved)
        }
        _ => Ok(()),
    }
}

fn check_v6(address: Ipv6Addr) -> Result<(), Refused> {
    let [first, second, ..] = address.segments();
    match (first, second) {
        _ if address.is_loopback() => Err(Refused::Loopback),
        (0xfe80..=0xfebf, _) => Err(Refused::LinkLocal),
        (0xfc00..=0xfdff | 0xfec0..=0xfeff, _) => Err(Refused::Private),
        (0xff00..=0xffff, _) => Err(Refused::Multicast),
        // Addresses that carry an IPv4 destination inside (NAT64, 6to4, Teredo) could reach what check_v4 refuses.
        (0x0064, 0xff9b) | (0x2002, _) | (0x2001, 0x0000) => Err(Refused::Reserved),
        (0x2001, 0x0db8) => Err(Refused::Reserved),
        // Only 2000::/3 is public unicast.
        (0x2000..=0x3fff, _) => Ok(()),
        _ => Err(Refused::Reserved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_unicast_is_reachable() {
        let own: IpAddr = "203.1.2.3".parse().unwrap();
        let ask = |address: &str| check(address.parse().unwrap(), &[own], false);
        for public in ["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111"] {
            assert_eq!(ask(public), Ok(()), "{public}");
        }
        let table = [
            (Refused::Loopback, &["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "::ffff:127.0.0.1"][..]),
            (Refused::LinkLocal, &["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"]),
            (
                Refused::Private,
                &["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd00::1", "fec0::1"],
            ),
            (Refused::Multicast, &["224.0.0.251", "239.1.1.1", "ff02::1"]),
            (
                Refused::Reserved,
                &[
                    "0.0.0.0",
                    "0.1.2.3",
                    "255.255.255.255",
                    "240.0.0.1",
                    "192.0.0.1",
                    "192.0.2.1",
                    "198.18.0.1",
                    "198.51.100.1",
                    "203.0.113.1",
                    "::",
                    "64:ff9b::7f00:1",
                    "2002:7f00:1::",
                    "2001::1",
                    "2001:db8::1",
                    "4000::1",
                ],
            ),
            (Refused::Host, &["203.1.2.3", "::ffff:203.1.2.3"]),
        ];
        for (reason, addresses) in table {
            for address in addresses {
                assert_eq!(ask(address), Err(reason), "{address}");
            }
        }
    }

    #[test]
    fn allow_lan_opens_private_ranges_and_nothing_else() {
        let own: IpAddr = "192.168.1.7".parse().unwrap();
        let ask = |address: &str| check(address.parse().unwrap(), &[own], true);
        assert_eq!(ask("192.168.1.8"), Ok(()));
        assert_eq!(ask("192.168.1.7"), Err(Refused::Host), "this machine stays out of reach");
        assert_eq!(ask("127.0.0.1"), Err(Refused::Loopback));
        assert_eq!(ask("169.254.169.254"), Err(Refused::LinkLocal));
    }
}
