//! The URL of a server.

use std::net::IpAddr;

use ureq::http::Uri;

use crate::error::{Error, Result};

/// Ends of documented URLs that name a call and not the server.
const CALLS: [&str; 7] =
    ["/api/predict", "/gradio_api/api/predict", "/run/predict", "/process_video", "/v1/analyze", "/v1/models", "/v1"];

/// Where a server is: scheme, host, port, and the path that its own paths are appended to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    scheme: &'static str,
    host: String,
    port: u16,
    /// Empty, or `/…` without a slash at its end.
    path: String,
}

impl Address {
    /// Reads `url`: `http://` or `https://`, host, and perhaps a port and a path. The URL of a documented call is that of its server.
    ///
    /// # Errors
    /// `invalid_argument` naming the URL and what is wrong with it.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong =
            |why: &str| Error::invalid_argument(format!("the URL {:?} cannot be used: {why}", without_secrets(url)));
        let trimmed = url.trim();
        if trimmed.len() > 2048 {
            return Err(wrong("it is longer than 2048 bytes"));
        }
        if trimmed.contains(['?', '#']) {
            return Err(wrong("it has a query or a fragment; give scheme, host, port and path only"));
        }
        let uri: Uri = trimmed.parse().map_err(|_| wrong("it is no URL; write for example http://localhost:7889"))?;
        let scheme = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("http") => "http",
            Some("https") => "https",
            _ => return Err(wrong("it begins neither with http:// nor with https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it holds a user name or password; give the key in the option api_key"));
        }
        let host = authority.host();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        if name.is_empty() {
            return Err(wrong("it names no host"));
        }
        if host.starts_with('[') && name.parse::<IpAddr>().is_err() {
            return Err(wrong("what stands in its brackets is no IPv6 address"));
        }
        let port = match authority.as_str().get(host.len()..).and_then(|rest| rest.strip_prefix(':')) {
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| wrong("its port is no number from 1 to 65535"))?,
            None if scheme == "https" => 443,
            None => 80,
        };
        let path = uri.path().trim_end_matches('/');
        let path = CALLS.iter().find_map(|call| path.strip_suffix(call)).unwrap_or(path).trim_end_matches('/');
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port, path: path.to_owned() })
    }

    /// The URL of the server's path `target`, which begins with a slash.
    pub fn url(&self, target: &str) -> String {
        format!("{self}{target}")
    }

    /// What `location`, from the answer to a call of `target`, is as a target of this server; None if it leads elsewhere.
    pub fn redirected(&self, location: &str) -> Option<String> {
        let location = location.split('#').next().unwrap_or_default();
        let target = if location.starts_with('/') && !location.starts_with("//") {
            location
        } else {
            let uri: Uri = location.parse().ok()?;
            let origin = Self::parse(&format!("{}://{}", uri.scheme_str()?, uri.authority()?)).ok()?;
            if (origin.scheme, &origin.host, origin.port) != (self.scheme, &self.host, self.port) {
                return None;
            }
            return self.below(uri.path_and_query().map_or("/", |target| target.as_str()));
        };
        self.below(target)
    }

    fn below(&self, target: &str) -> Option<String> {
        let rest = target.strip_prefix(&self.path)?;
        rest.starts_with('/').then(|| rest.to_owned())
    }

    /// Whether it is an `https://` one.
    pub fn is_secure(&self) -> bool {
        self.scheme == "https"
    }

    /// Whether what is sent can be read on its way to another machine.
    pub fn is_exposed(&self) -> bool {
        let name = self.host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = match name.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => name == "localhost" || name.ends_with(".localhost"),
        };
        self.scheme == "http" && !is_loopback
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let usual = if self.scheme == "https" { 443 } else { 80 };
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

/// `url` for a message: without user name, password, query and fragment, and not too long.
pub(super) fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    // A password may hold a slash, so all before the last @ goes.
    let rest = rest.rsplit('@').next().unwrap_or_default();
    let shown = if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") };
    shown.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_of_servers_and_of_documented_calls() {
        for (url, shown) in [
            ("http://localhost:7889", "http://localhost:7889"),
            (" HTTPS://Example.COM/ ", "https://example.com"),
            ("https://example.com:443/emotion/", "https://example.com/emotion"),
            ("http://127.0.0.1:7889/api/predict/", "http://127.0.0.1:7889"),
            ("http://localhost:7887/process_video", "http://localhost:7887"),
            ("http://[::1]:80/a/v1", "http://[::1]/a"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.to_string(), shown, "{url}");
            assert_eq!(Address::parse(shown).unwrap(), address);
        }
    }

    #[test]
    fn mistakes_are_named_without_the_password() {
        for (url, words) in [
            ("", "no URL"),
            ("localhost:7889", "begins neither"),
            ("/tmp/pack", "begins neither"),
            ("ftp://host/", "begins neither"),
            ("http://", "no URL"),
            ("http://host:0", "port"),
            ("http://host:99999", "port"),
            ("http://host:/x", "port"),
            ("http://[::zz]/", "IPv6"),
            ("http://user:geheim@host/", "api_key"),
            ("http://user:ge/heim@host/", "port"),
            ("http://host/?key=geheim", "query"),
            ("http://host/ geheim", "no URL"),
            ("http://hö.st/", "no URL"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(error.name() == "invalid_argument" && error.message.contains(words), "{url}: {error}");
            assert!(!error.message.contains("heim") || url.contains(" geheim"), "{error}");
        }
        assert!(Address::parse(&format!("http://host/{}", "x".repeat(3000))).is_err());
    }

    #[test]
    fn redirects_stay_with_the_server() {
        let address = Address::parse("http://host:81/base").unwrap();
        let own = |location| address.redirected(location);
        assert_eq!(own("/base/x?y=1"), Some("/x?y=1".into()));
        assert_eq!(own("http://HOST:81/base/x"), Some("/x".into()));
        for elsewhere in [
            "http://host/base/x",
            "https://host:81/base/x",
            "http://other:81/base/x",
            "//other/x",
            "/x",
            "x",
            "",
            "http://a@host:81/base/x",
        ] {
            assert_eq!(own(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_key_is_exposed_over_plain_http_to_other_machines() {
        let exposed = |url| Address::parse(url).unwrap().is_exposed();
        assert!(exposed("http://10.0.0.1") && exposed("http://example.com"));
        assert!(!exposed("https://example.com") && !exposed("http://localhost:1") && !exposed("http://[::1]:1"));
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_an_invalid_argument(text in "\\PC{0,60}") {
            match Address::parse(&text) {
                Ok(address) => prop_assert_eq!(Address::parse(&address.to_string()).unwrap(), address),
                Err(error) => prop_assert_eq!(error.name(), "invalid_argument"),
            }
            let _ = Address::parse(&format!("http://{text}"));
        }
    }
}
