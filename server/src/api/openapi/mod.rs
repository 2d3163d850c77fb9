//! What the API is, for programs (`/openapi.json`) and for people (`/docs`). Made from the code; nothing is fetched from elsewhere.

pub mod schema;

use std::sync::{Arc, OnceLock};

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::Router;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, Schema, SecurityRequirement};
use utoipa::{Modify, OpenApi as _};

use super::{openai, published, v1};
use crate::state::App;

const PAGE: &str = include_str!("docs.html");
const SCRIPT: &str = include_str!("docs.js");
const STYLE: &str = include_str!("docs.css");
/// Nothing but what this server gives.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The document.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Emotion-LLaMA",
        description = "What a person in a video feels, and what shows it. Version 1 of our own API, the published servers' calls, and OpenAI's chat completions."
    ),
    paths(
        v1::analyze::analyze, v1::batch::batch, v1::models::list,
        v1::sessions::open, v1::sessions::ask, v1::sessions::reset, v1::sessions::close,
        openai::completions, published::process_video, published::predict,
    ),
    modifiers(&Finish),
    tags(
        (name = "v1", description = "Our own API."),
        (name = "openai", description = "For tools that speak OpenAI's API."),
        (name = "published", description = "The published servers' calls."),
    )
)]
struct Document;

/// What the attributes cannot say: the ways to show who one is (none is asked for unless the server is set so), and what is put together of
/// other parts.
struct Finish;

impl Modify for Finish {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        if let Some(RefOr::T(Schema::Object(request))) = components.schemas.get("AnalyzeRequest").cloned() {
            if let Some(RefOr::T(Schema::Object(item))) = components.schemas.get_mut("BatchItem") {
                item.properties.extend(request.properties);
            }
        }
        components.add_security_scheme(
            "bearer",
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
        );
        components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))));
        let none = SecurityRequirement::default();
        let ways = ["bearer", "key"].map(|name| SecurityRequirement::new(name, Vec::<String>::new()));
        document.security = Some([none].into_iter().chain(ways).collect());
        document.info.version = v1::VERSION.into();
    }
}

/// The document as JSON.
pub fn json() -> &'static str {
    static JSON: OnceLock<String> = OnceLock::new();
    JSON.get_or_init(|| Document::openapi().to_json().unwrap_or_default())
}

/// `/openapi.json` and `/docs`
pub fn routes(app: &App) -> Router<Arc<App>> {
    let document = Router::new().route("/openapi.json", get(|| async { file("application/json", json()) }));
    if !app.config.page.enabled {
        return document;
    }
    document
        .route("/docs", get(|| async { file("text/html; charset=utf-8", PAGE) }))
        .route("/docs/docs.js", get(|| async { file("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/docs/docs.css", get(|| async { file("text/css; charset=utf-8", STYLE) }))
}

fn file(kind: &'static str, content: &'static str) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, POLICY)], content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use emotion_llama_core::analysis::{Analysis, DescribedFrame, Face};
    use emotion_llama_core::features::Cue;
    use emotion_llama_core::request::{Question, Request};
    use serde_json::{json, Map, Value};

    fn document() -> Value {
        serde_json::from_str(json()).unwrap()
    }

    fn fields(document: &Value, name: &str) -> Vec<String> {
        let schema = &document["components"]["schemas"][name];
        let mut names: Vec<String> =
            schema["properties"].as_object().unwrap_or_else(|| panic!("{name}: {schema}")).keys().cloned().collect();
        names.sort();
        names
    }

    fn keys(value: &Value) -> Vec<String> {
        let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    }

    #[test]
    fn every_call_is_described_and_every_reference_leads_somewhere() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        for path in [
            "/v1/analyze",
            "/v1/batch",
            "/v1/models",
            "/v1/sessions",
            "/v1/sessions/{id}",
            "/v1/sessions/{id}/ask",
            "/v1/sessions/{id}/reset",
            "/v1/chat/completions",
            "/process_video",
            "/api/predict/",
        ] {
            assert!(document["paths"].get(path).is_some(), "{path}");
        }
        fn walk(value: &Value, document: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        let pointer = reference.trim_start_matches('#');
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    fields.values().for_each(|value| walk(value, document));
                }
                Value::Array(items) => items.iter().for_each(|value| walk(value, document)),
                _ => {}
            }
        }
        walk(&document, &document);
    }

    #[test]
    fn the_described_fields_are_those_that_the_library_reads() {
        let document = document();
        let features = json!({"mae": [1.0], "videomae": [1.0], "hubert": [1.0]});
        let limits = json!({"max_duration_s": 1, "max_pixels": 1, "max_streams": 1, "max_bytes": 1});
        let example = json!({
            "path": "a", "task": "free", "prompt": "b", "transcript": "none", "labels": ["c", "d"], "frame": "middle", "prompt_path": "demo",
            "features": features, "max_new_tokens": 1, "temperature": 1, "top_p": 1, "top_k": 1, "repetition_penalty": 1, "seed": 1,
            "greedy": true, "limits": limits,
        });
        assert_eq!(fields(&document, "AnalyzeRequest"), keys(&example));
        let mut item = example.clone();
        item["id"] = json!(1);
        assert_eq!(fields(&document, "BatchItem"), keys(&item));
        assert_eq!(fields(&document, "Features"), keys(&features));
        assert_eq!(fields(&document, "RequestLimits"), keys(&limits));
        Request::from_json(example.to_string().as_bytes(), None).unwrap();
        let asked: Map<String, Value> =
            fields(&document, "AskRequest").into_iter().map(|name| (name.clone(), example[name].clone())).collect();
        Question::from_json(Value::Object(asked).to_string().as_bytes()).unwrap();
    }

    #[test]
    fn the_described_analysis_is_the_librarys() {
        let document = document();
        let analysis = Analysis {
            language: Some("en".into()),
            faces: vec![Face::default()],
            frame: Some(DescribedFrame::default()),
            cues: vec![Cue::new("pitch", 1.0, ["low", "high"]).with_value(1.0, "hertz")],
            notes: vec![emotion_llama_core::analysis::AnalysisNote::new("a", "b")],
            ..Analysis::default()
        };
        let value = serde_json::to_value(analysis).unwrap();
        for (name, part) in [
            ("Analysis", &value),
            ("Face", &value["faces"][0]),
            ("Rect", &value["faces"][0]["box"]),
            ("DescribedFrame", &value["frame"]),
            ("Cue", &value["cues"][0]),
            ("Usage", &value["usage"]),
            ("Timings", &value["timings_ms"]),
            ("ModelInfo", &value["model"]),
            ("Note", &value["notes"][0]),
        ] {
            assert_eq!(fields(&document, name), keys(part), "{name}");
        }
        let codes = &document["components"]["schemas"]["Code"];
        for kind in emotion_llama_core::ErrorKind::ALL {
            assert!(codes.to_string().contains(&format!("\"{}\"", kind.name())), "{kind}: {codes}");
        }
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for text in [PAGE, SCRIPT, STYLE] {
            assert!(
                !text.contains("http://") && !text.contains("https://") && !text.contains("//cdn"),
                "an address is in it"
            );
        }
    }
}
