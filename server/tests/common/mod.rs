//! What the tests share: a real server on a free port, and a client that writes its requests byte by byte.
#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use emotion_llama_core::convert::{synthesize, Quantization, SynthOptions, SynthShape};
use emotion_llama_core::CancelToken;
use emotion_llama_server::config::Config;
use emotion_llama_server::{Handle, Server};
use serde_json::Value;

/// How long a test waits for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The built mini pack; `EMOTION_LLAMA_PACK` overrides the place where `make pack` puts it.
pub fn mini_pack() -> PathBuf {
    let dir = std::env::var_os("EMOTION_LLAMA_PACK")
        .map_or_else(|| root().join("build/packs/emotion-llama-mini"), PathBuf::from);
    assert!(dir.join("pack.json").is_file(), "no pack in {}; run `make pack` first", dir.display());
    dir.canonicalize().unwrap()
}

/// A real clip, two seconds of a happy person.
pub fn real_clip() -> PathBuf {
    let path = root().join("build/clips/1001_DFA_HAP_XX.flv");
    assert!(path.is_file(), "{} is missing; run `make clips` first", path.display());
    path.canonicalize().unwrap()
}

/// What the small pack and clips are in; made once a test program.
struct Things {
    _dir: tempfile::TempDir,
    pack: PathBuf,
    media: PathBuf,
}

fn things() -> &'static Things {
    static THINGS: OnceLock<Things> = OnceLock::new();
    THINGS.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let options = SynthOptions {
            shape: SynthShape::Least,
            quantization: Quantization::F32,
            perception: None,
            seed: 1,
            out: dir.path().join("pack"),
        };
        let pack = synthesize(&options, &mut |_| {}, &CancelToken::new()).unwrap();
        let media = dir.path().join("media");
        std::fs::create_dir(&media).unwrap();
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-bitexact", "-threads", "1"])
            .args(["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=12:duration=0.33"])
            .args(["-f", "lavfi", "-i", "sine=frequency=220:sample_rate=16000:duration=0.33"])
            .args(["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"])
            .arg(media.join("clip.avi"))
            .output()
            .expect("the ffmpeg command, which the project's set-up installs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Things { pack, media: media.canonicalize().unwrap(), _dir: dir }
    })
}

/// A pack with one layer each, whose answers mean nothing and are always the same.
pub fn least_pack() -> PathBuf {
    things().pack.clone()
}

/// A directory with `clip.avi`, a third of a second of moving stripes with a tone.
pub fn media_dir() -> PathBuf {
    things().media.clone()
}

/// That clip.
pub fn clip() -> PathBuf {
    media_dir().join("clip.avi")
}

/// That clip's bytes.
pub fn clip_bytes() -> Vec<u8> {
    std::fs::read(clip()).unwrap()
}

/// A configuration for a free port with the least pack, [`media_dir`] as root, and a directory of its own for uploads.
pub fn config(uploads: &Path) -> Config {
    let mut config = Config::default();
    config.listen.port = 0;
    config.listen.grace_s = 10.0;
    config.model.pack = least_pack().to_str().unwrap().into();
    config.model.verify = false;
    config.files.media_roots = vec![media_dir()];
    config.files.upload_dir = Some(uploads.join("uploads"));
    config
}

/// A server that runs until this is dropped.
pub struct Running {
    runtime: Option<tokio::runtime::Runtime>,
    handle: Option<Handle>,
    /// Where it listens, first the main port.
    pub addresses: Vec<SocketAddr>,
    /// The directory for its files.
    pub dir: tempfile::TempDir,
}

impl Running {
    /// A server with the least pack, changed by `change`, whose model is loaded.
    pub fn start(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        change(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let handle = runtime.block_on(async {
            let mut handle = Server::bind(config, Vec::new()).await.unwrap().start();
            handle.ready().await.unwrap();
            handle
        });
        Self { addresses: handle.addresses().to_vec(), handle: Some(handle), runtime: Some(runtime), dir }
    }

    /// The server's state.
    pub fn app(&self) -> &emotion_llama_server::state::App {
        self.handle.as_ref().unwrap().app()
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Stops it as SIGTERM does.
    pub fn stop(&mut self) {
        if let (Some(runtime), Some(handle)) = (&self.runtime, self.handle.take()) {
            runtime.block_on(handle.stop());
        }
    }

    /// Sends a request and reads the whole answer.
    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        send(self.address(), method, target, headers, body)
    }

    /// GET.
    pub fn get(&self, target: &str) -> Reply {
        self.send("GET", target, &[], b"")
    }

    /// POST of JSON.
    pub fn post(&self, target: &str, body: &Value) -> Reply {
        self.send("POST", target, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// Waits until nothing runs or waits; gives the time that it took.
    pub fn wait_idle(&self) -> Duration {
        let began = Instant::now();
        self.wait_for("an idle queue", || {
            let queue = self.app().queue.snapshot();
            queue.running == 0 && queue.waiting == 0
        });
        began.elapsed()
    }

    /// Takes a turn of the queue, so that what is asked meanwhile waits until it is dropped.
    pub fn take_turn(&self) -> impl Drop + use<> {
        let place = self.app().queue.enter().unwrap();
        self.runtime.as_ref().unwrap().block_on(place.turn()).unwrap()
    }

    /// Waits until `is_so`.
    pub fn wait_for(&self, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            if let Some(handle) = self.handle.take() {
                handle.app().halt();
                runtime.block_on(handle.stop());
            }
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers, names in small letters.
    pub headers: Vec<(String, String)>,
    /// Its body, unchunked.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header called `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Status and `code` of an error.
    pub fn error(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }

    /// The events of a stream: name and data.
    pub fn events(&self) -> Vec<(String, Value)> {
        let text = self.text();
        let field = |event: &str, name: &str| {
            event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
        };
        let events = text.split("\n\n").filter(|event| event.contains("data:"));
        events.map(|event| (field(event, "event:"), serde_json::from_str(&field(event, "data:")).unwrap())).collect()
    }
}

/// Opens a connection and writes a request with `Connection: close`.
pub fn open(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("host: {address}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() || method == "POST" {
        head += &format!("content-length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    // A server that refuses early may have closed by now; what it says is read all the same.
    let _ = stream.write_all(body);
    stream
}

/// Sends a request and reads the whole answer.
pub fn send(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    read(open(address, method, target, headers, body))
}

/// Reads an answer to its end.
pub fn read(stream: TcpStream) -> Reply {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line:?}"));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut reply = Reply { status, headers, body: Vec::new() };
    match (reply.header("transfer-encoding"), reply.header("content-length")) {
        (Some("chunked"), _) => reply.body = chunks(&mut reader),
        (_, Some(length)) => {
            reply.body.resize(length.parse().unwrap(), 0);
            reader.read_exact(&mut reply.body).unwrap();
        }
        _ => drop(reader.read_to_end(&mut reply.body)),
    }
    reply
}

fn chunks(reader: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            panic!("the answer broke off after {} bytes", body.len());
        }
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        reader.read_exact(&mut chunk).unwrap();
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&chunk[..length]);
    }
}

/// A form: `parts` are name, file name and content. Gives content type and body.
pub fn form(parts: &[(&str, Option<&str>, &[u8])]) -> (String, Vec<u8>) {
    const BOUNDARY: &str = "----of-a-test-7f3a";
    let mut body = Vec::new();
    for (name, file, content) in parts {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        body.extend_from_slice(
            format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}
