//! Encrypted connections, and a certificate that is changed while they are there.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::{Running, PATIENCE};
use rcgen::{generate_simple_self_signed, CertifiedKey};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Secure = StreamOwned<ClientConnection, TcpStream>;

fn certificate() -> (CertificateDer<'static>, String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    (cert.der().clone(), cert.pem(), signing_key.serialize_pem())
}

/// Writes both files; their time is set to `age` seconds from now, so that a change shows on every file system.
fn put(dir: &Path, certificate: &str, key: &str, age: u64) {
    for (name, text) in [("cert.pem", certificate), ("key.pem", key)] {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(age)).unwrap();
    }
}

fn server(dir: &Path) -> Running {
    Running::start(|config| {
        config.tls.certificate = Some(dir.join("cert.pem"));
        config.tls.key = Some(dir.join("key.pem"));
        config.tls.reload_s = 0.1;
        config.tls.hsts_s = 60;
    })
}

/// A connection that trusts `root` alone.
fn connect(address: SocketAddr, root: &CertificateDer<'static>) -> Result<Secure, String> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).map_err(|error| error.to_string())?;
    }
    Ok(StreamOwned::new(connection, socket))
}

/// Asks over a connection that stays, and reads the head and the body of the answer.
fn ask(stream: &mut Secure) -> String {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with("\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0].into());
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    text + &String::from_utf8(body).unwrap()
}

#[test]
fn a_new_certificate_is_taken_and_connections_that_are_there_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (old, old_pem, old_key) = certificate();
    let (new, new_pem, new_key) = certificate();
    put(dir.path(), &old_pem, &old_key, 0);
    let server = server(dir.path());
    let mut kept = connect(server.address(), &old).unwrap();
    let answer = ask(&mut kept);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("strict-transport-security: max-age=60"), "{answer}");
    assert!(connect(server.address(), &new).is_err());

    // Half of a change, and what is no certificate: the old one stays.
    put(dir.path(), &new_pem, &old_key, 10);
    std::thread::sleep(Duration::from_millis(500));
    assert!(connect(server.address(), &old).is_ok());
    put(dir.path(), "no certificate", "no key", 20);
    std::thread::sleep(Duration::from_millis(500));
    assert!(connect(server.address(), &old).is_ok());

    put(dir.path(), &new_pem, &new_key, 30);
    server.wait_for("the new certificate", || connect(server.address(), &new).is_ok());
    assert!(connect(server.address(), &old).is_err());
    assert!(ask(&mut kept).starts_with("HTTP/1.1 200"));
}

#[test]
fn who_does_not_encrypt_gets_nothing_and_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let (root, pem, key) = certificate();
    put(dir.path(), &pem, &key, 0);
    let server = server(dir.path());
    for text in [&b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", b"\0\0\0\0", &[0xff; 4096]]
    {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = socket.write_all(text);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert!(!answer.windows(4).any(|part| part == b"HTTP"), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(ask(&mut connect(server.address(), &root).unwrap()).starts_with("HTTP/1.1 200"));
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (_, pem, key) = certificate();
    let (_, _, other_key) = certificate();
    let refused = || {
        let mut config = common::config(dir.path());
        config.tls.certificate = Some(dir.path().join("cert.pem"));
        config.tls.key = Some(dir.path().join("key.pem"));
        emotion_llama_server::operate::tls::Tls::load(&config.tls)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert!(refused().contains("cert.pem"), "{}", refused());
    for (certificate, key, told) in [
        (pem.as_str(), other_key.as_str(), "belong together"),
        ("", key.as_str(), "cert.pem"),
        (&pem, "", "key.pem"),
        (&pem, &pem, "key.pem"),
    ] {
        put(dir.path(), certificate, key, 0);
        assert!(refused().contains(told), "{told}: {}", refused());
    }
    put(dir.path(), &pem, &key, 0);
    assert_eq!(refused(), "");
}
