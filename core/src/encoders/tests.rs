//! The encoders on tiny files made here: sizes, limits, damage. Values are compared with the reference elsewhere.

use std::path::{Path, PathBuf};

use super::eva::EvaViT;
use super::hubert::{Hubert, FRAMES_AT_ONCE};
use super::mae::Mae;
use super::videomae::VideoMae;
use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::GgufHeader;
use crate::kernels::WeightType;

/// A metadata value.
#[derive(Debug, Clone)]
pub(crate) enum Meta {
    Int(&'static str, usize),
    Eps(&'static str),
    Ints(&'static str, Vec<i32>),
}

/// A file under construction.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) prefix: &'static str,
    pub(crate) metadata: Vec<Meta>,
    pub(crate) tensors: Vec<(String, Vec<usize>)>,
}

impl Plan {
    fn tensor(&mut self, name: &str, shape: &[usize]) {
        self.tensors.push((name.to_owned(), shape.to_vec()));
    }

    /// `{name}.weight` `[rows, columns]` and `{name}.bias` `[rows]`.
    fn linear(&mut self, name: &str, rows: usize, columns: usize) {
        self.tensor(&format!("{name}.weight"), &[rows, columns]);
        self.tensor(&format!("{name}.bias"), &[rows]);
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.tensor(&format!("{name}.weight"), &[width]);
        self.tensor(&format!("{name}.bias"), &[width]);
    }

    pub(crate) fn write(&self, dir: &Path) -> PathBuf {
        let mut header = GgufHeader::new(&format!("emotion-llama-{}", self.prefix));
        for meta in &self.metadata {
            match meta {
                Meta::Int(key, value) => header.uint(&format!("{}.{key}", self.prefix), *value).unwrap(),
                Meta::Eps(key) => header.float(&format!("{}.{key}", self.prefix), 1e-6),
                Meta::Ints(key, values) => header.int_array(&format!("{}.{key}", self.prefix), values),
            }
        }
        for (name, shape) in &self.tensors {
            header.tensor(name, shape, WeightType::F32).unwrap();
        }
        let mut bytes = header.encode();
        for tensor in header.tensors() {
            let end = bytes.len() + tensor.padded();
            let value = |i: usize| (i as f32 * 0.731 + tensor.offset as f32 * 0.01).sin() * 0.3;
            bytes.extend((0..tensor.bytes / 4).flat_map(|i| value(i).to_le_bytes()));
            bytes.resize(end, 0);
        }
        let path = dir.join(format!("{}.gguf", self.prefix));
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

const WIDTH: usize = 8;
const MLP: usize = 12;

/// A vision transformer of two blocks over pictures of 8 x 8 in patches of 2 x 2.
fn vit(prefix: &'static str, patch_len: usize) -> Plan {
    let ints = [("width", WIDTH), ("depth", 2), ("heads", 2), ("mlp", MLP), ("image_size", 8), ("patch_size", 2)];
    let mut metadata: Vec<_> = ints.into_iter().map(|(key, value)| Meta::Int(key, value)).collect();
    metadata.push(Meta::Eps("norm_eps"));
    let mut plan = Plan { prefix, metadata, tensors: Vec::new() };
    plan.linear("patch_embed.proj", WIDTH, patch_len);
    for i in 0..2 {
        plan.norm(&format!("blocks.{i}.norm1"), WIDTH);
        plan.linear(&format!("blocks.{i}.attn.qkv"), 3 * WIDTH, WIDTH);
        plan.linear(&format!("blocks.{i}.attn.proj"), WIDTH, WIDTH);
        plan.norm(&format!("blocks.{i}.norm2"), WIDTH);
        plan.linear(&format!("blocks.{i}.mlp.fc1"), MLP, WIDTH);
        plan.linear(&format!("blocks.{i}.mlp.fc2"), WIDTH, MLP);
    }
    plan
}

fn eva() -> Plan {
    let mut plan = vit("eva", 12);
    plan.metadata.extend([Meta::Int("position_grid", 2), Meta::Eps("ln_vision_eps")]);
    plan.tensor("cls_token", &[WIDTH]);
    plan.tensor("pos_embed", &[5, WIDTH]);
    plan.norm("ln_vision", WIDTH);
    plan
}

fn mae() -> Plan {
    let mut plan = vit("mae", 12);
    plan.tensor("cls_token", &[WIDTH]);
    plan.tensor("pos_embed", &[17, WIDTH]);
    plan.norm("norm", WIDTH);
    plan
}

fn videomae() -> Plan {
    let mut plan = vit("videomae", 24);
    plan.metadata.extend([Meta::Int("frames", 4), Meta::Int("tubelet", 2)]);
    plan
}

/// Two convolutions: a frame is made from 20 samples and the next begins 10 later.
pub(crate) fn hubert() -> Plan {
    let ints = [
        ("width", WIDTH),
        ("depth", 2),
        ("heads", 2),
        ("mlp", MLP),
        ("conv_dim", 6),
        ("pos_conv_kernel", 4),
        ("pos_conv_groups", 2),
    ];
    let mut metadata: Vec<_> = ints.into_iter().map(|(key, value)| Meta::Int(key, value)).collect();
    metadata.extend([
        Meta::Eps("norm_eps"),
        Meta::Ints("conv_kernel", vec![10, 3]),
        Meta::Ints("conv_stride", vec![5, 2]),
    ]);
    let mut plan = Plan { prefix: "hubert", metadata, tensors: Vec::new() };
    for (i, shape) in [[6, 1, 10], [6, 6, 3]].iter().enumerate() {
        plan.tensor(&format!("feature_extractor.conv_layers.{i}.conv.weight"), shape);
        plan.tensor(&format!("feature_extractor.conv_layers.{i}.conv.bias"), &[6]);
        plan.norm(&format!("feature_extractor.conv_layers.{i}.layer_norm"), 6);
    }
    plan.norm("feature_projection.layer_norm", 6);
    plan.linear("feature_projection.projection", WIDTH, 6);
    plan.tensor("encoder.pos_conv_embed.conv.weight", &[WIDTH, WIDTH / 2, 4]);
    plan.tensor("encoder.pos_conv_embed.conv.bias", &[WIDTH]);
    for i in 0..2 {
        let prefix = format!("encoder.layers.{i}");
        for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            plan.linear(&format!("{prefix}.attention.{name}"), WIDTH, WIDTH);
        }
        plan.norm(&format!("{prefix}.layer_norm"), WIDTH);
        plan.linear(&format!("{prefix}.feed_forward.intermediate_dense"), MLP, WIDTH);
        plan.linear(&format!("{prefix}.feed_forward.output_dense"), WIDTH, MLP);
        plan.norm(&format!("{prefix}.final_layer_norm"), WIDTH);
    }
    plan.norm("encoder.layer_norm", WIDTH);
    plan
}

pub(crate) fn wave(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.37).sin() * 0.4 + 0.5).collect()
}

/// Opens the file of `plan` and runs it on `values` values.
fn run(path: &Path, prefix: &str, values: usize, cancel: &CancelToken) -> Result<Vec<f32>> {
    let x = wave(values);
    match prefix {
        "eva" => EvaViT::open(path)?.forward(&x, cancel),
        "mae" => Mae::open(path)?.forward_frames(&x, cancel),
        "videomae" => VideoMae::open(path)?.forward(&x, cancel),
        _ => Hubert::open(path)?.forward(&x, cancel),
    }
}

/// Each encoder, how many values it takes, how many it gives.
pub(crate) fn all() -> [(Plan, usize, usize); 4] {
    let frame = 3 * 8 * 8;
    [(eva(), frame, 17 * WIDTH), (mae(), 2 * frame, WIDTH), (videomae(), 4 * frame, WIDTH), (hubert(), 200, WIDTH)]
}

#[test]
fn outputs_have_their_size_and_do_not_vary() {
    let dir = tempfile::tempdir().unwrap();
    for (plan, values, outputs) in all() {
        let path = plan.write(dir.path());
        let first = run(&path, plan.prefix, values, &CancelToken::new()).unwrap();
        assert_eq!(first.len(), outputs, "{}", plan.prefix);
        let single = || run(&path, plan.prefix, values, &CancelToken::new()).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(pool.install(single), first, "{}: one thread gives other values", plan.prefix);
    }
}

#[test]
fn a_cancelled_run_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = CancelToken::new();
    cancel.cancel();
    for (plan, values, _) in all() {
        let error = run(&plan.write(dir.path()), plan.prefix, values, &cancel).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Cancelled, "{}: {error}", plan.prefix);
    }
}

#[test]
fn inputs_of_another_size_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (plan, values, _) in all() {
        let path = plan.write(dir.path());
        let wrong = if plan.prefix == "hubert" { [0, 19] } else { [0, values + 1] };
        for values in wrong {
            let error = run(&path, plan.prefix, values, &CancelToken::new()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidArgument, "{}: {error}", plan.prefix);
        }
    }
    let hubert = Hubert::open(&hubert().write(dir.path())).unwrap();
    assert_eq!(hubert.min_samples(), 20);
    hubert.forward(&wave(20), &CancelToken::new()).unwrap();
    let error = hubert.forward(&[f32::NAN; 40], &CancelToken::new()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
}

#[test]
fn a_missing_or_misshapen_tensor_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (plan, values, _) in all() {
        for i in 0..plan.tensors.len() {
            let name = plan.tensors[i].0.clone();
            let mut without = plan.clone();
            without.tensors.remove(i);
            let mut longer = plan.clone();
            longer.tensors[i].1[0] += 1;
            let mut flat = plan.clone();
            flat.tensors[i].1.insert(0, 1);
            for damaged in [without, longer, flat] {
                let error = run(&damaged.write(dir.path()), plan.prefix, values, &CancelToken::new()).unwrap_err();
                assert_eq!(error.kind, ErrorKind::PackInvalid, "{error}");
                assert!(error.message.contains(&format!("{name:?}")), "{name}: {error}");
                assert!(error.message.contains(&format!("{}.gguf", plan.prefix)), "{error}");
            }
        }
    }
}

#[test]
fn hostile_metadata_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |plan: &Plan, values: usize, what: &Meta| -> Option<Error> {
        let error = run(&plan.write(dir.path()), plan.prefix, values, &CancelToken::new()).err()?;
        assert!(
            matches!(error.kind, ErrorKind::PackInvalid | ErrorKind::InvalidArgument),
            "{}: {what:?}: {error}",
            plan.prefix
        );
        Some(error)
    };
    for (plan, values, _) in all() {
        for i in 0..plan.metadata.len() {
            let mut damaged = plan.clone();
            let meta = damaged.metadata.remove(i);
            assert!(refused(&damaged, values, &meta).is_some(), "{}: {meta:?} was not missed", plan.prefix);
            let hostile: Vec<Meta> = match &meta {
                Meta::Int(key, _) => {
                    [0, 1, 3, 5, 7, 65_535, 65_536, 1 << 31, u32::MAX as usize].map(|n| Meta::Int(key, n)).to_vec()
                }
                Meta::Eps(key) => vec![Meta::Int(key, 1)],
                Meta::Ints(key, _) => [
                    vec![],
                    vec![10],
                    vec![0, 3],
                    vec![-1, 3],
                    vec![10, i32::MAX],
                    vec![65_536, 65_536],
                    vec![60_000, 60_000],
                    vec![1; 40],
                ]
                .map(|values| Meta::Ints(key, values))
                .to_vec(),
            };
            for meta in hostile {
                let mut damaged = plan.clone();
                damaged.metadata[i] = meta.clone();
                // Some are valid, fewer blocks for instance; none may panic or ask for much memory.
                let ran = refused(&damaged, values, &meta).is_none();
                let harmless = matches!(meta, Meta::Int("heads" | "depth" | "pos_conv_groups" | "tubelet", 1));
                assert!(!ran || harmless, "{}: {meta:?} was accepted", plan.prefix);
            }
        }
        let mut other = plan.clone();
        other.prefix = "other";
        let error = run(&other.write(dir.path()), plan.prefix, values, &CancelToken::new()).unwrap_err();
        assert!(error.message.contains("emotion-llama-other"), "{error}");
    }
}

#[test]
fn weights_that_are_not_numbers_are_found() {
    let dir = tempfile::tempdir().unwrap();
    for (plan, values, _) in all() {
        let path = plan.write(dir.path());
        let mut bytes = std::fs::read(&path).unwrap();
        // The last matrix of the file, whose values are only seen in the product.
        let name = plan.tensors.iter().rfind(|(_, shape)| shape.len() == 2).unwrap().0.clone();
        let gguf = crate::gguf::Gguf::open(&path).unwrap();
        let at = gguf.tensor(&name).unwrap().bytes.start;
        bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        let error = run(&path, plan.prefix, values, &CancelToken::new()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PackInvalid, "{}: {error}", plan.prefix);
    }
}

#[test]
fn stretches_of_a_long_recording_join_without_a_seam() {
    let dir = tempfile::tempdir().unwrap();
    let hubert = Hubert::open(&hubert().write(dir.path())).unwrap();
    // Repeats every 7 frames, so that frames repeat too, across the ends of stretches.
    let (hop, period, dim) = (10, 7, hubert.config().conv_dim);
    let frames = 2 * FRAMES_AT_ONCE + 40;
    let samples: Vec<f32> = wave(hop * period).into_iter().cycle().take((frames - 1) * hop + 20).collect();
    let mut seen = 0;
    let mut observe = |name: &str, values: &[f32]| {
        if name == "conv_features" {
            seen = values.len();
            for (i, channel) in values.chunks_exact(frames).enumerate() {
                for (t, pair) in channel.iter().zip(&channel[period..]).enumerate() {
                    assert!((pair.0 - pair.1).abs() < 1e-5, "channel {i}, frame {t}: {pair:?}");
                }
                assert!(channel[0] != channel[1] || channel[1] != channel[2], "channel {i} is constant");
            }
        }
    };
    hubert.forward_observed(&samples, &CancelToken::new(), &mut observe).unwrap();
    assert_eq!(seen, frames * dim);
}
