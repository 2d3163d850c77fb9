//! Servers with certificates: of an authority that is named, of another, and for another host.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use emotion_llama_core::remote::{Remote, RemoteOptions};
use emotion_llama_core::{CancelToken, Error};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, Stream};

/// A server of our own API whose certificate `authority` gives for `host`.
fn serve(authority: &CertifiedIssuer<'_, KeyPair>, host: &str) -> u16 {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = Stream::new(&mut connection, &mut socket);
            let mut request = [0; 4096];
            if stream.read(&mut request).is_err() {
                continue;
            }
            let body = r#"{"object": "list", "data": [{"id": "mini"}]}"#;
            let answer =
                format!("HTTP/1.1 200 OK\r\nx-api-version: 1.0\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes());
            let _ = stream.flush();
        }
    });
    port
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

fn open(port: u16, ca_file: Option<&Path>) -> Result<Remote, Error> {
    let options =
        RemoteOptions { ca_file: ca_file.map(Path::to_path_buf), timeout_s: 20.0, ..RemoteOptions::default() };
    Remote::open(&format!("https://127.0.0.1:{port}"), &options, &CancelToken::new())
}

#[test]
fn a_certificate_counts_only_from_a_trusted_authority_and_for_the_host() {
    let (own, other) = (authority(), authority());
    let directory = tempfile::tempdir().unwrap();
    let (own_file, both_file) = (directory.path().join("own.pem"), directory.path().join("both.pem"));
    std::fs::write(&own_file, own.pem()).unwrap();
    std::fs::write(&both_file, own.pem() + &other.pem()).unwrap();

    let port = serve(&own, "127.0.0.1");
    assert_eq!(open(port, Some(&own_file)).unwrap().info()["pack"]["name"], "mini");
    let port_of_other = serve(&other, "127.0.0.1");
    open(port_of_other, Some(&both_file)).unwrap();
    let wrong_host = serve(&own, "192.0.2.1");
    for (port, ca_file) in [(port, None), (port_of_other, Some(own_file.as_path())), (wrong_host, Some(&own_file))] {
        let error = open(port, ca_file).unwrap_err();
        println!("{error}");
        assert!(error.name() == "unreachable" && error.message.contains("secure connection"), "{error}");
        assert!(error.message.contains("ca_file"), "{error}");
    }
}
