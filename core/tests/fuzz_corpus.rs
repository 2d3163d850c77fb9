//! The inputs that fuzzing begins with (`fuzz/corpus/TARGET/NAME`): made here by this project's own writers and by `ffmpeg`, and taken
//! by the readers without an error, so that a mutation has something to break.
//!
//! `EMOTION_LLAMA_WRITE_CORPUS=1 cargo test --release --workspace --test fuzz_corpus` writes them anew.

mod checkpoint_common;
mod media_files;
mod sentencepiece_common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::checkpoint::Checkpoint;
use emotion_llama_core::convert::{synthesize, Quantization, SynthOptions, SynthShape};
use emotion_llama_core::encoders::{eva::EvaViT, hubert::Hubert, mae::Mae, videomae::VideoMae};
use emotion_llama_core::features::Features;
use emotion_llama_core::gguf::{Gguf, GgufHeader};
use emotion_llama_core::kernels::WeightType;
use emotion_llama_core::llama::{Llama, Tokenizer, Vocabulary};
use emotion_llama_core::media::{decode, Limits, Sampling, Source};
use emotion_llama_core::nn::NetFile;
use emotion_llama_core::pack::{FeatureSpec, Manifest};
use emotion_llama_core::projector::{CueProjector, PublishedProjector};
use emotion_llama_core::request::Request;
use emotion_llama_core::voice::VoiceHead;
use emotion_llama_core::{npy, CancelToken};
use safetensors::tensor::{serialize, Dtype, TensorView};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Width of the language model whose adapter is fuzzed, as in the target.
const HIDDEN: usize = 4;
/// What the files of a pack hold in the target.
const PACK_FILE: &[u8] = b"0123456789abcdef";

struct Seed {
    target: &'static str,
    name: String,
    bytes: Vec<u8>,
}

fn seed(target: &'static str, name: &str, bytes: impl Into<Vec<u8>>) -> Seed {
    Seed { target, name: name.into(), bytes: bytes.into() }
}

/// All but media, whose bytes depend on the version of FFmpeg.
fn seeds() -> Vec<Seed> {
    let mut seeds = vec![
        seed("request_json", "least", r#"{"path":"a.mp4"}"#),
        seed(
            "request_json",
            "all",
            r#"{"path":"a.mp4","task":"reason","prompt":"Why?","transcript":"none","labels":["a","b"],"frame":1.5,
"prompt_path":"demo","features":{"mae":[1],"videomae":[0.5],"hubert":[-1e3]},"max_new_tokens":7,"temperature":0.5,"top_p":0.8,"top_k":3,
"repetition_penalty":1.2,"seed":9,"greedy":true,"limits":{"max_duration_s":10,"max_pixels":9,"max_streams":1,"max_bytes":100}}"#,
        ),
        seed("request_json", "named_frame", r#"{"frame":"middle","transcript":"Well, well."}"#),
        seed("evaluation_lists", "annotations", "sample_00000007 120 happy 2.5\nsample_00000009 33 sad\n"),
        seed("evaluation_lists", "transcripts.csv", "name,chinese,sentence\na,x,\"Well, \"\"so\"\"\"\nb,y,No.\n"),
        seed("tokenizer_files", "tokenizer.model", sentencepiece_common::model_file(&vocabulary())),
        seed("tokenizer_files", "tokenizer.json", sentencepiece_common::json_file(&sentencepiece_common::small_json())),
        seed("voice_head", "prosody", voice_head()),
        seed("face_nets", "every_operation", face_nets()),
        seed("adapter", "cues", adapter(&["projector.prosody.0", "projector.prosody.2"])),
        seed("speech", "weights", speech()),
        seed("speech", "tokenizer.json", speech_tokenizer()),
        seed("gguf_llama", "sentencepiece", llama(false)),
        seed("gguf_llama", "byte_level", llama(true)),
    ];
    seeds.push(seed("adapter", "published", adapter(&PUBLISHED)));
    seeds.extend(server_answers());
    for (name, manifest) in manifests() {
        seeds.push(seed("pack_manifest", name, manifest));
    }
    seeds.extend(checkpoints());
    seeds.extend(arrays());
    seeds.extend(encoders());
    seeds
}

/// Bytes 0x00 to 0xff, marks, and a few pieces.
fn vocabulary() -> Vocabulary {
    sentencepiece_common::small()
}

const PUBLISHED: [&str; 5] =
    ["llama_proj", "cls_tk_llama_proj", "feats_llama_proj1", "feats_llama_proj2", "feats_llama_proj3"];

/// A safetensors file of `(name, shape)` in f32 or f16, all values 0.25.
fn safetensors(tensors: &[(String, Vec<usize>)], dtype: Dtype, metadata: &[(&str, String)]) -> Vec<u8> {
    let value: &[u8] = if dtype == Dtype::F16 { &[0, 0x34] } else { &[0, 0, 0x80, 0x3e] };
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, shape)| value.repeat(shape.iter().product())).collect();
    let views = tensors
        .iter()
        .zip(&data)
        .map(|((name, shape), data)| (name.clone(), TensorView::new(dtype, shape.clone(), data).expect("a tensor")));
    // One entry at most: the order of several would differ from run to run.
    let metadata: HashMap<String, String> = metadata.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
    serialize(views, Some(metadata)).expect("a file")
}

/// As [`safetensors`], for several entries of metadata in their order.
fn safetensors_in_order(tensors: &[(&str, Vec<usize>)], dtype: &str, metadata: &serde_json::Value) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), metadata.clone());
    let mut end = 0;
    for (name, shape) in tensors {
        let start = end;
        end += shape.iter().product::<usize>() * if dtype == "F16" { 2 } else { 4 };
        header.insert(name.to_string(), json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]}));
    }
    checkpoint_common::safetensors(&serde_json::Value::Object(header).to_string(), end)
}

fn adapter(names: &[&str]) -> Vec<u8> {
    let width = Features::default().vector("prosody").expect("a feature").len();
    let mut tensors = Vec::new();
    for name in names {
        let (input, output) = match *name {
            "projector.prosody.0" => (width, 3),
            "projector.prosody.2" => (3, HIDDEN),
            "llama_proj" => (4 * 2, HIDDEN),
            _ => (2, HIDDEN),
        };
        tensors.push((format!("{name}.weight"), vec![output, input]));
        tensors.push((format!("{name}.bias"), vec![output]));
    }
    for (kind, out) in [("q", 4), ("v", 2)] {
        tensors.push((format!("lora.1.{kind}.a"), vec![2, HIDDEN]));
        tensors.push((format!("lora.1.{kind}.b"), vec![out, 2]));
    }
    safetensors(&tensors, Dtype::F32, &[])
}

fn voice_head() -> Vec<u8> {
    let norm = json!({"mean": 0.5, "sd": 2.0});
    let norms = json!({
        "registers": [{"name": "male", "pitch_hz": 110.0, "sd_st": 3.0, "prior": 0.5},
            {"name": "female", "pitch_hz": 200.0, "sd_st": 3.0, "prior": 0.5}],
        "pitch": norm, "pitch_range": norm, "energy": norm, "rate": norm, "brightness": norm,
    });
    let metadata = json!({"format": "emotion-llama-voice-1", "norms": norms.to_string(),
        "emotion.inputs": "prosody", "register.inputs": "prosody"});
    let tensors = [("emotion", 7), ("register", 1)].map(|(name, outputs)| {
        [
            (format!("{name}.shift"), vec![5]),
            (format!("{name}.scale"), vec![5]),
            (format!("{name}.weight"), vec![outputs, 5]),
            (format!("{name}.bias"), vec![outputs]),
        ]
    });
    let tensors: Vec<(&str, Vec<usize>)> =
        tensors.iter().flatten().map(|(name, shape)| (name.as_str(), shape.clone())).collect();
    safetensors_in_order(&tensors, "F32", &metadata)
}

/// The nets "a", of every operation on pictures, and "b", of those on rows.
fn face_nets() -> Vec<u8> {
    let pictures = json!({"input": [null, null, 3], "outputs": ["i", "c"], "labels": ["x", "y"], "anchors": "d", "ops": [
        {"op": "pad", "x": ["input"], "y": "a", "pads": [1, 1, 1, 1, 0, 0]},
        {"op": "conv2d", "x": ["a"], "y": "b", "w": "w", "b": "v", "stride": [2, 2], "pad": "same", "act": "relu"},
        {"op": "depthwise", "x": ["b"], "y": "c", "w": "p", "stride": [1, 1], "pad": [1, 1, 1, 1], "act": "relu6"},
        {"op": "add", "x": ["b", "c"], "y": "d", "act": "leaky"},
        {"op": "affine", "x": ["d"], "y": "e", "scale": [1, 2], "shift": [0, 0.5]},
        {"op": "max_pool", "x": ["e"], "y": "f", "size": [2, 2], "stride": [1, 1], "pad": "valid"},
        {"op": "avg_pool", "x": ["f"], "y": "g", "size": [2, 2], "stride": [1, 1], "pad": "same"},
        {"op": "mean", "x": ["g"], "y": "h"},
        {"op": "dense", "x": ["h"], "y": "i", "w": "d"},
    ]});
    let rows = json!({"input": [2, 2, 1], "outputs": ["d"], "ops": [
        {"op": "reshape", "x": ["input"], "y": "a", "shape": [-1, 2]},
        {"op": "concat", "x": ["a", "a"], "y": "b", "axis": 1},
        {"op": "act", "x": ["b"], "y": "c", "act": "relu"},
        {"op": "softmax", "x": ["c"], "y": "d"},
    ]});
    let nets = json!({"version": 1, "nets": {"a": pictures, "b": rows}}).to_string();
    let tensors = [("w", vec![3, 3, 3, 2]), ("v", vec![2]), ("p", vec![3, 3, 2]), ("d", vec![2, 4])];
    safetensors(&tensors.map(|(name, shape)| (name.into(), shape)), Dtype::F32, &[("nets", nets)])
}

/// The smaller tensors of the speech model; the reader stops at those that are not there.
fn speech() -> Vec<u8> {
    let tensors =
        [("decoder.embedding", vec![51_864, 0]), ("encoder.conv1.bias", vec![384]), ("decoder.norm.weight", vec![384])];
    let metadata = json!({"suppress_ids": "[1,2]", "suppress_ids_begin": "[220]"});
    safetensors_in_order(&tensors, "F16", &metadata)
}

fn speech_tokenizer() -> Vec<u8> {
    let added = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>", "<|nocaptions|>"];
    let added: Vec<_> = added.iter().zip(2..).map(|(content, id)| json!({"id": id, "content": content})).collect();
    serde_json::to_vec(&json!({"model": {"vocab": {"a": 0, "Ġb": 1}}, "added_tokens": added})).expect("JSON")
}

/// The header of a language model with one layer; the target puts zeros after it.
fn llama(byte_level: bool) -> Vec<u8> {
    let mut header = GgufHeader::new("llama");
    for (key, value) in [
        ("embedding_length", 32),
        ("feed_forward_length", 32),
        ("block_count", 1),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
        ("context_length", 16),
    ] {
        header.uint(&format!("llama.{key}"), value).expect("metadata");
    }
    header.float("llama.attention.layer_norm_rms_epsilon", 1e-5);
    let mut tokens = 4;
    if byte_level {
        header.text("tokenizer.ggml.model", "gpt2");
        header.text("tokenizer.ggml.pre", "smollm");
        header.text_array("tokenizer.ggml.tokens", &["<s>", "a", "b", "ab"].map(String::from));
        header.text_array("tokenizer.ggml.merges", &["a b".into()]);
        header.int_array("tokenizer.ggml.token_type", &[3, 1, 1, 1]);
        header.uint("tokenizer.ggml.bos_token_id", 0).expect("metadata");
        header.uint("tokenizer.ggml.eos_token_id", 0).expect("metadata");
    } else {
        tokens = vocabulary().pieces.len();
        vocabulary().describe(&mut header).expect("a vocabulary");
    }
    let mut tensor = |name: &str, shape: &[usize], kind| header.tensor(name, shape, kind).expect("a tensor");
    tensor("token_embd.weight", &[tokens, 32], WeightType::Q8_0);
    tensor("output_norm.weight", &[32], WeightType::F32);
    for name in ["attn_norm", "ffn_norm"] {
        tensor(&format!("blk.0.{name}.weight"), &[32], WeightType::F32);
    }
    for (name, rows) in [("q", 32), ("k", 16), ("v", 16), ("output", 32)] {
        tensor(&format!("blk.0.attn_{name}.weight"), &[rows, 32], WeightType::Q4_0);
    }
    for name in ["gate", "up", "down"] {
        tensor(&format!("blk.0.ffn_{name}.weight"), &[32, 32], WeightType::F16);
    }
    header.encode()
}

fn manifests() -> [(&'static str, Vec<u8>); 2] {
    let files = |names: &[&str]| {
        let sum: String = Sha256::digest(PACK_FILE).iter().map(|byte| format!("{byte:02x}")).collect();
        let entry =
            json!({"bytes": PACK_FILE.len(), "sha256": sum, "licence": "Apache-2.0", "source": "made for fuzzing"});
        names.iter().map(|name| (name.to_string(), entry.clone())).collect::<serde_json::Map<_, _>>()
    };
    let task = json!({"tag": "[emotion]", "question": "Which?", "lead_in": "", "label_only": true});
    let llm = json!({"weights": "llm.gguf", "adapter": "adapter.safetensors", "lora_rank": 2, "lora_alpha": 4});
    let head = |architecture: &str| {
        json!({"format_version": 2, "name": "a", "version": "1", "description": "x", "labels": ["b", "c"],
            "architecture": architecture, "llm": llm})
    };
    let mut cues = head("cues");
    cues["features"] = json!([{"name": "face", "width": 3, "tokens": 1}]);
    cues["prompt"] = json!({"template": "<s>{face}{words}{request}", "words": "\"{transcript}\"\n", "choose": " Of {labels}.",
        "label_prefix": " ", "answer_end": "</s>", "emotion": task, "reason": task});
    cues["files"] = files(&["llm.gguf", "adapter.safetensors"]).into();
    let mut published = head("emotion-llama");
    for (key, value) in [
        ("eva", json!("eva.gguf")),
        ("hubert", json!("hubert.gguf")),
        ("perception", json!(false)),
        ("reasons", json!(true)),
        ("made_of", json!({"llama": "random"})),
        ("files", files(&["llm.gguf", "adapter.safetensors", "eva.gguf", "hubert.gguf"]).into()),
    ] {
        published[key] = value;
    }
    [("cues", cues), ("published", published)].map(|(name, value)| (name, value.to_string().into_bytes()))
}

fn checkpoints() -> Vec<Seed> {
    use checkpoint_common::{op, torch_file, Pickle};
    let pickle = Pickle::new()
        .op(op::EMPTY_DICT)
        .put(0)
        .op(op::MARK)
        .text("model")
        .op(op::EMPTY_DICT)
        .op(op::MARK)
        .text("weight")
        .tensor("0", 16, 4, &[3, 2], &[1, 3])
        .text("bias")
        .tensor("1", 4, 0, &[4], &[1])
        .op(op::SETITEMS)
        .text("epoch")
        .int(7)
        .text("args")
        .global("argparse", "Namespace")
        .op(op::EMPTY_TUPLE)
        .op(op::NEWOBJ)
        .op(op::EMPTY_DICT)
        .text("lora_r")
        .int(64)
        .op(op::SETITEM)
        .op(op::BUILD)
        .op(op::SETITEMS)
        .stop();
    let protocol0 = b"(dp0\nS'a'\np1\n(lp2\nI1\naF0.5\naVx\\u0041\naI01\nas.".to_vec();
    let one = Pickle::new().op(op::EMPTY_DICT).text("w").tensor("0", 16, 0, &[4, 4], &[4, 1]).op(op::SETITEM).stop();
    let data = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoint").join(name);
        std::fs::read(path).expect("a fixture")
    };
    let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"I64","shape":[],"data_offsets":[12,20]},"c":{"dtype":"BOOL","shape":[2,0],"data_offsets":[20,20]}}"#;
    let index = r#"{"metadata":{"total_size":32},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#;
    vec![
        seed("torch_pickle", "state_dict", pickle),
        seed("torch_pickle", "protocol0", protocol0),
        seed("torch_file", "small.pth", torch_file(&one, 64)),
        seed("torch_file", "legacy.pth", data("legacy.pth")),
        seed("safetensors_checkpoint", "three", checkpoint_common::safetensors(header, 20)),
        seed("checkpoint_index", "two_parts", index),
    ]
}

/// What servers answer; the first byte tells the target which of them it is.
fn server_answers() -> Vec<Seed> {
    let analysis = serde_json::to_string(&Analysis::default()).expect("JSON");
    let events = format!(
        "event: stage\ndata: {{\"stage\":\"decode\"}}\n\ndata: {{\"type\":\"text\",\"text\":\"a\"}}\n\n: x\r\nevent: result\ndata: {{\"analysis\":{analysis}}}\n\n"
    );
    let gradio = r#"{"version":"4.44.1","dependencies":[{"api_name":"predict","inputs":[0,1]}]}"#;
    let raw =
        "HTTP/1.1 200 OK\r\nx-api-version: 1.0\r\ntransfer-encoding: chunked\r\n\r\nb\r\n{\"data\":[]}\r\n0\r\n\r\n";
    let models = r#"{"data":[{"id":"a","version":"1","labels":["b","c"],"tasks":["emotion"],"devices":["cpu"]}]}"#;
    let error = r#"{"error":"unknown task","code":"invalid_argument","details":{"field":"task"}}"#;
    [
        ("models", 0, models),
        ("analysis", 1, analysis.as_str()),
        ("events", 2, events.as_str()),
        ("error", 3, error),
        ("gradio_config", 4, gradio),
        ("gradio_answer", 5, r#"{"data":["The person is angry."]}"#),
        ("http", 6, raw),
    ]
    .map(|(name, kind, body)| seed("server_answers", name, [&[kind][..], body.as_bytes()].concat()))
    .into()
}

fn arrays() -> Vec<Seed> {
    let array = |header: &str, version: u8, values: &[u8]| {
        let length = (header.len() as u32).to_le_bytes();
        let length = if version == 1 { &length[..2] } else { &length[..] };
        [&[2][..], b"\x93NUMPY", &[version, 0], length, header.as_bytes(), values].concat()
    };
    let pair = [1.5f32.to_le_bytes(), (-2f32).to_le_bytes()].concat();
    vec![
        seed("npy", "f4", array("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", 1, &pair)),
        seed("npy", "f2_2", array("{'descr': '<f2', 'fortran_order': True, 'shape': (1, 2), }\n", 2, &pair[..4])),
    ]
}

/// The beginnings of the encoders' files in a synthetic pack; the target puts zeros after them.
fn encoders() -> Vec<Seed> {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("pack");
    let options =
        SynthOptions { shape: SynthShape::Tiny, quantization: Quantization::Q8_0, perception: None, seed: 1, out };
    let pack = synthesize(&options, &mut |_| {}, &CancelToken::new()).expect("a pack");
    ["eva", "hubert", "mae", "videomae"]
        .map(|name| {
            let path = pack.join(name).with_extension("gguf");
            let bytes = std::fs::read(&path).expect("a file of the pack");
            let gguf = Gguf::open(&path).expect("a GGUF file");
            // Weights begin where the header ends.
            let first = gguf.tensor_names().filter_map(|name| gguf.find_tensor(name)).map(|tensor| tensor.bytes.start);
            seed("gguf_encoders", name, &bytes[..first.min().expect("a tensor")])
        })
        .into()
}

/// Clips and pictures of a few kB.
fn media() -> Vec<Seed> {
    let files = media_files::Files::new();
    let video = ["-f", "lavfi", "-i", "testsrc2=size=32x32:rate=5:duration=0.6"];
    let sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=8000:duration=0.3"];
    let mut seeds = Vec::new();
    let mut make = |name: &str, inputs: &[&str], options: &[&str]| {
        let path = files.make(name, &[inputs, options].concat());
        seeds.push(seed("media", name, std::fs::read(path).expect("a file")));
    };
    let both = [&video[..], &sound[..]].concat();
    make("h263_adpcm.flv", &both, &["-s", "128x96", "-c:v", "flv", "-c:a", "adpcm_swf", "-ar", "11025"]);
    make("mpeg4_aac.mp4", &both, &["-c:v", "mpeg4", "-c:a", "aac"]);
    make("mjpeg_pcm.mkv", &both, &["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_u8"]);
    make("mpeg1_mp2.ts", &both, &["-r", "25", "-c:v", "mpeg1video", "-c:a", "mp2", "-ar", "16000"]);
    make("rawvideo.avi", &video, &["-c:v", "rawvideo", "-s", "16x16", "-r", "2"]);
    make("animation.gif", &video, &[]);
    make("picture.png", &video, &["-frames:v", "1"]);
    make("picture.jpg", &video, &["-frames:v", "1", "-pix_fmt", "yuvj420p"]);
    make("picture.bmp", &video, &["-frames:v", "1", "-s", "16x16"]);
    make("pcm.wav", &sound, &["-t", "0.1"]);
    make("sound.flac", &sound, &["-t", "0.1"]);
    seeds
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

/// Opens the seed as its target does, with room behind it where the target makes some.
fn accept(seed: &Seed) {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = seed.bytes.as_slice();
    let write = |name: &str, length: u64| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        if length > 0 {
            std::fs::File::options().write(true).open(&path).and_then(|file| file.set_len(length)).expect("room");
        }
        path
    };
    let done = match seed.target {
        "request_json" => {
            let clip = (!seed.bytes.starts_with(b"{\"path")).then(|| Source::from(&b"clip"[..]));
            Request::from_json(bytes, clip).map(drop)
        }
        "pack_manifest" => Manifest::parse(bytes).map(drop),
        "torch_file" | "safetensors_checkpoint" => Checkpoint::open(&write("checkpoint", 0)).map(drop),
        "npy" => npy::parse(&bytes[1..], bytes[0].into()).map(drop),
        "voice_head" => {
            write("voice.safetensors", 0);
            VoiceHead::open(folder.path()).map(drop)
        }
        "face_nets" => NetFile::from_bytes(bytes.to_vec(), Path::new("face")).and_then(|file| {
            file.anchors("a")?;
            file.net("a").and(file.net("b")).map(drop)
        }),
        "adapter" => {
            let path = write("adapter.safetensors", 0);
            let width = Features::default().vector("prosody").expect("a feature").len();
            let prosody = FeatureSpec { name: "prosody".into(), width, tokens: 1 };
            match seed.name.as_str() {
                "cues" => CueProjector::open(&path, &[prosody], HIDDEN).map(drop),
                _ => PublishedProjector::open(&path, HIDDEN).map(drop),
            }
        }
        "gguf_llama" => Gguf::open(&write("llm.gguf", 1 << 18)).and_then(|gguf| {
            Tokenizer::from_gguf(&gguf)?;
            Llama::load(&gguf).map(drop)
        }),
        "gguf_encoders" => {
            let path = write("encoder.gguf", 1 << 21);
            match seed.name.as_str() {
                "eva" => EvaViT::open(&path).map(drop),
                "hubert" => Hubert::open(&path).map(drop),
                "mae" => Mae::open(&path).map(drop),
                _ => VideoMae::open(&path).map(drop),
            }
        }
        "tokenizer_files" if seed.name.ends_with("json") => Vocabulary::from_tokenizer_json(bytes).map(drop),
        "tokenizer_files" => Vocabulary::from_sentencepiece(bytes).map(drop),
        "media" => {
            decode(&Source::from(bytes), &Sampling::default(), &Limits::default(), &CancelToken::new()).map(drop)
        }
        // What these hold is one part of several, which the targets put together.
        "torch_pickle" | "checkpoint_index" | "speech" | "evaluation_lists" | "server_answers" => Ok(()),
        other => panic!("no way to open a seed of {other}"),
    };
    done.unwrap_or_else(|error| panic!("{}/{}: {error}", seed.target, seed.name));
}

#[test]
fn seeds_are_what_the_writers_write() {
    let write = std::env::var_os("EMOTION_LLAMA_WRITE_CORPUS").is_some();
    if write {
        for Seed { target, name, bytes } in seeds().into_iter().chain(media()) {
            let folder = corpus().join(target);
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(folder.join(name), bytes).expect("written");
        }
    }
    for Seed { target, name, bytes } in seeds() {
        let found = std::fs::read(corpus().join(target).join(&name)).expect("EMOTION_LLAMA_WRITE_CORPUS=1 writes it");
        assert!(
            found == bytes,
            "{target}/{name} is not what is written now; set EMOTION_LLAMA_WRITE_CORPUS=1 to renew it"
        );
    }
}

#[test]
fn every_target_has_seeds_and_the_readers_take_them() {
    let targets = std::fs::read_dir(corpus().join("../fuzz_targets")).expect("the targets");
    for target in targets {
        let target = target.expect("a target").path().with_extension("");
        let name = target.file_name().expect("a name").to_string_lossy().into_owned();
        let target: &'static str = name.clone().leak();
        let seeds: Vec<PathBuf> = std::fs::read_dir(corpus().join(target))
            .unwrap_or_else(|error| panic!("{name} has no seeds: {error}"))
            .map(|file| file.expect("a seed").path())
            .collect();
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for path in seeds {
            let bytes = std::fs::read(&path).expect("a seed");
            assert!(bytes.len() < 1 << 15, "{} is larger than a seed has to be", path.display());
            accept(&seed(target, &path.file_name().expect("a name").to_string_lossy(), bytes));
        }
    }
}
