//! Files that are each of the right kind but do not belong together, or are not whole.

use std::fs;

use emotion_llama_core::convert::Quantization;
use serde_json::json;

use super::{edit, says, Bench, Tensors};

const NOT_TOGETHER: &str = "the files do not belong together";
const A0: &str = "layers.0.self_attn.q_proj.lora_A.weight";
const B0: &str = "layers.0.self_attn.q_proj.lora_B.weight";

#[test]
fn a_lora_that_does_not_fit_is_named() {
    let Some(bench) = Bench::new() else { return };
    let refused = |change: &dyn Fn(&mut Tensors), name: &str, parts: &[&str]| {
        let mut tensors = bench.checkpoint();
        change(&mut tensors);
        let path = tensors.safetensors(&bench.path("wrong.safetensors"));
        let error = bench.refused(|options| options.checkpoint.clone_from(&path));
        says(&error, name, &[&["wrong.safetensors"], parts].concat());
    };
    let renamed = |tensors: &mut Tensors, from: &str, to: &str| tensors.rename(|name| name.replace(from, to));
    refused(
        &|tensors| renamed(tensors, "layers.1.self_attn.q_proj", "layers.1.self_attn.k_proj"),
        "invalid_argument",
        &["layers.1.self_attn.k_proj", "adapts another projection than q and v"],
    );
    refused(
        &|tensors| renamed(tensors, "layers.2.self_attn", "layers.3.self_attn"),
        "invalid_argument",
        &["layers.3.self_attn", "adapts layer 3, the language model has 3", NOT_TOGETHER],
    );
    refused(
        &|tensors| tensors.remove(B0),
        "invalid_argument",
        &["the LoRA of q_proj in layer 0 has only one of its two matrices", "cut short"],
    );
    refused(
        &|tensors| tensors.remove("layers.2.self_attn.v_proj.lora"),
        "invalid_argument",
        &["has no LoRA of v_proj in layer 2 of 3", "cut short"],
    );
    refused(&|tensors| tensors.remove(".lora_"), "invalid_argument", &["holds no LoRA"]);
    refused(
        &|tensors| {
            tensors.resize("lora_A.weight", 0, 4);
            tensors.resize("lora_B.weight", 1, 4);
        },
        "invalid_argument",
        &["its LoRA is of rank 4, its configuration says 8", NOT_TOGETHER],
    );
    refused(&|tensors| tensors.resize(A0, 0, 4), "invalid_argument", &["lora_", "expected", NOT_TOGETHER]);
    refused(
        &|tensors| tensors.resize("lora_A.weight", 1, 80),
        "invalid_argument",
        &["lora_A.weight", "[8, 80], expected [8, 64]", NOT_TOGETHER],
    );
    refused(
        &|tensors| tensors.get_mut(B0).2[7] = f32::NAN,
        "invalid_argument",
        &[B0, "holds a value that is not a number"],
    );
    refused(
        &|tensors| tensors.get_mut("feats_llama_proj2.weight").2[0] = f32::INFINITY,
        "invalid_argument",
        &["feats_llama_proj2.weight", "holds a value that is not a number"],
    );
}

/// The rank that the training script saved counts more than a file beside the checkpoint.
#[test]
fn the_saved_configuration_is_held_against_the_lora() {
    let Some(bench) = Bench::new() else { return };
    let path = bench.checkpoint().torch(&bench.path("saved.pth"), &[("lora_r", 64), ("lora_alpha", 16)], "a.txt");
    let error = bench.refused(|options| options.checkpoint.clone_from(&path));
    says(&error, "invalid_argument", &["saved.pth: its LoRA is of rank 8, its configuration says 64", NOT_TOGETHER]);
}

/// A value that is not a number becomes part of the weights where the LoRA is merged, and is refused there too.
#[test]
fn values_that_are_no_numbers_are_refused_wherever_they_are() {
    let Some(bench) = Bench::new() else { return };
    let mut tensors = bench.checkpoint();
    tensors.get_mut(B0).2[7] = f32::NAN;
    let path = tensors.safetensors(&bench.path("nan.safetensors"));
    let error = bench.refused(|options| {
        options.checkpoint.clone_from(&path);
        options.merge_lora = true;
    });
    says(&error, "invalid_argument", &["nan.safetensors", B0, "holds a value that is not a number"]);

    let mut eva = Tensors::read(&bench.theirs("eva_vit_g_tiny.pth"));
    eva.get_mut("blocks.1.mlp.fc1.weight").2[100] = f32::INFINITY;
    let path = eva.safetensors(&bench.path("inf.safetensors"));
    for quantization in [Quantization::F32, Quantization::Q8_0] {
        let error = bench.refused(|options| {
            options.eva.clone_from(&path);
            options.quantization = quantization;
        });
        says(&error, "invalid_argument", &["eva.gguf", "blocks.1.mlp.fc1.weight", "must be finite"]);
        fs::remove_dir_all(bench.path("refused.partial")).unwrap();
    }
}

#[test]
fn projectors_of_another_width_are_named_with_their_encoder() {
    let Some(bench) = Bench::new() else { return };
    let cases: [(&str, usize, usize, &[&str]); 6] = [
        ("feats_llama_proj1.weight", 1, 40, &["takes 40 values, the mae encoder gives 48"]),
        ("feats_llama_proj2.weight", 1, 40, &["takes 40 values, the videomae encoder gives 48"]),
        ("feats_llama_proj3.weight", 1, 1024, &["takes 1024 values, the hubert encoder gives 48"]),
        (".llama_proj.weight", 1, 5632, &["[64, 5632], expected [64, 352]"]),
        ("cls_tk_llama_proj.weight", 1, 1408, &["[64, 1408], expected [64, 88]"]),
        ("cls_tk_llama_proj.bias", 0, 4096, &["[4096], expected [64]"]),
    ];
    for (name, axis, extent, parts) in cases {
        let mut tensors = bench.checkpoint();
        tensors.rename(|name| format!("model.{name}"));
        tensors.resize(name, axis, extent);
        let path = tensors.safetensors(&bench.path("wrong.safetensors"));
        let error = bench.refused(|options| options.checkpoint.clone_from(&path));
        let bare = name.trim_start_matches('.');
        says(&error, "invalid_argument", &[&["wrong.safetensors", bare, NOT_TOGETHER], parts].concat());
    }
}

#[test]
fn encoders_that_are_not_whole_are_refused() {
    let Some(bench) = Bench::new() else { return };
    let eva = || Tensors::read(&bench.theirs("eva_vit_g_tiny.pth"));
    let refused = |tensors: Tensors, parts: &[&str]| {
        let path = tensors.safetensors(&bench.path("eva.safetensors"));
        let error = bench.refused(|options| options.eva.clone_from(&path));
        says(&error, "invalid_argument", &[&["eva.safetensors"], parts].concat());
    };
    let mut short = eva();
    short.remove("blocks.3.");
    short.remove("blocks.2.");
    refused(short, &["has 2 whole blocks, 3 are needed", "cut short"]);
    let mut missing = eva();
    missing.remove("blocks.1.attn.proj.bias");
    refused(missing, &["\"blocks.1.attn.proj.bias\" is missing", "cut short"]);
    let mut bias = eva();
    bias.remove("blocks.1.attn.v_bias");
    refused(bias, &["\"blocks.1.attn.v_bias\" is missing"]);
    let mut positions = eva();
    positions.resize("pos_embed", 1, 256);
    refused(positions, &["\"pos_embed\" is [1, 256, 88]", "a square of others"]);

    let mut mae = Tensors::read(&bench.theirs("mae_tiny.pth"));
    mae.0.retain(|(name, ..)| name.starts_with("model.") && name != "model.norm.bias");
    let path = mae.safetensors(&bench.path("mae.safetensors"));
    let error = bench.refused(|options| options.mae = Some(path));
    says(&error, "invalid_argument", &["mae.safetensors", "\"norm.bias\" is missing"]);

    let folder = bench.folder("hubert", "chinese-hubert-tiny", &["pytorch_model.parametrizations.bin"]);
    edit(&folder.join("config.json"), |config| config["num_hidden_layers"] = json!(24));
    let error = bench.refused(|options| options.hubert.clone_from(&folder));
    says(&error, "invalid_argument", &["hubert", "has 3 whole layers, its configuration says 24", "cut short"]);
    edit(&folder.join("config.json"), |config| config["num_hidden_layers"] = json!(2));
    let error = bench.refused(|options| options.hubert.clone_from(&folder));
    says(&error, "invalid_argument", &["hubert", "has 3 layers, its configuration says 2", NOT_TOGETHER]);
    for key in ["num_conv_pos_embedding_groups", "num_attention_heads", "hidden_size"] {
        edit(&folder.join("config.json"), |config| config[key] = json!(0));
        let error = bench.refused(|options| options.hubert.clone_from(&folder));
        says(&error, "invalid_argument", &["config.json", &format!("{key} is 0")]);
        edit(&folder.join("config.json"), |config| config[key] = json!(48));
    }
}

#[test]
fn a_language_model_that_is_not_whole_or_another_one_is_refused() {
    let Some(bench) = Bench::new() else { return };
    const LLAMA: &str = "Llama-2-tiny-chat-hf";
    let refused = |name: &str, but: &[&str], kind: &str, parts: &[&str], change: &dyn Fn(&std::path::Path)| {
        let folder = bench.folder(name, LLAMA, but);
        change(&folder);
        let error = bench.refused(|options| options.llama.clone_from(&folder));
        says(&error, kind, &[&[name], parts].concat());
    };
    let nothing = |_: &std::path::Path| {};
    let shard = "pytorch_model-00002-of-00002.bin";
    refused("no-shard", &[shard], "not_found", &[shard], &nothing);
    let tokenizers = ["tokenizer.model", "tokenizer.json"];
    refused("no-tokenizer", &tokenizers, "not_found", &["neither tokenizer.model nor tokenizer.json"], &nothing);
    refused("no-config", &["config.json"], "not_found", &["config.json", "--llama wants"], &nothing);
    let config = |key: &'static str, value: serde_json::Value| {
        move |folder: &std::path::Path| {
            edit(&folder.join("config.json"), |config| config[key] = value.clone());
        }
    };
    let bad = "invalid_argument";
    refused("qwen", &[], bad, &["is a \"qwen2\" model", "\"llama\""], &config("model_type", json!("qwen2")));
    let scaling = json!({"type": "linear", "factor": 2.0});
    refused("scaled", &[], bad, &["config.json", "rotary scaling"], &config("rope_scaling", scaling));
    let heads = config("num_attention_heads", json!(6));
    refused("heads", &[], bad, &["config.json", "6 heads", "do not fit a width of 64"], &heads);
    let keys = config("num_key_value_heads", json!(2));
    refused("keys", &[], bad, &["k_proj.weight\" is [64, 64], expected [32, 64]", NOT_TOGETHER], &keys);
    let layers = config("num_hidden_layers", json!(32));
    refused("deep", &[], bad, &["has 3 whole layers, its configuration says 32", "cut short"], &layers);
    let layers = config("num_hidden_layers", json!(2));
    refused("flat", &[], bad, &["has 3 layers, its configuration says 2", NOT_TOGETHER], &layers);
    refused("wide", &[], bad, &["expected", NOT_TOGETHER], &config("intermediate_size", json!(172)));
    refused("odd", &[], bad, &["config.json", "its heads are 15 wide"], &config("head_dim", json!(15)));
    let huge = config("head_dim", json!(1u64 << 40));
    refused("huge", &[], bad, &["config.json", "head_dim is 1099511627776"], &huge);
    refused("text", &[], bad, &["config.json", "is not a LLaMA's configuration"], &|folder| {
        fs::write(folder.join("config.json"), "llama").unwrap();
    });
    refused(
        "tokenizer",
        &["tokenizer.model"],
        bad,
        &["its tokenizer has 31999 tokens, its embedding 32000"],
        &|folder| {
            edit(&folder.join("tokenizer.json"), |json| {
                let vocabulary = json["model"]["vocab"].as_object_mut().unwrap();
                vocabulary.retain(|_, id| *id != json!(31_999));
            });
        },
    );
    refused("biased", &["pytorch_model.bin.index.json"], bad, &["q_proj.bias", "LLaMA-2 has no biases"], &|folder| {
        let mut tensors = Tensors::read(&bench.theirs(LLAMA));
        tensors.0.push(("model.layers.0.self_attn.q_proj.bias".into(), vec![64], vec![0.5; 64]));
        tensors.safetensors(&folder.join("model.safetensors"));
    });
    for (name, missing) in [("no-head", "lm_head.weight"), ("no-layer", "model.layers.1.mlp.up_proj.weight")] {
        refused(name, &["pytorch_model.bin.index.json"], bad, &[missing, "is missing"], &|folder| {
            let mut tensors = Tensors::read(&bench.theirs(LLAMA));
            tensors.remove(missing);
            tensors.safetensors(&folder.join("model.safetensors"));
        });
    }
}

#[test]
fn sizes_that_are_not_in_the_files_must_be_given_and_fit() {
    let Some(bench) = Bench::new() else { return };
    let path = bench.checkpoint().safetensors(&bench.path("Emotion_LLaMA.safetensors"));
    let error = bench.refused(|options| {
        options.checkpoint.clone_from(&path);
        options.config = None;
    });
    let wants = "give them as eva.num_heads in a JSON file with --config or as model_config.json beside the checkpoint";
    says(&error, "invalid_argument", &["eva_vit_g_tiny.pth: 88 wide", "not the published model (1408)", wants]);

    let config = bench.path("sizes.json");
    let refused = |kind: &str, parts: &[&str], change: &dyn Fn(&mut serde_json::Value)| {
        fs::write(&config, fs::read(bench.theirs("model_config.json")).unwrap()).unwrap();
        edit(&config, change);
        let error = bench.refused(|options| options.config = Some(config.clone()));
        says(&error, kind, parts);
    };
    let bad = "invalid_argument";
    refused(bad, &["eva_vit_g_tiny.pth", "7 heads do not divide a width of 88", "eva.num_heads"], &|sizes| {
        sizes["eva"]["num_heads"] = json!(7);
    });
    refused(bad, &["mae_tiny.pth", "0 heads do not divide a width of 48", "mae.num_heads"], &|sizes| {
        sizes["mae"]["num_heads"] = json!(0);
    });
    refused(bad, &["eva_vit_g_tiny.pth", "has 4 whole blocks, 5 are needed"], &|sizes| {
        sizes["eva"]["depth"] = json!(5)
    });
    refused(bad, &["videomae_tiny", "tubelets are 2 frames long"], &|sizes| {
        sizes["videomae"]["tubelet_size"] = json!(4);
    });
    refused(bad, &["sizes.json", "is not a description of sizes"], &|sizes| sizes["eva"]["depth"] = json!("many"));
    refused(bad, &["eva_vit_g_tiny.pth", "450 pixels are not whole patches of 14", "eva.image_size"], &|sizes| {
        sizes["eva"]["image_size"] = json!(450);
    });
    refused(bad, &["eva_vit_g_tiny.pth", "15 × 15 patches, which make no fours", "eva.image_size"], &|sizes| {
        sizes["eva"]["image_size"] = json!(210);
    });
    refused(bad, &["mae_tiny.pth", "has positions for 14 × 14 patches", "320 pixels has 20 × 20"], &|sizes| {
        sizes["mae"]["image_size"] = json!(320);
    });
    refused(bad, &["videomae_tiny", "9 frames are not whole tubelets of 2", "videomae.num_frames"], &|sizes| {
        sizes["videomae"]["num_frames"] = json!(9);
    });
    let error = bench.refused(|options| options.config = Some(bench.path("nowhere.json")));
    says(&error, "not_found", &["nowhere.json"]);
}

#[test]
fn what_is_there_already_is_left_alone() {
    let Some(bench) = Bench::new() else { return };
    let out = bench.path("taken");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("mine"), "mine").unwrap();
    let error = bench.refused(|options| options.out.clone_from(&out));
    says(&error, "invalid_argument", &["taken: exists already; name another --out or remove it"]);
    let partial = bench.path("refused.partial");
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("mine"), "mine").unwrap();
    let error = bench.refused(|_| {});
    says(&error, "invalid_argument", &["refused.partial: is there and was not left by a conversion"]);
    assert!(out.join("mine").exists() && partial.join("mine").exists());
}
