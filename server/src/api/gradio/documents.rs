//! What Gradio's clients read before their first call: the app's configuration and the description of its one function.

use axum::Json;
use serde_json::{json, Value};

use super::FUNCTION;

/// The generation of the protocol. Clients ask public services about servers that are much older, and expect a prefix of later ones.
const VERSION: &str = "4.44.1";
/// The labels of the published app.
const VIDEO: &str = "视频路径";
const QUESTION: &str = "问题";
const ANSWER: &str = "模型回答";
/// The components: two inputs, one output.
const INPUTS: [u32; 2] = [0, 1];
const OUTPUTS: [u32; 1] = [2];

/// `GET /config`
pub async fn config() -> Json<Value> {
    let component = |id: u32, label: &str| {
        json!({
            "id": id,
            "type": "textbox",
            "props": {"label": label, "lines": 1, "show_label": true, "visible": true, "type": "text", "name": "textbox"},
            "skip_api": false,
            "api_info": {"type": "string"},
            "example_inputs": "",
        })
    };
    let [video, question] = INPUTS;
    let [answer] = OUTPUTS;
    // Without `root` and `api_prefix`: JavaScript's client would leave the address that it was given.
    Json(json!({
        "version": VERSION,
        "mode": "interface",
        "dev_mode": false,
        "analytics_enabled": false,
        "connect_heartbeat": false,
        "title": "Emotion-LLaMA API",
        "space_id": null,
        "enable_queue": true,
        "show_error": true,
        "show_api": true,
        "is_colab": false,
        "max_file_size": null,
        "protocol": "sse_v3",
        "components": [component(video, VIDEO), component(question, QUESTION), component(answer, ANSWER)],
        "dependencies": [{
            "id": 0,
            "targets": [],
            "inputs": INPUTS,
            "outputs": OUTPUTS,
            "backend_fn": true,
            "js": null,
            "queue": true,
            "api_name": FUNCTION,
            "scroll_to_output": true,
            "show_progress": "full",
            "batch": false,
            "max_batch_size": 4,
            "cancels": [],
            "types": {"generator": true, "cancel": false},
            "collects_event_data": false,
            "trigger_after": null,
            "trigger_only_on_success": false,
            "trigger_mode": "once",
            "show_api": true,
        }],
    }))
}

/// `GET /info`
pub async fn info() -> Json<Value> {
    let text = |label: &str| {
        json!({
            "label": label,
            "type": {"type": "string"},
            "python_type": {"type": "str", "description": ""},
            "component": "Textbox",
        })
    };
    let parameter = |name: &str, label: &str, example: &str| {
        let mut parameter = text(label);
        parameter["parameter_name"] = name.into();
        parameter["parameter_has_default"] = false.into();
        parameter["parameter_default"] = Value::Null;
        parameter["example_input"] = example.into();
        parameter
    };
    let endpoint = json!({
        "parameters": [
            parameter("video_path", VIDEO, "/path/to/video.mp4"),
            parameter("question", QUESTION, "[emotion] What is the emotion expressed in this video?"),
        ],
        "returns": [text(ANSWER)],
        "show_api": true,
    });
    Json(json!({"named_endpoints": {format!("/{FUNCTION}"): endpoint}, "unnamed_endpoints": {}}))
}

/// `GET /startup-events`: there are none.
pub async fn startup_events() -> Json<bool> {
    Json(false)
}
