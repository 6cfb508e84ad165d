//! Host names and origins, compared the way browsers write them.

use std::net::IpAddr;

/// A host and a port, as in a `Host` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    /// Lower case; an IPv6 address without its brackets.
    name: String,
    port: Option<u16>,
}

impl Authority {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, rest) = match text.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once(']')?,
            None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
        };
        let port = match rest.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
            None if rest.is_empty() => None,
            None => return None,
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
        (!name.is_empty() && name.bytes().all(allowed)).then_some(Self { name, port })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.name == "localhost" || self.ip().is_some_and(|ip| ip.is_loopback())
    }

    pub(super) fn is_address(&self, address: IpAddr) -> bool {
        !address.is_unspecified() && self.ip() == Some(address)
    }

    fn ip(&self) -> Option<IpAddr> {
        self.name.parse().ok()
    }

    fn port_for(&self, scheme: &str) -> u16 {
        self.port.unwrap_or(if scheme == "https" { 443 } else { 80 })
    }
}

impl std::fmt::Display for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.contains(':') { write!(f, "[{}]", self.name) } else { f.write_str(&self.name) }?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Where a page came from: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: &'static str,
    name: String,
    port: u16,
}

impl Origin {
    /// `None` for `null`, for other schemes than those of the web, and for anything with a path.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = ["http", "https"].into_iter().find(|known| known.eq_ignore_ascii_case(scheme))?;
        let authority = Authority::parse(rest.strip_suffix('/').unwrap_or(rest))?;
        let port = authority.port_for(scheme);
        Some(Self { scheme, name: authority.name, port })
    }

    /// Whether it is the origin of a server that was reached over `scheme` as `host`.
    pub(super) fn is_of(&self, scheme: &str, host: &Authority) -> bool {
        self.scheme == scheme && self.name == host.name && self.port == host.port_for(scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Authority {
        Authority::parse(text).expect("a host")
    }

    #[test]
    fn loopback_names_are_told_from_names_that_look_like_them() {
        for name in
            ["localhost", "LOCALHOST:3000", "localhost.", "127.0.0.1", "127.9.8.7:80", "[::1]", "[::1]:3000"]
        {
            assert!(host(name).is_loopback(), "{name}");
        }
        for name in [
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "0.0.0.0",
            "evil.example",
            "[::]",
            "localhos",
            "10.0.0.1",
        ] {
            assert!(!host(name).is_loopback(), "{name}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ":3000",
            "[::1",
            "[::1]x",
            "a b",
            "a/b",
            "user@localhost",
            "localhost:x",
            "localhost:99999",
            "ä",
        ] {
            assert_eq!(Authority::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_unspecified_listen_address_is_nobodys_name() {
        assert!(host("192.168.1.5:3000").is_address("192.168.1.5".parse().expect("an address")));
        assert!(!host("0.0.0.0:3000").is_address("0.0.0.0".parse().expect("an address")));
    }

    #[test]
    fn origins_are_equal_in_scheme_host_and_port() {
        let of = |origin: &str, scheme: &str, name: &str| {
            Origin::parse(origin).is_some_and(|origin| origin.is_of(scheme, &host(name)))
        };
        assert!(of("http://localhost:3000", "http", "localhost:3000"));
        assert!(of("http://LocalHost", "http", "localhost:80"));
        assert!(of("https://piton.example", "https", "piton.example"));
        assert!(of("http://[::1]:3000", "http", "[::1]:3000"));
        assert!(!of("http://localhost:3001", "http", "localhost:3000"));
        assert!(!of("https://localhost:3000", "http", "localhost:3000"));
        assert!(!of("http://127.0.0.1:3000", "http", "localhost:3000"));
        assert!(!of("null", "http", "localhost:3000"));
        assert!(!of("http://localhost:3000@evil.example", "http", "localhost:3000"));
    }
}
