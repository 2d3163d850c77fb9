//! A small HTTP server for tests: one thread for each connection, answers by a function.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a client sent.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What is sent back.
pub enum Reply {
    /// Status, further header lines, body.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// These bytes as they stand, with a pause before each; then the connection is closed.
    Raw(Vec<(u64, Vec<u8>)>),
    /// Bytes after the head, again and again, until the client goes.
    Endless(Vec<u8>, Vec<u8>, u64),
    /// Nothing, until the client goes.
    Silence,
}

/// JSON with `status`.
pub fn json(status: u16, body: serde_json::Value) -> Reply {
    Reply::Whole(status, vec![("content-type", "application/json".into())], body.to_string().into_bytes())
}

/// A listening server; goes on in the background until the process ends.
#[derive(Clone)]
pub struct Server {
    pub port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    /// Connections whose client has gone, of those that wait for it.
    gone: Arc<AtomicUsize>,
}

impl Server {
    pub fn new(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server =
            Self { port: listener.local_addr().unwrap().port(), received: Arc::default(), gone: Arc::default() };
        let (own, answer) = (server.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (own, answer) = (own.clone(), answer.clone());
                thread::spawn(move || own.serve(stream, answer.as_ref()));
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Everything that was asked so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The requests to `target`.
    pub fn received_at(&self, target: &str) -> Vec<Received> {
        self.received().into_iter().filter(|received| received.target == target).collect()
    }

    /// Waits until `count` clients have gone away from a reply that did not end.
    pub fn wait_for_gone(&self, count: usize) {
        for _ in 0..500 {
            if self.gone.load(Ordering::SeqCst) >= count {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{} of {count} clients have gone after 5 s", self.gone.load(Ordering::SeqCst));
    }

    fn serve(&self, stream: TcpStream, answer: &(impl Fn(&Received) -> Reply + ?Sized)) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split_whitespace();
        let (method, target) =
            (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut request = Received { method, target, headers, body: Vec::new() };
        // A target that says so is answered, or not, before the body is read.
        if !request.target.contains("unread") {
            if request.headers.contains_key("expect") {
                let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            request.body = vec![0; length];
            if reader.read_exact(&mut request.body).is_err() {
                return;
            }
        }
        self.received.lock().unwrap().push(request.clone());
        match answer(&request) {
            Reply::Whole(status, headers, body) => {
                let mut head =
                    format!("HTTP/1.1 {status} Status\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head += &format!("{name}: {value}\r\n");
                }
                let _ = stream.write_all(format!("{head}\r\n").as_bytes());
                let _ = stream.write_all(&body);
            }
            Reply::Raw(pieces) => {
                for (pause_ms, bytes) in pieces {
                    thread::sleep(Duration::from_millis(pause_ms));
                    if stream.write_all(&bytes).is_err() {
                        self.gone.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                }
            }
            Reply::Endless(head, bytes, pause_ms) => {
                let _ = stream.write_all(&head);
                while stream.write_all(&bytes).is_ok() {
                    thread::sleep(Duration::from_millis(pause_ms));
                }
                self.gone.fetch_add(1, Ordering::SeqCst);
            }
            Reply::Silence => {
                // Ends when the client closes; what it may still send is not read fast.
                let mut byte = [0];
                if request.target.contains("unread") {
                    while stream.write_all(b"").is_ok() && stream.take_error().is_ok_and(|error| error.is_none()) {
                        thread::sleep(Duration::from_millis(20));
                        if is_closed(&stream) {
                            break;
                        }
                    }
                } else {
                    while reader.read(&mut byte).is_ok_and(|read| read > 0) {}
                }
                self.gone.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

/// Whether the other side has closed a connection that still holds bytes nobody reads.
fn is_closed(stream: &TcpStream) -> bool {
    let mut clone = stream.try_clone().unwrap();
    clone.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut buffer = [0; 4096];
    matches!(clone.read(&mut buffer), Ok(0)) || clone.write(b"").is_err()
}
