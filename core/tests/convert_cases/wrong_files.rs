//! A file that is another model's is named for what it is, with what its option wants.

use std::fs::{self, File};
use std::path::PathBuf;

use emotion_llama_core::convert::ConvertOptions;
use emotion_llama_core::pack::{ModelSpec, Pack};
use serde_json::json;

use super::{edit, says, Bench, Tensors};
use crate::checkpoint_common::{op, torch_file, Pickle};

/// An input of a conversion.
fn input<'a>(options: &'a mut ConvertOptions, option: &str) -> &'a mut PathBuf {
    match option {
        "--llama" => &mut options.llama,
        "--eva" => &mut options.eva,
        "--checkpoint" => &mut options.checkpoint,
        "--hubert" => &mut options.hubert,
        "--mae" => options.mae.as_mut().unwrap(),
        "--videomae" => options.videomae.as_mut().unwrap(),
        other => panic!("{other}"),
    }
}

const WANTS: [(&str, &str); 6] = [
    ("--llama", "the Hugging Face folder of LLaMA-2-7b-chat"),
    ("--eva", "eva_vit_g.pth"),
    ("--checkpoint", "Emotion-LLaMA's own checkpoint"),
    ("--hubert", "the Hugging Face folder of chinese-hubert-large"),
    ("--mae", "a checkpoint of the MAE encoder"),
    ("--videomae", "a checkpoint of VideoMAE"),
];

/// Every file under every option that it is not for.
#[test]
fn files_under_the_wrong_option_are_named_for_what_they_are() {
    let Some(bench) = Bench::new() else { return };
    let files: [(&str, &[&str], &str); 7] = [
        ("Llama-2-tiny-chat-hf", &["--llama"], "plain LLaMA (3 layers × 64), without Emotion-LLaMA's LoRA"),
        ("eva_vit_g_tiny.pth", &["--eva"], "an EVA vision transformer (4 blocks × 88)"),
        ("Emotion_LLaMA_tiny.pth", &["--checkpoint"], "an Emotion-LLaMA checkpoint"),
        ("chinese-hubert-tiny", &["--hubert"], "a HuBERT or wav2vec 2.0 (3 layers)"),
        ("mae_tiny.pth", &["--mae"], "a MAE or another plain vision transformer (2 blocks × 48)"),
        ("videomae_tiny", &["--videomae"], "a VideoMAE"),
        ("videomae_tiny.pth", &["--videomae"], "a VideoMAE"),
    ];
    let mut cases = 0;
    for (file, of, is) in files {
        for (option, wants) in WANTS.into_iter().filter(|(option, _)| !of.contains(option)) {
            let error = bench.refused(|options| *input(options, option) = bench.theirs(file));
            says(&error, "invalid_argument", &[file, &format!("this is {is}"), &format!("{option} wants {wants}")]);
            cases += 1;
        }
    }
    assert_eq!(cases, 35);
}

/// The published language model by its header: the values are a hole in the file.
#[test]
fn plain_llama_2_7b_is_called_that() {
    let Some(bench) = Bench::new() else { return };
    let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![32_000, 4096])];
    for i in 0..32 {
        tensors.push((format!("model.layers.{i}.self_attn.q_proj.weight"), vec![4096, 4096]));
    }
    tensors.push(("model.norm.weight".to_owned(), vec![4096]));
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in tensors {
        let start = end;
        end += 2 * shape.iter().product::<usize>();
        header.insert(name, json!({"dtype": "F16", "shape": shape, "data_offsets": [start, end]}));
    }
    let header = serde_json::Value::from(header).to_string();
    let path = bench.path("model.safetensors");
    fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len((8 + header.len() + end) as u64).unwrap();
    let error = bench.refused(|options| options.checkpoint.clone_from(&path));
    let is =
        "this is plain LLaMA-2-7b, without Emotion-LLaMA's LoRA; --checkpoint wants Emotion-LLaMA's own checkpoint";
    says(&error, "invalid_argument", &["model.safetensors", is]);
}

#[test]
fn the_stage_before_emotion_llama_is_named() {
    let Some(bench) = Bench::new() else { return };
    let mut tensors = bench.checkpoint();
    for part in ["feats_llama_proj", "cls_tk_llama_proj", "attention."] {
        tensors.remove(part);
    }
    let path = tensors.torch(&bench.path("minigptv2_checkpoint.pth"), &[("lora_r", 8)], "cc_sbu");
    let error = bench.refused(|options| options.checkpoint.clone_from(&path));
    let is = "this is the MiniGPT-v2 stage, not Emotion-LLaMA: it has no projections of face, motion and voice";
    says(&error, "invalid_argument", &["minigptv2_checkpoint.pth", is, "--checkpoint wants Emotion-LLaMA's own"]);
}

#[test]
fn hubert_base_and_other_speech_models_are_named() {
    let Some(bench) = Bench::new() else { return };
    let cases = [
        (
            "chinese-hubert-base",
            json!({"do_stable_layer_norm": false, "feat_extract_norm": "group"}),
            "this is HuBERT-base (3 layers × 48, group norm) where HuBERT-large is needed (24 layers × 1024, layer norm)",
        ),
        ("wav2vec2", json!({"model_type": "wav2vec2"}), "is a \"wav2vec2\" model, a \"hubert\" is needed"),
    ];
    for (name, changes, is) in cases {
        let folder = bench.folder(name, "chinese-hubert-tiny", &["pytorch_model.parametrizations.bin"]);
        edit(&folder.join("config.json"), |config| {
            config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        });
        let error = bench.refused(|options| options.hubert.clone_from(&folder));
        says(&error, "invalid_argument", &[name, "config.json", is]);
    }
    let alone = bench.theirs("chinese-hubert-tiny/pytorch_model.bin");
    let error = bench.refused(|options| options.hubert.clone_from(&alone));
    says(
        &error,
        "invalid_argument",
        &["pytorch_model.bin: is a single file", "the Hugging Face folder", "config.json"],
    );
}

#[test]
fn what_belongs_to_no_part_and_what_is_not_there_is_said() {
    let Some(bench) = Bench::new() else { return };
    let other = Tensors(vec![("bert.pooler.weight".into(), vec![2, 2], vec![0.0; 4])]);
    let other = other.safetensors(&bench.path("bert.safetensors"));
    let empty = Tensors(Vec::new()).safetensors(&bench.path("empty.safetensors"));
    for (option, wants) in WANTS {
        let error = bench.refused(|options| input(options, option).clone_from(&other));
        let is = "this is no model that belongs to Emotion-LLaMA; its first tensors are bert.pooler.weight";
        says(&error, "invalid_argument", &["bert.safetensors", is, &format!("{option} wants {wants}")]);
        let error = bench.refused(|options| input(options, option).clone_from(&empty));
        says(
            &error,
            "invalid_argument",
            &["empty.safetensors: this holds no tensors", &format!("{option} wants {wants}")],
        );
        let error = bench.refused(|options| *input(options, option) = bench.path("nowhere"));
        says(&error, "not_found", &["nowhere"]);
    }
}

/// Whatever the option, a pickle that asks for code is refused before anything of it is done.
#[test]
fn hostile_pickles_are_refused_under_every_option() {
    let Some(bench) = Bench::new() else { return };
    let proof = bench.path("proof");
    let command = format!("touch {}", proof.display());
    let pickle = Pickle::new().global("os", "system").text(&command).op(op::TUPLE1).op(op::REDUCE).stop();
    let file = bench.path("hostile.pth");
    fs::write(&file, torch_file(&pickle, 64)).unwrap();
    for (option, _) in WANTS {
        let error = bench.refused(|options| input(options, option).clone_from(&file));
        says(&error, "pack_invalid", &["hostile.pth", "asks for os.system", "no code runs"]);
    }
    assert!(!proof.exists());
}

#[test]
fn checkpoints_that_classify_only_say_so() {
    let Some(bench) = Bench::new() else { return };
    let tensors = bench.checkpoint();
    // File name, annotations in the saved configuration, and whether reasons were trained.
    let cases = [
        ("stage1.pth", "MERR/MERR_coarse_grained.txt", false),
        ("stage1b.pth", "data/relative_train3_NCEV.txt", false),
        ("stage1c.pth", "MERR-coarse-grained.json", false),
        ("checkpoint_best.pth", "annotations.txt", false),
        ("checkpoint_best_2.pth", "MERR/MERR_fine_grained.txt", true),
        ("Emotion_LLaMA.pth", "annotations.txt", true),
    ];
    for (name, annotations, reasons) in cases {
        let path = tensors.torch(&bench.path(name), &[("lora_r", 8)], annotations);
        let notes = bench.converted(&format!("pack-{name}"), |options| options.checkpoint.clone_from(&path));
        let said = notes.iter().any(|note| note.contains("classifies only: it was trained without reasons"));
        assert_eq!(said, !reasons, "{name}: {notes:?}");
        let pack = Pack::open(&bench.path(&format!("pack-{name}"))).unwrap();
        let ModelSpec::EmotionLlama(spec) = &pack.manifest().model else { panic!("a converted pack") };
        assert_eq!(spec.reasons, reasons, "{name}");
        assert_eq!(spec.made_of["checkpoint"].contains("classifies only"), !reasons, "{:?}", spec.made_of);
    }
}

/// What a file has beside the encoder is known by name; anything else is told.
#[test]
fn tensors_that_no_encoder_has_are_noted() {
    let Some(bench) = Bench::new() else { return };
    assert_eq!(bench.converted("plain", |_| {}), [] as [String; 0]);
    assert_eq!(
        bench.converted("original", |options| options.videomae = Some(bench.theirs("videomae_tiny.pth"))).len(),
        0
    );
    let mut eva = Tensors::read(&bench.theirs("eva_vit_g_tiny.pth"));
    eva.0.push(("blocks.1.gamma_1".into(), vec![88], vec![0.1; 88]));
    eva.0.push(("adapter.weight".into(), vec![88], vec![0.1; 88]));
    let path = eva.safetensors(&bench.path("eva_scaled.safetensors"));
    let notes = bench.converted("scaled", |options| options.eva = path);
    assert_eq!(notes.len(), 1, "{notes:?}");
    let (file, what) = notes[0].split_once(": ").unwrap();
    assert!(file.ends_with("eva_scaled.safetensors"), "{notes:?}");
    assert!(
        what.starts_with("2 of its tensors are not part of the encoder") && notes[0].contains("gamma_1"),
        "{notes:?}"
    );
}

/// Wrapper classes of transformers put the model beside a head.
#[test]
fn models_with_a_head_beside_them_are_read() {
    let Some(bench) = Bench::new() else { return };
    let mut videomae = Tensors::read(&bench.theirs("videomae_tiny/pytorch_model.bin"));
    videomae.rename(|name| format!("videomae.{name}"));
    videomae.0.push(("encoder_to_decoder.weight".into(), vec![2, 2], vec![0.0; 4]));
    videomae.0.push(("decoder.norm.weight".into(), vec![2], vec![1.0; 2]));
    let videomae = videomae.safetensors(&bench.path("videomae.safetensors"));
    let but = ["pytorch_model.bin", "pytorch_model.parametrizations.bin"];
    let folder = bench.folder("hubert-ctc", "chinese-hubert-tiny", &but);
    let mut hubert = Tensors::read(&bench.theirs("chinese-hubert-tiny/pytorch_model.bin"));
    hubert.rename(|name| format!("hubert.{name}"));
    hubert.0.push(("lm_head.weight".into(), vec![2, 2], vec![0.0; 4]));
    hubert.safetensors(&folder.join("model.safetensors"));
    bench.converted("plain", |_| {});
    bench.converted("wrapped", |options| {
        options.videomae = Some(videomae);
        options.hubert = folder;
    });
    for file in ["videomae.gguf", "hubert.gguf"] {
        let read = |pack: &str| fs::read(bench.path(pack).join(file)).unwrap();
        assert!(read("plain") == read("wrapped"), "{file}");
    }
}
