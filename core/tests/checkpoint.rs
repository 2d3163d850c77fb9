//! Checkpoints as torch and Hugging Face write them: names, shapes, dtypes, values, and what stands beside.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use emotion_llama_core::checkpoint::{Checkpoint, Dtype, Object};
use emotion_llama_core::ErrorKind;

/// The small checkpoints of `tests/data/checkpoint/README.md`.
fn fixture(name: &str) -> Checkpoint {
    open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoint").join(name))
}

fn open(path: &Path) -> Checkpoint {
    Checkpoint::open(path).unwrap_or_else(|e| panic!("{e}"))
}

/// A path below `tiny-upstream` of the reference fixtures; `None`, loudly, where there are none.
fn reference(path: &str) -> Option<PathBuf> {
    let named = std::env::var_os("EMOTION_LLAMA_REFERENCE").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference");
    match named {
        Some(folder) => {
            assert!(folder.is_dir(), "EMOTION_LLAMA_REFERENCE names {}, which is no folder", folder.display());
            Some(folder.join("tiny-upstream").join(path))
        }
        None if beside.is_dir() => Some(beside.join("tiny-upstream").join(path)),
        None => {
            // Past the test harness, which holds back what passing tests print.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: no reference fixtures in {}; set EMOTION_LLAMA_REFERENCE",
                beside.display()
            );
            None
        }
    }
}

fn bits(checkpoint: &Checkpoint, name: &str) -> Vec<u32> {
    let values = checkpoint.read(name).unwrap_or_else(|e| panic!("{e}"));
    values.into_iter().map(f32::to_bits).collect()
}

/// Same names (in any order), shapes, dtypes and values.
fn assert_equal(a: &Checkpoint, b: &Checkpoint, renamed: impl Fn(&str) -> String) {
    let mut ours: Vec<String> = a.names().map(&renamed).collect();
    let mut theirs: Vec<&str> = b.names().collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs);
    assert!(!ours.is_empty());
    for name in a.names() {
        let other = renamed(name);
        let (x, y) = (a.tensor(name).expect("named"), b.tensor(&other).expect("named"));
        assert_eq!((&x.shape, x.dtype), (&y.shape, y.dtype), "{name}");
        assert_eq!(bits(a, name), bits(b, &other), "{name}");
    }
}

const LAYOUTS: [(&str, Dtype, &[usize], &[f32]); 20] = [
    ("plain", Dtype::F32, &[3, 4], &[0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11.]),
    ("transposed", Dtype::F32, &[4, 3], &[0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.]),
    ("column", Dtype::F32, &[3], &[1., 5., 9.]),
    ("corner", Dtype::F32, &[2, 2], &[6., 7., 10., 11.]),
    ("scalar", Dtype::F32, &[], &[7.25]),
    ("expanded", Dtype::F32, &[2, 3], &[1., 1., 1., 2., 2., 2.]),
    (
        "permuted",
        Dtype::F32,
        &[4, 2, 3],
        &[0., 4., 8., 12., 16., 20., 1., 5., 9., 13., 17., 21., 2., 6., 10., 14., 18., 22., 3., 7., 11., 15., 19., 23.],
    ),
    ("empty", Dtype::F32, &[0, 3], &[]),
    ("one", Dtype::F32, &[2], &[1.5, -2.5]),
    ("two", Dtype::F32, &[2], &[1.5, -2.5]),
    ("parameter", Dtype::F32, &[1], &[3.]),
    ("f16", Dtype::F16, &[2], &[0.099_975_586, 65504.]),
    ("bf16", Dtype::Bf16, &[2], &[0.100_097_656, -3.004_055_3e38]),
    ("f64", Dtype::F64, &[2], &[0.1, f32::INFINITY]),
    ("i64", Dtype::I64, &[2], &[-1., 16_777_216.]),
    ("i32", Dtype::I32, &[2], &[-2., 3.]),
    ("i16", Dtype::I16, &[2], &[-3., 4.]),
    ("i8", Dtype::I8, &[2], &[-4., 5.]),
    ("u8", Dtype::U8, &[2], &[0., 255.]),
    ("bool", Dtype::Bool, &[2], &[1., 0.]),
];

#[test]
fn every_layout_and_dtype_in_every_container() {
    for file in ["zip.pth", "legacy.pth", "protocol4.pth"] {
        let checkpoint = fixture(file);
        let names: Vec<&str> = checkpoint.names().collect();
        let expected: Vec<String> = LAYOUTS.iter().map(|layout| format!("model.{}", layout.0)).collect();
        assert_eq!(names, expected, "{file}");
        for ((_, dtype, shape, values), name) in LAYOUTS.iter().zip(&expected) {
            let entry = checkpoint.tensor(name).expect("named");
            assert_eq!((entry.dtype, entry.shape.as_slice()), (*dtype, *shape), "{file} {name}");
            assert_eq!(checkpoint.read(name).expect("readable"), *values, "{file} {name}");
        }
        assert_eq!(checkpoint.files(), [checkpoint.path()]);
    }
}

#[test]
fn what_stands_beside_the_tensors() {
    for file in ["zip.pth", "legacy.pth", "protocol4.pth"] {
        let checkpoint = fixture(file);
        let value = |path: &str| checkpoint.value(path).unwrap_or_else(|| panic!("{file} has no {path}"));
        assert_eq!(value("epoch"), &Object::Int(3));
        assert_eq!(value("lr").as_float(), Some(1e-3));
        assert_eq!(value("best"), &Object::None);
        assert_eq!(value("names.1").as_text(), Some("b"));
        assert_eq!(value("5"), &Object::Bool(true));
        assert_eq!(value("model.one"), &Object::Tensor("model.one".into()));
        assert!(matches!(value("args"), Object::Other(class, _) if class == "argparse.Namespace"));
        assert_eq!(value("args.model").as_text(), Some("tiny"));
        assert_eq!(value("args.size"), &Object::List(vec![Object::Int(2), Object::Int(3)]));
        assert_eq!(value("args.raw"), &Object::Bytes(vec![0, 255]));
        assert_eq!(value("args.dtype"), &Object::Other("torch.float16".into(), Box::new(Object::None)));
        assert!(matches!(value("args.big"), Object::Other(class, _) if class == "builtins.int"));
        for missing in ["model.", "mode", "args.nothing", "names.2", "epoch.1"] {
            assert_eq!(checkpoint.value(missing), None, "{missing}");
        }
        let Object::Dict(items) = checkpoint.objects() else {
            panic!("{file} is no dictionary");
        };
        assert_eq!(items[1], (Object::Text("epoch".into()), Object::Int(3)));
    }
}

#[test]
fn a_name_that_is_not_there() {
    let error = fixture("zip.pth").read("model.nothing").expect_err("not there");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("model.nothing"), "{error}");
    let error = Checkpoint::open(Path::new("nowhere.pth")).expect_err("not there");
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[test]
fn may_be_shared_between_threads() {
    fn shared<T: Send + Sync + std::fmt::Debug>(value: T) -> T {
        value
    }
    let checkpoint = shared(fixture("zip.pth"));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(checkpoint.read("model.corner").expect("readable"), [6., 7., 10., 11.]));
        }
    });
}

#[test]
fn two_readings_are_equal() {
    let (a, b) = (fixture("zip.pth"), fixture("zip.pth"));
    assert_eq!(a.objects(), b.objects());
    assert_equal(&a, &b, str::to_owned);
    assert_equal(&a, &fixture("legacy.pth"), str::to_owned);
}

#[test]
fn main_checkpoint_of_the_reference() {
    let Some(path) = reference("Emotion_LLaMA_tiny.pth") else {
        return;
    };
    let checkpoint = open(&path);
    assert_eq!(checkpoint.value("config.model.lora_r"), Some(&Object::Int(8)));
    assert!(checkpoint.value("epoch").is_some());
    assert!(checkpoint.value("scaler").is_some());
    let name = "model.llama_model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    let entry = checkpoint.tensor(name).expect("LoRA in the file");
    assert_eq!((entry.shape.as_slice(), entry.dtype), ([8, 64].as_slice(), Dtype::F32));
    assert_eq!(checkpoint.value(name), Some(&Object::Tensor(name.into())));
    assert!(checkpoint.names().any(|name| name.starts_with("optimizer.state.0.")));
    assert!(checkpoint.names().next().is_some_and(|name| name.starts_with("model.")));
}

#[test]
fn spellings_of_lora_have_equal_values() {
    let Some(path) = reference("Emotion_LLaMA_tiny.peft_default.pth") else {
        return;
    };
    let newer = open(&path);
    let older = open(&path.with_file_name("Emotion_LLaMA_tiny.pth"));
    let mut compared = 0;
    for name in newer.names() {
        let other = name.replace(".lora_A.default.", ".lora_A.").replace(".lora_B.default.", ".lora_B.");
        assert_eq!(bits(&newer, name), bits(&older, &other), "{name}");
        compared += usize::from(other != name);
    }
    // q_proj and v_proj of three layers, A and B.
    assert_eq!(compared, 12);
}

#[test]
fn folders_of_the_language_model_in_both_forms() {
    let Some(bin) = reference("Llama-2-tiny-chat-hf") else {
        return;
    };
    let bin = open(&bin);
    let safe = open(&reference("Llama-2-tiny-chat-hf-safetensors").expect("as above"));
    let file_names = |c: &Checkpoint| -> Vec<String> {
        c.files().iter().map(|f| f.file_name().expect("a file").to_string_lossy().into_owned()).collect()
    };
    assert_eq!(
        file_names(&bin),
        ["pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    );
    assert_eq!(
        file_names(&safe),
        ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    );
    let embedding = bin.tensor("model.embed_tokens.weight").expect("in the first shard");
    assert_eq!((embedding.shape.as_slice(), embedding.dtype), ([32000, 64].as_slice(), Dtype::F16));
    assert_equal(&bin, &safe, str::to_owned);
    assert_eq!(safe.value("__metadata__.format").and_then(Object::as_text), Some("pt"));
}

#[test]
fn encoders_of_the_reference() {
    let Some(folder) = reference("videomae_tiny") else {
        return;
    };
    let folder_itself = open(&folder);
    assert_eq!(folder_itself.files(), [folder.join("model.safetensors")]);
    assert_equal(&folder_itself, &open(&folder.join("pytorch_model.bin")), str::to_owned);

    let hubert = open(&reference("chinese-hubert-tiny").expect("as above"));
    let newer = open(&reference("chinese-hubert-tiny/pytorch_model.parametrizations.bin").expect("as above"));
    assert_equal(&hubert, &newer, |name| {
        name.replace("weight_g", "parametrizations.weight.original0")
            .replace("weight_v", "parametrizations.weight.original1")
    });

    let mae = open(&reference("mae_tiny.pth").expect("as above"));
    assert!(matches!(mae.value("args"), Some(Object::Other(class, _)) if class == "argparse.Namespace"));
    assert!(mae.value("args.model").and_then(Object::as_text).is_some());
    assert!(mae.tensor("model.decoder_embed.weight").is_some());
    assert!(open(&reference("videomae_tiny.pth").expect("as above"))
        .names()
        .any(|name| name.contains("encoder.blocks.0.")));
    let eva = open(&reference("eva_vit_g_tiny.pth").expect("as above"));
    assert_eq!(eva.tensor("pos_embed").map(|t| t.shape.as_slice()), Some([1, 257, 88].as_slice()));
    assert!(eva.names().all(|name| eva.tensor(name).is_some_and(|t| t.dtype == Dtype::F16)));
}

/// A folder with an index over copies of `zip.pth` and `legacy.pth` under the names `shards`.
fn folder(map: &str, shards: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoint");
    for (shard, file) in shards.iter().zip(["zip.pth", "legacy.pth"]) {
        fs::copy(data.join(file), folder.path().join(shard)).expect("copied");
    }
    let index = format!(r#"{{"metadata": {{}}, "weight_map": {map}}}"#);
    fs::write(folder.path().join("pytorch_model.bin.index.json"), index).expect("written");
    folder
}

#[test]
fn folders_that_are_not_whole() {
    let refused = |map: &str, shards: &[&str], kind: ErrorKind, part: &str| {
        let error = Checkpoint::open(folder(map, shards).path()).expect_err(map);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(part), "{error}");
    };
    let whole = folder(r#"{"model.plain": "a.bin"}"#, &["a.bin"]);
    assert_eq!(open(whole.path()).names().count(), LAYOUTS.len());
    let map = r#"{"model.plain": "a.bin", "model.one": "b.bin"}"#;
    refused(map, &["a.bin"], ErrorKind::NotFound, r#""b.bin" is missing"#);
    refused(map, &["a.bin", "b.bin"], ErrorKind::PackInvalid, r#""model.plain" is also in"#);
    refused(
        r#"{"model.other": "a.bin"}"#,
        &["a.bin"],
        ErrorKind::PackInvalid,
        r#"holds "model.other", which it does not"#,
    );
    refused(r#"{"model.plain": "../a.bin"}"#, &["a.bin"], ErrorKind::PackInvalid, "not a plain file name");
    refused(r#"{}"#, &[], ErrorKind::PackInvalid, "names no shards");
    refused(r#"[1"#, &[], ErrorKind::PackInvalid, "no index of shards");
    let empty = tempfile::tempdir().expect("a folder");
    let error = Checkpoint::open(empty.path()).expect_err("nothing in it");
    assert!(error.kind == ErrorKind::NotFound && error.message.contains("pytorch_model.bin"), "{error}");
}
