//! Makes media files for tests with the `ffmpeg` command.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of files that goes when it is dropped.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The file `name` made by `ffmpeg` with `arguments`.
    pub fn make(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let path = self.path(name);
        ffmpeg(arguments, &path);
        path
    }

    /// A clip of 160 x 120 at 25 frames per second with a moving picture and a tone of 440 Hz.
    pub fn clip(&self, name: &str, seconds: f64, options: &[&str]) -> PathBuf {
        let video = format!("testsrc2=size=160x120:rate=25:duration={seconds}");
        let sound = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
        let inputs = ["-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &sound, "-pix_fmt", "yuv420p"];
        // The last -pix_fmt counts, so `options` may give another.
        self.make(name, &[&inputs, options].concat())
    }

    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("a written file");
        path
    }
}

/// Where the headers of the PNG pictures in `bytes` begin.
pub fn png_headers(bytes: &[u8]) -> Vec<usize> {
    bytes.windows(8).enumerate().filter(|(_, head)| *head == b"\x89PNG\r\n\x1a\n").map(|(at, _)| at).collect()
}

/// Runs `ffmpeg` with `arguments`, writing to `output`.
pub fn ffmpeg(arguments: &[&str], output: &Path) {
    let run = Command::new("ffmpeg")
        .args(["-nostdin", "-y", "-v", "error", "-bitexact", "-threads", "1"])
        .args(arguments)
        .arg(output)
        .output()
        .expect("the ffmpeg command, which the project's set-up installs");
    assert!(run.status.success(), "ffmpeg {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
}
