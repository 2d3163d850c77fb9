//! Who may call: keys, tokens, addresses, over real sockets.

mod common;
mod tokens;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use common::{send, Running};
use emotion_llama_server::access::keys;
use emotion_llama_server::config::Config;
use serde_json::json;

/// A server with a file of keys in its directory.
fn with_keys(entries: &[String], change: impl FnOnce(&mut Config)) -> (Running, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.toml");
    for entry in entries {
        keys::append(&path, entry).unwrap();
    }
    let server = Running::start(|config| {
        config.access.keys_file = Some(path);
        change(config);
    });
    (server, dir)
}

#[test]
fn a_key_is_taken_from_either_header_or_both() {
    let (one, two) = (keys::new_key().unwrap(), keys::new_key().unwrap());
    let entries = [keys::entry("one", &one, None).unwrap(), keys::entry("two", &two, None).unwrap()];
    let (server, _dir) = with_keys(&entries, |_| {});
    let status = |headers: &[(&str, &str)]| server.send("GET", "/v1/models", headers, b"").status;
    let bearer = format!("Bearer {one}");
    assert_eq!(status(&[("authorization", &bearer)]), 200);
    assert_eq!(status(&[("Authorization", &bearer.replace("Bearer", "bEARER "))]), 200);
    assert_eq!(status(&[("x-api-key", &two)]), 200);
    assert_eq!(status(&[("x-api-key", &one), ("authorization", &bearer)]), 200);
    // What a proxy wrote for itself does no harm.
    assert_eq!(status(&[("x-api-key", &one), ("authorization", "Basic dXNlcjpwYXNz")]), 200);
    assert_eq!(status(&[("x-api-key", &one), ("authorization", "Bearer hf_of_something_else")]), 200);
    let almost = format!("{}x", &one[..one.len() - 1]);
    for headers in [
        &[][..],
        &[("x-api-key", almost.as_str())],
        &[("x-api-key", "")],
        &[("x-api-key", "one")],
        &[("authorization", one.as_str())],
        &[("authorization", "Bearer")],
        &[("authorization", "Basic dXNlcjpwYXNz")],
        &[("cookie", one.as_str())],
        &[("x-api-key", one.as_str()), ("x-api-key", one.as_str())],
    ] {
        let reply = server.send("GET", "/v1/models", headers, b"");
        assert_eq!(reply.error(), (401, "invalid_argument".into()), "{headers:?}");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer"));
    }
    assert_eq!(server.get(&format!("/v1/models?api_key={one}")).status, 401);
    let wrong = server.send("GET", "/v1/models", &[("x-api-key", &almost)], b"");
    assert!(!wrong.text().contains(&almost), "{}", wrong.text());
}

#[test]
fn without_a_key_only_what_anybody_may_see_is_there() {
    let server = Running::start(|config| config.access.keys = vec!["a-key-of-a-test".into()]);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).status, 200, "{path}");
        assert_eq!(server.send("GET", path, &[("x-api-key", "wrong")], b"").status, 200, "{path}");
    }
    for (method, path) in [
        ("GET", "/v1/models"),
        ("GET", "/no_such_path"),
        ("GET", "/config"),
        ("POST", "/v1/analyze"),
        ("POST", "/api/predict/"),
        ("POST", "/process_video"),
        ("DELETE", "/v1/sessions/x"),
        ("POST", "/healthz"),
        ("GET", "/v1/models/"),
        ("GET", "//healthz"),
        ("GET", "/page/../config"),
        ("GET", "/docs/../v1/models"),
        ("GET", "/%76%31/models"),
    ] {
        let reply = server.send(method, path, &[], b"");
        let is_public = path.starts_with("/page/") || path.starts_with("/docs/");
        // Those two are looked for among the pages alone.
        assert_eq!(reply.status, if is_public { 404 } else { 401 }, "{method} {path}: {}", reply.text());
    }
}

#[test]
fn a_key_that_is_taken_out_of_the_file_ends_and_a_new_one_begins() {
    let (old, new) = (keys::new_key().unwrap(), keys::new_key().unwrap());
    let (server, dir) = with_keys(&[keys::entry("old", &old, None).unwrap()], |_| {});
    let status = |key: &str| server.send("GET", "/v1/models", &[("x-api-key", key)], b"").status;
    assert_eq!((status(&old), status(&new)), (200, 401));
    let later = std::time::SystemTime::now() + Duration::from_secs(5);
    let path = dir.path().join("keys.toml");
    std::fs::write(&path, keys::entry("new", &new, None).unwrap()).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    server.wait_for("the end of the old key", || status(&old) == 401);
    assert_eq!(status(&new), 200);
}

#[test]
fn a_key_without_the_right_is_403() {
    let (all, watcher) = (keys::new_key().unwrap(), keys::new_key().unwrap());
    let entries = [
        keys::entry("all", &all, None).unwrap(),
        keys::entry("prometheus", &watcher, None).unwrap() + "rights = [\"metrics\"]\n",
    ];
    let (server, _dir) = with_keys(&entries, |config| config.access.protect_metrics = true);
    let reply = |path: &str, key: &str| server.send("GET", path, &[("x-api-key", key)], b"");
    assert_eq!(reply("/v1/models", &watcher).error(), (403, "invalid_argument".into()));
    assert_eq!(reply("/healthz", &watcher).status, 200);
    assert_eq!(reply("/v1/models", &all).status, 200);
    assert_eq!(server.get("/metrics").status, 401);
    assert_ne!(reply("/metrics", &watcher).status, 403);
}

#[test]
fn the_second_port_answers_a_missing_key_as_the_published_server_does() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Running::start(|config| {
        config.listen.fastapi_port = Some(free);
        config.access.keys = vec!["a-key-of-a-test".into()];
    });
    let second = server.addresses[1];
    for (method, path, headers) in [
        ("POST", "/process_video", &[][..]),
        ("GET", "/no_such_path", &[]),
        ("POST", "/process_video", &[("x-api-key", "wrong")]),
        ("POST", "/process_video", &[("authorization", "Bearer a-key-of-a-test")]),
    ] {
        let reply = send(second, method, path, headers, b"");
        assert_eq!((reply.status, reply.json()), (401, json!({"error": "Invalid API key"})), "{method} {path}");
    }
    let key = [("x-api-key", "a-key-of-a-test")];
    assert_eq!(send(second, "GET", "/v1/models", &key, b"").status, 200);
    let bearer = [("authorization", "Bearer a-key-of-a-test")];
    assert_eq!(server.send("GET", "/v1/models", &bearer, b"").status, 200);
}

#[test]
fn tokens_of_the_issuer_are_taken_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(|config| tokens::take(config, dir.path()));
    let reply = |token: &str| {
        let bearer = format!("Bearer {token}");
        server.send("GET", "/v1/models", &[("authorization", &bearer)], b"")
    };
    let expiring = tokens::changed(|claims| claims["exp"] = tokens::in_seconds(-5).into());
    let many = tokens::changed(|claims| claims["aud"] = json!(["other", tokens::AUDIENCE]));
    let good = [
        tokens::token(tokens::rsa(), &tokens::claims()),
        tokens::token(tokens::ec(), &tokens::claims()),
        tokens::token(tokens::ed(), &tokens::claims()),
        tokens::token(tokens::rsa(), &expiring),
        tokens::token(tokens::ec(), &many),
    ];
    for token in &good {
        assert_eq!(reply(token).status, 200, "{}", reply(token).text());
        assert_eq!(server.send("GET", "/v1/models", &[("x-api-key", token)], b"").status, 200);
    }
    for (what, token) in tokens::bad_tokens() {
        let reply = reply(&token);
        assert_eq!(reply.error(), (401, "invalid_argument".into()), "{what}: {}", reply.text());
        assert!(reply.header("www-authenticate").unwrap().contains("invalid_token"), "{what}");
    }
}

#[test]
fn a_token_without_the_scope_is_403() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(|config| {
        tokens::take(config, dir.path());
        config.jwt.scope = Some("emotion".into());
        config.jwt.algorithms = vec!["ES256".into()];
    });
    let reply = |token: String| server.send("GET", "/v1/models", &[("authorization", &format!("Bearer {token}"))], b"");
    let scope =
        |scope: serde_json::Value| tokens::token(tokens::ec(), &tokens::changed(|claims| claims["scope"] = scope));
    assert_eq!(reply(scope(json!("openid emotion"))).status, 200);
    for bad in [json!("openid"), json!("emotions"), json!(7)] {
        let reply = reply(scope(bad));
        assert_eq!(reply.error(), (403, "invalid_argument".into()));
        assert!(reply.header("www-authenticate").unwrap().contains("insufficient_scope"));
    }
    let other_method = tokens::changed(|claims| claims["scope"] = "emotion".into());
    assert_eq!(reply(tokens::token(tokens::rsa(), &other_method)).status, 401);
}

/// An issuer that answers with `documents`, one after the other, and the last one from then on.
fn issuer(documents: Vec<String>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let number = count.fetch_add(1, Ordering::SeqCst);
            let document = documents.get(number).or(documents.last()).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", document.len());
            let _ = stream.write_all((head + document).as_bytes());
        }
    });
    (url, asked)
}

#[test]
fn the_issuers_keys_are_fetched_again_for_a_new_key_but_not_for_every_token() {
    let old = json!({"keys": [tokens::rsa().jwk]}).to_string();
    let (url, asked) = issuer(vec![old, tokens::jwks().to_string()]);
    let server = Running::start(|config| {
        config.jwt.jwks_url = Some(url);
        config.jwt.issuer = Some(tokens::ISSUER.into());
        config.jwt.audience = Some(tokens::AUDIENCE.into());
    });
    let status =
        |token: &str| server.send("GET", "/v1/models", &[("authorization", &format!("Bearer {token}"))], b"").status;
    let good = tokens::token(tokens::rsa(), &tokens::claims());
    server.wait_for("the issuer's keys", || status(&good) == 200);
    let unknown = tokens::token(&tokens::rsa_of(2048, "unknown"), &tokens::claims());
    for _ in 0..20 {
        assert_eq!(status(&unknown), 401);
    }
    let times = asked.load(Ordering::SeqCst);
    assert!(times <= 2, "the issuer was asked {times} times for 20 tokens");
    assert_eq!(status(&good), 200);
}

#[test]
fn an_issuer_that_cannot_be_reached_is_503_and_keys_work_all_the_same() {
    let server = Running::start(|config| {
        config.jwt.jwks_url = Some("http://127.0.0.1:9/".into());
        config.jwt.issuer = Some(tokens::ISSUER.into());
        config.jwt.audience = Some(tokens::AUDIENCE.into());
        config.access.keys = vec!["a-key-of-a-test".into()];
    });
    let token = format!("Bearer {}", tokens::token(tokens::rsa(), &tokens::claims()));
    let reply = server.send("GET", "/v1/models", &[("authorization", &token)], b"");
    assert_eq!(reply.error(), (503, "overloaded".into()));
    assert!(reply.header("retry-after").is_some());
    assert_eq!(server.send("GET", "/v1/models", &[("x-api-key", "a-key-of-a-test")], b"").status, 200);
}

#[test]
fn addresses_that_may_not_call_are_403() {
    let server = Running::start(|config| {
        config.access.deny = vec!["198.51.100.0/24".parse().unwrap()];
        config.access.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    });
    let status = |forwarded: &str| server.send("GET", "/v1/models", &[("x-forwarded-for", forwarded)], b"").status;
    assert_eq!((server.get("/v1/models").status, status("192.0.2.1"), status("198.51.100.7")), (200, 200, 403));
    assert_eq!(status("192.0.2.1, 198.51.100.7"), 403);
    assert_eq!(status("198.51.100.7, 192.0.2.1"), 200);
    let server = Running::start(|config| config.access.deny = vec!["198.51.100.0/24".parse().unwrap()]);
    assert_eq!(server.send("GET", "/v1/models", &[("x-forwarded-for", "198.51.100.7")], b"").status, 200);
}

#[test]
fn what_would_take_tokens_of_others_does_not_begin() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut Config)| {
        let mut config = common::config(dir.path());
        tokens::take(&mut config, dir.path());
        change(&mut config);
        emotion_llama_server::state::App::new(config).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(refused(&|_| {}), "");
    for (change, told) in [
        (&(|config: &mut Config| config.jwt.audience = None) as &dyn Fn(&mut Config), "jwt.audience"),
        (&|config| config.jwt.issuer = None, "jwt.issuer"),
        (&|config| config.jwt.algorithms.push("none".into()), "none"),
        (&|config| config.jwt.algorithms.push("HS256".into()), "HS256"),
        (&|config| config.jwt.leeway_s = 86400, "jwt.leeway_s"),
        (&|config| config.jwt.jwks_file = Some("/nowhere".into()), "/nowhere"),
        (
            &|config| {
                config.jwt = emotion_llama_server::config::Jwt {
                    jwks_file: None,
                    jwks_url: Some("http://issuer.example/".into()),
                    ..config.jwt.clone()
                }
            },
            "https",
        ),
        (&|config| config.rates.per_key = Some("fast".into()), "rates.per_key"),
        (&|config| config.access.keys = vec!["ein schlüssel".into()], "access.keys"),
        (&|config| config.access.keys_file = Some("/nowhere".into()), "/nowhere"),
    ] {
        let error = refused(change);
        assert!(error.contains(told), "{told}: {error}");
    }
    let weak = json!({"keys": [tokens::rsa_of(1024, "weak").jwk]}).to_string();
    std::fs::write(dir.path().join("weak.json"), weak).unwrap();
    let error = refused(&|config| config.jwt.jwks_file = Some(dir.path().join("weak.json")));
    assert!(error.contains("2048"), "{error}");
}
