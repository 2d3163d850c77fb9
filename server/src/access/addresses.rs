//! Whose address a call comes from, and whether it may call.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

use crate::config;

/// Most entries of `X-Forwarded-For` that are looked at.
const MOST_HOPS: usize = 32;

/// Address rules.
#[derive(Debug)]
pub struct Addresses {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    trusted: Vec<IpNet>,
}

impl Addresses {
    /// As configured.
    pub fn new(access: &config::Access) -> Self {
        Self { allow: access.allow.clone(), deny: access.deny.clone(), trusted: access.trusted_proxies.clone() }
    }

    /// The address of the client at the other end of a connection from `peer`. When that is a trusted proxy, the last entry of
    /// `X-Forwarded-For` that is no trusted proxy itself: what stands before it was written by the client. `Forwarded` is not looked at,
    /// as a proxy that writes the one header passes the other through.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer.to_canonical();
        let values = headers.get_all("x-forwarded-for").iter().rev().filter_map(|value| value.to_str().ok());
        let hops = values.flat_map(|value| value.rsplit(',')).take(MOST_HOPS);
        for hop in hops {
            if !contains(&self.trusted, address) {
                break;
            }
            // What is no address was not written by a proxy that is to be trusted.
            let Some(before) = parse(hop) else { break };
            address = before;
        }
        address
    }

    /// Whether `address` may call.
    pub fn permits(&self, address: IpAddr) -> bool {
        !contains(&self.deny, address) && (self.allow.is_empty() || contains(&self.allow, address))
    }
}

fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// An address, with or without a port and brackets.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn rules(allow: &[&str], deny: &[&str], trusted: &[&str]) -> Addresses {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Addresses { allow: networks(allow), deny: networks(deny), trusted: networks(trusted) }
    }

    fn client(rules: &Addresses, peer: &str, forwarded: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        rules.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let none = rules(&[], &[], &[]);
        assert_eq!(client(&none, "127.0.0.1", &["198.51.100.7"]), "127.0.0.1");
        let rules = rules(&[], &[], &["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"]);
        for (peer, forwarded, expected) in [
            ("127.0.0.1", &["198.51.100.7"][..], "198.51.100.7"),
            ("::ffff:127.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("192.0.2.9", &["198.51.100.7"], "192.0.2.9"),
            ("127.0.0.1", &["1.1.1.1, 198.51.100.7, 10.1.2.3"], "198.51.100.7"),
            ("127.0.0.1", &["1.1.1.1", "198.51.100.7", "10.1.2.3"], "198.51.100.7"),
            ("127.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("fd00::1", &["[2001:db8::5]:80"], "2001:db8::5"),
            ("fd00::1", &["[2001:db8::5]"], "2001:db8::5"),
            ("127.0.0.1", &["198.51.100.7, unknown"], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.7, , 10.1.2.3"], "10.1.2.3"),
            ("127.0.0.1", &["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
            ("127.0.0.1", &[""], "127.0.0.1"),
        ] {
            assert_eq!(client(&rules, peer, forwarded), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn denied_addresses_and_those_that_are_not_allowed_may_not_call() {
        let rules = rules(&["192.0.2.0/24", "2001:db8::/32"], &["192.0.2.66/32"], &[]);
        for (address, permitted) in
            [("192.0.2.1", true), ("192.0.2.66", false), ("198.51.100.1", false), ("2001:db8::1", true), ("::1", false)]
        {
            assert_eq!(rules.permits(address.parse().unwrap()), permitted, "{address}");
        }
    }
}
