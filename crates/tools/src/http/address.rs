//! Which addresses a tool may call: those of the public internet. Everything else is somebody's inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;

/// An address that may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not on the public internet, and this tool does not have allow_private = true")]
pub(super) struct Refused {
    what: String,
}

/// Judges a URL whose host is an address; a host name is judged by [`vet`] once it is looked up. `Url` has already
/// brought odd spellings (`0x7f.1`, `2130706433`, `127.1`) into their plain form.
pub(super) fn check_literal(url: &Url, is_public: fn(IpAddr) -> bool) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default();
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) if !is_public(address) => Err(Refused { what: address.to_string() }.to_string()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Those of `found` that may be called.
///
/// # Errors
/// [`Refused`] when there are some and none of them may.
pub(super) fn vet(
    host: &str,
    mut found: Vec<SocketAddr>,
    is_public: fn(IpAddr) -> bool,
) -> Result<Vec<SocketAddr>, Refused> {
    let some = !found.is_empty();
    found.retain(|address| is_public(address.ip()));
    if some && found.is_empty() { Err(Refused { what: host.to_owned() }) } else { Ok(found) }
}

pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// IANA's special-purpose registry, and one provider's metadata service on an address that looks public.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let inside = address.is_unspecified()
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b)) // shared by carriers (CGNAT)
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99) // 6to4 relays
        || (a == 198 && (18..20).contains(&b)) // benchmarks
        || a >= 240
        || address == Ipv4Addr::new(168, 63, 129, 16); // Azure's metadata
    !inside
}

/// Only global unicast, less what embeds IPv4 addresses or is set aside. A NAT64 address is judged by the IPv4
/// address in it, because networks that have IPv6 only reach all of IPv4 that way.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = segments {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    let is_global_unicast = matches!(segments[0], 0x2000..0x4000);
    let is_set_aside = match (segments[0], segments[1]) {
        (0x2001, second) => second < 0x200 || second == 0xdb8, // protocols, Teredo among them; documentation
        (0x2002, _) => true,                                   // 6to4
        (0x3fff, second) => second < 0x1000,                   // documentation
        _ => false,
    };
    is_global_unicast && !is_set_aside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_may_be_called() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:4860:4860::8888",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(address.parse().expect(address)), "{address}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "168.63.129.16",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().expect(address)), "{address}");
        }
    }

    #[test]
    fn odd_spellings_of_an_address_are_seen_through() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://017700000001/",
            "http://0177.0.0.01/",
            "http://127.0.0.1./",
            "http://①②⑦.0.0.1/",
            "http://0/",
            "http://0.0.0.0:80/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:7f00:1]/",
            "http://[0:0:0:0:0:ffff:169.254.169.254]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://0xa9fea9fe/",
            "http://example.com@127.0.0.1/",
            "http:\\\\127.0.0.1\\",
        ] {
            let parsed = Url::parse(url).expect(url);
            assert!(check_literal(&parsed, is_public).is_err(), "{url} -> {parsed}");
        }
        for url in ["http://1.1.1.1/", "http://[2606:4700:4700::1111]/", "http://example.com/"] {
            assert_eq!(check_literal(&Url::parse(url).expect(url), is_public), Ok(()), "{url}");
        }
    }

    #[test]
    fn of_many_addresses_only_the_public_ones_are_kept() {
        let at = |text: &str| text.parse::<SocketAddr>().expect(text);
        let found = vec![at("10.0.0.1:0"), at("1.1.1.1:0"), at("[::1]:0")];
        assert_eq!(vet("mixed.example", found, is_public), Ok(vec![at("1.1.1.1:0")]));
        assert_eq!(vet("none.example", vec![], is_public), Ok(vec![]));
        let refused = vet("inside.example", vec![at("10.0.0.1:0")], is_public).expect_err("it is private");
        assert!(refused.to_string().starts_with("inside.example is not on the public internet"));
    }
}
