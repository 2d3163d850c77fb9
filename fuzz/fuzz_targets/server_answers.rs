//! What a server sends back. The first byte says what kind of server it is; the rest is the body of what it answers, or for the last kind
//! all that it sends. Its errors may be of any kind: they are the server's own.
#![no_main]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};

use emotion_llama_core::media::Source;
use emotion_llama_core::remote::{Remote, RemoteOptions, Upload};
use emotion_llama_core::request::Request;
use emotion_llama_core::CancelToken;
use libfuzzer_sys::fuzz_target;

/// Each has its own connections, so that there are enough ports.
const SERVERS: u16 = 16;

/// What the servers answer with.
static ANSWER: Mutex<(u8, Vec<u8>)> = Mutex::new((0, Vec::new()));
static PORTS: Mutex<(usize, Vec<u16>)> = Mutex::new((0, Vec::new()));

const MODELS: &str = r#"{"data":[{"id":"a","labels":["b"]}]}"#;
const GRADIO: &str =
    r#"{"version":"4.44.1","api_prefix":"/gradio_api","dependencies":[{"api_name":"predict","inputs":[0,1]}]}"#;

fn respond(target: &str) -> Vec<u8> {
    let answer = ANSWER.lock().unwrap_or_else(PoisonError::into_inner);
    let (kind, content) = (answer.0 % 7, &answer.1);
    let whole = |head: &str, body: &[u8]| {
        let length = body.len();
        [format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n").as_bytes(), body].concat()
    };
    let absent = || whole("404 Not Found", b"");
    match (kind, target) {
        (0, "/v1/models") => whole("200 OK\r\nx-api-version: 1.0", content),
        (1..=3, "/v1/models") => whole("200 OK\r\nx-api-version: 1.0", MODELS.as_bytes()),
        (1, _) => whole("200 OK\r\ncontent-type: application/json", content),
        (2, _) => whole("200 OK\r\ncontent-type: text/event-stream", content),
        (3, _) => whole("422 No\r\ncontent-type: application/json", content),
        (4, "/config") => whole("200 OK", content),
        (5, "/config") => whole("200 OK", GRADIO.as_bytes()),
        (5, _) => whole("200 OK", content),
        (6, _) => content.clone(),
        _ => absent(),
    }
}

fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(&stream);
    let (mut target, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        if target.is_empty() {
            target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    (&stream).write_all(&respond(&target))
}

fuzz_target!(
    init: {
        for _ in 0..SERVERS {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = listener.local_addr().expect("an address").port();
            PORTS.lock().unwrap_or_else(PoisonError::into_inner).1.push(port);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let _ = serve(stream);
                }
            });
        }
    },
    |data: &[u8]| {
        let Some((&kind, content)) = data.split_first() else { return };
        *ANSWER.lock().unwrap_or_else(PoisonError::into_inner) = (kind, content.to_vec());
        let port = {
            let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
            ports.0 = (ports.0 + 1) % ports.1.len();
            ports.1[ports.0]
        };
        let options =
            RemoteOptions { timeout_s: 1.0, connect_timeout_s: 1.0, upload: Upload::Never, ..RemoteOptions::default() };
        let cancel = CancelToken::new();
        let Ok(server) = Remote::open(&format!("http://127.0.0.1:{port}"), &options, &cancel) else { return };
        let request = Request::new(Source::from("clip.mp4"));
        if let Err(error) = server.analyze(&request, &cancel, &mut |_| {}) {
            assert!(!error.message.is_empty(), "{:?} without a message", error.kind);
        }
    }
);
