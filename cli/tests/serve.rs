//! `emotion-llama serve`, as a process: from its first line to its last, however it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_emotion-llama");
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is killed when it is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pack(dir: &Path) -> std::path::PathBuf {
    let out = dir.join("pack");
    if !out.exists() {
        let made = Command::new(PROGRAM)
            .args(["pack", "synth", "--shape", "least", "--quantize", "f32", "--perception", "none", "--out"])
            .arg(&out)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    out
}

fn serve(dir: &Path, more: &[&str]) -> Server {
    let mut child = Command::new(PROGRAM)
        .arg("serve")
        .args(["--port", "0", "--pack"])
        .arg(pack(dir))
        .arg("--set")
        .arg(format!("files.upload_dir={}", dir.join("uploads").display()))
        .args(more)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut address = None;
    for line in &mut lines {
        let line = line.unwrap();
        if let Some((_, found)) = line.split_once("listens at http://") {
            address.get_or_insert(found.to_owned());
        }
        if line == "ready" {
            break;
        }
    }
    // What it says later is read and thrown away.
    std::thread::spawn(move || lines.for_each(drop));
    Server { child, address: address.expect("the server says where it listens, and that it is ready") }
}

fn get(address: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Files below `dir`, without directories.
fn files(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[test]
fn the_printed_configuration_is_one_that_can_be_given() {
    let dir = tempfile::tempdir().unwrap();
    let print = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).args(["serve", "--print-config"]).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text, _) =
        print(&["--port", "7000", "--media-root", "/a", "--media-root", "/b", "--set", "queue.running=3"]);
    assert_eq!(code, Some(0));
    for line in ["port = 7000", "media_roots = [\"/a\", \"/b\"]", "running = 3"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let file = dir.path().join("serve.toml");
    std::fs::write(&file, &text).unwrap();
    assert_eq!(print(&["--config", file.to_str().unwrap()]).1, text);
    for wrong in
        [&["--host", "0.0.0.0"][..], &["--set", "listen.prot=1"], &["--config", "/absent.toml"], &["--tls-key", "/a"]]
    {
        let (code, _, error) = print(wrong);
        assert_eq!(code, Some(2), "{wrong:?}: {error}");
    }
}

#[test]
fn it_stops_when_it_is_told_and_when_its_port_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = serve(dir.path(), &[]);
    assert!(get(&server.address, "/readyz").contains("\"ready\""));
    let port = server.address.rsplit_once(':').unwrap().1;
    let second =
        Command::new(PROGRAM).args(["serve", "--port", port, "--pack"]).arg(pack(dir.path())).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("--port"));
    let told = Command::new("kill").arg(server.child.id().to_string()).status().unwrap();
    assert!(told.success());
    let began = Instant::now();
    let status = loop {
        if let Some(status) = server.child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < PATIENCE, "it did not stop");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(0));
    let absent = Command::new(PROGRAM).args(["serve", "--port", "0", "--pack", "/absent"]).output().unwrap();
    assert_eq!(absent.status.code(), Some(1));
}

#[test]
fn killed_during_fifty_uploads_it_leaves_nothing_and_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let uploads = dir.path().join("uploads");
    for _ in 0..2 {
        let mut server = serve(dir.path(), &[]);
        let body = [
            b"--x\r\ncontent-disposition: form-data; name=\"media\"; filename=\"a.mp4\"\r\n\r\n".as_slice(),
            &[7; 300_000],
        ]
        .concat();
        let clients: Vec<TcpStream> = (0..50)
            .map(|_| {
                let mut stream = TcpStream::connect(&server.address).unwrap();
                let head = "content-type: multipart/form-data; boundary=x\r\ncontent-length: 9000000\r\n";
                write!(stream, "POST /v1/analyze HTTP/1.1\r\nhost: a\r\n{head}\r\n").unwrap();
                stream.write_all(&body).unwrap();
                stream
            })
            .collect();
        let (during, _) = (files(&uploads), server.child.kill().unwrap());
        server.child.wait().unwrap();
        println!("files during the uploads: {during}, after the kill: {}", files(&uploads));
        drop(clients);
        assert_eq!(files(&uploads), 0);
    }
    let server = serve(dir.path(), &[]);
    assert!(get(&server.address, "/healthz").starts_with("HTTP/1.1 200"));
}
