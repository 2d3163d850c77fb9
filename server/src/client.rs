//! Who calls.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{header, Extensions, HeaderMap};

/// The caller, as an extension of every request. `listen` puts in what the connection tells; `access` adds what the request proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The other end of the connection: a client or a proxy.
    pub peer: SocketAddr,
    /// The client's address, behind trusted proxies too.
    pub address: IpAddr,
    /// Whether the connection is encrypted.
    pub is_secure: bool,
    /// Which of the server's ports was called.
    pub port: u16,
    /// The key's name or the token's subject; None for nobody in particular.
    pub name: Option<Arc<str>>,
}

impl Client {
    /// What the connection tells.
    pub fn of_connection(peer: SocketAddr, port: u16, is_secure: bool) -> Self {
        Self { peer, address: peer.ip().to_canonical(), is_secure, port, name: None }
    }

    /// The client of a request or an answer. Without the extension, as in a router that is called directly, nothing is known; that is nobody
    /// of this machine.
    pub fn of(extensions: &Extensions) -> Self {
        let unknown = || Self::of_connection((Ipv4Addr::UNSPECIFIED, 0).into(), 0, false);
        extensions.get::<Self>().cloned().unwrap_or_else(unknown)
    }

    /// Whether the request comes from a program of this machine: not through a proxy, and not from a web page of elsewhere, which a browser
    /// of this machine would send just as well.
    pub fn is_local(&self, headers: &HeaderMap) -> bool {
        let is_forwarded =
            ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| headers.contains_key(*name));
        let all = |name: header::HeaderName, is_local: fn(&str) -> bool| {
            headers.get_all(name).iter().all(|value| is_local(value.to_str().unwrap_or_default()))
        };
        self.peer.ip().to_canonical().is_loopback()
            && self.address.is_loopback()
            && !is_forwarded
            && all(header::HOST, is_local_authority)
            && all(header::ORIGIN, is_local_origin)
    }
}

/// Whether `origin` is that of a page which this machine serves.
pub(crate) fn is_local_origin(origin: &str) -> bool {
    is_local_authority(origin.split_once("://").map_or("", |(_, authority)| authority))
}

/// Whether `authority` (host, or host and port) is a name of this machine. A page whose own name was pointed at this machine sends that name.
pub(crate) fn is_local_authority(authority: &str) -> bool {
    if let Ok(address) = authority.parse::<SocketAddr>() {
        return address.ip().to_canonical().is_loopback();
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.contains(':') => host,
        _ => authority,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_programs_of_this_machine_are_local() {
        let local = Client::of_connection("127.0.0.1:5000".parse().unwrap(), 7889, false);
        let mapped = Client::of_connection("[::ffff:127.0.0.1]:5000".parse().unwrap(), 7889, false);
        let far = Client::of_connection("192.0.2.1:5000".parse().unwrap(), 7889, false);
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
        };
        for good in [
            &[][..],
            &[("host", "localhost:7889")],
            &[("host", "127.0.0.1"), ("origin", "http://localhost:3000")],
            &[("host", "[::1]:7889"), ("origin", "http://[::1]")],
        ] {
            assert!(local.is_local(&headers(good)) && mapped.is_local(&headers(good)), "{good:?}");
            assert!(!far.is_local(&headers(good)), "{good:?}");
        }
        for bad in [
            ("host", "rebound.example:7889"),
            ("host", "127.0.0.1.example"),
            ("host", ""),
            ("origin", "https://page.example"),
            ("origin", "null"),
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "for=127.0.0.1"),
        ] {
            assert!(!local.is_local(&headers(&[bad])), "{bad:?}");
        }
    }
}
