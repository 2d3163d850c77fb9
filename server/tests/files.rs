//! Which files are read, seen from outside.

mod common;

use std::os::unix::fs::symlink;

use common::{clip, clip_bytes, form, Running};
use serde_json::json;

/// Status and code of an analysis of `path`, through each of the calls that take paths.
fn tell(server: &Running, path: &str) -> Vec<(u16, String)> {
    let calls = [
        ("/v1/analyze", json!({"path": path, "max_new_tokens": 1})),
        ("/v1/sessions", json!({"path": path})),
        ("/process_video", json!({"video_path": path, "question": ""})),
        ("/api/predict/", json!({"data": [path, ""]})),
    ];
    let mut told: Vec<_> = calls
        .iter()
        .map(|(target, body)| {
            let reply = server.post(target, body);
            if reply.status < 300 {
                (200, String::new())
            } else {
                reply.error()
            }
        })
        .collect();
    told.dedup();
    told
}

#[test]
fn nothing_beyond_the_roots() {
    let dir = tempfile::tempdir().unwrap();
    let (root, out) = (dir.path().join("root"), dir.path().join("out"));
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::create_dir_all(&out).unwrap();
    std::fs::copy(clip(), root.join("sub/in.avi")).unwrap();
    std::fs::copy(clip(), root.join("a b%20视频.avi")).unwrap();
    std::fs::copy(clip(), out.join("out.avi")).unwrap();
    symlink("sub/in.avi", root.join("inner.avi")).unwrap();
    symlink("../out/out.avi", root.join("leaf.avi")).unwrap();
    symlink(&out, root.join("branch")).unwrap();
    let server = Running::start(|config| {
        config.files.media_roots = vec![root.clone()];
        config.sessions.most = 100;
    });
    let ok = vec![(200, String::new())];
    let absent = vec![(404, "not_found".to_owned())];
    let invalid = vec![(400, "invalid_argument".to_owned())];
    let absolute = root.join("sub/in.avi");
    let outside = out.join("out.avi");
    for good in ["sub/in.avi", "inner.avi", "a b%20视频.avi", "./sub/../sub/in.avi", absolute.to_str().unwrap()] {
        assert_eq!(tell(&server, good), ok, "{good}");
    }
    for bad in [
        "../out/out.avi",
        "sub/../../out/out.avi",
        "leaf.avi",
        "branch/out.avi",
        outside.to_str().unwrap(),
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/self/fd/0",
        "/dev/zero",
        "..%2fout%2fout.avi",
        "%2e%2e/out/out.avi",
        "..\\out\\out.avi",
        "sub/in.avi/",
        "absent.avi",
    ] {
        assert_eq!(tell(&server, bad), absent, "{bad}");
    }
    for bad in [
        "sub",
        "sub/in.avi\0.png",
        "http://127.0.0.1:1/a.avi",
        "file:///etc/passwd",
        "data:video/mp4;base64,AAAA",
        "\\\\host\\share\\a.avi",
        "//host/share/a.avi",
        "concat://a|b",
        "",
    ] {
        assert_eq!(tell(&server, bad), invalid, "{bad:?}");
    }
}

#[test]
fn without_a_root_paths_are_for_programs_of_this_machine() {
    let server = Running::start(|config| config.files.media_roots = Vec::new());
    assert_eq!(tell(&server, clip().to_str().unwrap()), [(200, String::new())]);
    assert_eq!(tell(&server, "/proc/self/environ"), [(400, "media_undecodable".to_owned())]);
    let body = json!({"path": clip(), "max_new_tokens": 1}).to_string();
    for header in [
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("origin", "https://page.example"),
        ("host", "rebound.example"),
    ] {
        let headers = [("content-type", "application/json"), header];
        let reply = server.send("POST", "/v1/analyze", &headers, body.as_bytes());
        assert_eq!(reply.error(), (400, "invalid_argument".into()), "{header:?}");
    }
    let (kind, form) =
        form(&[("request", None, b"{\"max_new_tokens\": 1}"), ("media", Some("/etc/passwd"), &clip_bytes())]);
    let headers = [("content-type", kind.as_str()), ("origin", "https://page.example")];
    assert_eq!(server.send("POST", "/v1/analyze", &headers, &form).status, 200);
}

#[test]
fn uploads_leave_nothing_behind() {
    let server = Running::start(|config| config.limits.upload_bytes = 1 << 20);
    let uploads = server.dir.path().join("uploads");
    let left = || std::fs::read_dir(&uploads).unwrap().count();
    for content in [clip_bytes(), b"no media".to_vec(), vec![0; 2 << 20]] {
        let (kind, body) = form(&[("media", Some("../../a.avi"), &content)]);
        let reply = server.send("POST", "/v1/analyze", &[("content-type", &kind)], &body);
        assert_eq!(
            reply.status,
            if content.len() > 1 << 20 {
                413
            } else if content.len() < 100 {
                400
            } else {
                200
            }
        );
        server.wait_for("the end of the upload", || (left(), server.app().files.uploads.total_bytes()) == (0, 0));
    }
    // A client that goes away in the middle.
    let (kind, body) = form(&[("media", Some("a.avi"), &vec![1; 500_000])]);
    let headers = [("content-type", kind.as_str()), ("content-length", "600000")];
    let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    std::io::Write::write_all(&mut stream, format!("POST /v1/analyze HTTP/1.1\r\nhost: a\r\n{head}\r\n").as_bytes())
        .unwrap();
    std::io::Write::write_all(&mut stream, &body[..400_000]).unwrap();
    server.wait_for("bytes of an upload", || server.app().files.uploads.total_bytes() > 100_000);
    drop(stream);
    server.wait_for("the upload's end", || server.app().files.uploads.total_bytes() == 0);
    assert_eq!(left(), 0);
}

/// A connection that is closed with bytes unread is reset, and the answer may be lost.
#[test]
fn a_client_that_sends_too_much_is_told_so() {
    let server = Running::start(|config| {
        config.limits.upload_bytes = 1 << 20;
        config.limits.inline_bytes = 1 << 20;
    });
    let (kind, body) = form(&[("media", Some("a.avi"), &vec![0; 30 << 20])]);
    for kind in [kind.as_str(), "application/json", "text/plain"] {
        let status = server.send("POST", "/v1/analyze", &[("content-type", kind)], &body).status;
        // 30 MB are too many whatever they are, which the header tells before the first byte.
        assert_eq!(status, 413, "{kind}");
    }
    let mut head = format!("POST /v1/analyze HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: {kind}\r\n");
    head += "transfer-encoding: chunked\r\n\r\n";
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    for piece in body.chunks(1 << 20) {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        std::io::Write::write_all(&mut stream, &chunk).unwrap();
    }
    std::io::Write::write_all(&mut stream, b"0\r\n\r\n").unwrap();
    assert_eq!(common::read(stream).error(), (413, "media_too_large".into()));
}
