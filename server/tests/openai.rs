//! OpenAI's chat completions, and the document that describes all calls.

mod common;

use base64::Engine;
use common::{clip_bytes, Running};
use serde_json::{json, Value};

fn messages() -> Value {
    let url = format!("data:video/x-msvideo;base64,{}", base64::engine::general_purpose::STANDARD.encode(clip_bytes()));
    json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": "[emotion] Which?"}]},
    ])
}

#[test]
fn a_completion() {
    let server = Running::start(|_| {});
    let model = server.get("/v1/models").json()["data"][0]["id"].clone();
    let asked = json!({"model": model, "messages": messages(), "max_tokens": 6, "temperature": 0, "user": "of other clients", "tools": []});
    let reply = server.post("/v1/chat/completions", &asked);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    let choice = &answer["choices"][0];
    assert_eq!((&answer["object"], &choice["message"]["role"]), (&json!("chat.completion"), &json!("assistant")));
    assert_eq!((&choice["message"]["content"], &answer["model"]), (&answer["analysis"]["response"], &model));
    assert_eq!(choice["finish_reason"], "length");
    let usage = &answer["usage"];
    let number = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(number("total_tokens"), number("prompt_tokens") + number("completion_tokens"));
    assert!(
        answer["id"].as_str().unwrap().starts_with("chatcmpl-") && answer["created"].as_u64().unwrap() > 1_700_000_000
    );

    let streamed = json!({"messages": messages(), "max_tokens": 6, "temperature": 0, "stream": true, "stream_options": {"include_usage": true}});
    let reply = server.post("/v1/chat/completions", &streamed);
    assert!(reply.header("content-type").unwrap().starts_with("text/event-stream"));
    let text = reply.text();
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(data.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> = data[..data.len() - 1].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let pieces: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(json!(pieces), choice["message"]["content"]);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(
        (&chunks[chunks.len() - 2]["choices"][0]["finish_reason"], &chunks[chunks.len() - 1]["usage"]),
        (&json!("length"), usage)
    );
    assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk["id"] == chunks[0]["id"]));
}

#[test]
fn errors_are_in_the_form_that_these_clients_read() {
    let server = Running::start(|_| {});
    let fail = |body: Value| {
        let reply = server.post("/v1/chat/completions", &body);
        let error = reply.json()["error"].clone();
        assert!(error["message"].is_string() && error["type"].is_string(), "{}", reply.text());
        (reply.status, error["code"].as_str().unwrap().to_owned())
    };
    let with_url = |url: &str| json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]});
    let invalid = (400, "invalid_argument".to_owned());
    assert_eq!(fail(json!({})), invalid);
    assert_eq!(fail(json!({"messages": [{"role": "user", "content": "hello"}]})), invalid);
    assert_eq!(fail(with_url("http://169.254.169.254/latest")), invalid);
    assert_eq!(fail(with_url("file:///etc/passwd")), invalid);
    assert_eq!(fail(with_url("data:image/png;base64,???")), invalid);
    assert_eq!(fail(with_url("data:image/png;base64,AAAA")), (400, "media_undecodable".into()));
    assert_eq!(fail(json!({"model": "gpt-0", "messages": messages()})), (404, "not_found".into()));
    assert_eq!(fail(json!({"messages": messages(), "n": 2})), invalid);
    assert_eq!(fail(json!({"messages": messages(), "temperature": -1})), invalid);
}

#[test]
fn the_document_and_its_page_are_served() {
    let server = Running::start(|_| {});
    let document = server.get("/openapi.json");
    assert_eq!((document.status, document.header("content-type")), (200, Some("application/json")));
    assert_eq!(document.json()["openapi"], "3.1.0");
    let page = server.get("/docs");
    assert!(
        page.header("content-type").unwrap().starts_with("text/html")
            && page.header("content-security-policy").is_some()
    );
    for name in ["docs.js", "docs.css"] {
        assert!(page.text().contains(&format!("docs/{name}")), "{name}");
        assert_eq!(server.get(&format!("/docs/{name}")).status, 200, "{name}");
    }
    // What is described is there: no call is 404 or 405 for its path's sake.
    for (path, calls) in document.json()["paths"].as_object().unwrap() {
        for method in calls.as_object().unwrap().keys() {
            let reply = server.send(
                &method.to_uppercase(),
                &path.replace("{id}", "0"),
                &[("content-type", "application/json")],
                b"{}",
            );
            let is_there = reply.status != 405 && (reply.status != 404 || path.contains("{id}"));
            assert!(is_there, "{method} {path}: {}", reply.status);
        }
    }
}
