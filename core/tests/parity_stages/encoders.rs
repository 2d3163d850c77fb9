//! Preprocessing and the four encoders against the reference.

#![allow(dead_code, reason = "not every test program calls every stage")]

use std::path::Path;

use emotion_llama_core::encoders::eva::EvaViT;
use emotion_llama_core::encoders::hubert::Hubert;
use emotion_llama_core::encoders::mae::Mae;
use emotion_llama_core::encoders::videomae::VideoMae;
use emotion_llama_core::preprocess::{clip_normalised, resize, unit_range, Filter};
use emotion_llama_core::CancelToken;

use crate::reference::{Entry, Reference, Table};

/// The manifest's entries that [`check`], [`check_preprocess`] and [`check_ln_vision`] compare with.
pub fn owns(entry: &Entry) -> bool {
    matches!(entry.stage.as_str(), "image_preprocess" | "eva" | "hubert" | "mae" | "videomae")
        || (entry.stage == "e2e" && entry.name.starts_with("frame0."))
}

/// All stages of a converted pack: `pack_dir` has `eva.gguf`, `hubert.gguf`, `mae.gguf` and `videomae.gguf`.
pub fn check(reference: &Reference, pack_dir: &Path, table: &mut Table) {
    check_preprocess(reference, table);
    check_eva(reference, &pack_dir.join("eva.gguf"), table);
    check_hubert(reference, &pack_dir.join("hubert.gguf"), table);
    check_mae(reference, &pack_dir.join("mae.gguf"), table);
    check_videomae(reference, &pack_dir.join("videomae.gguf"), table);
}

/// An RGB picture and its width and height.
pub type Picture = (Vec<u8>, usize, usize);

pub fn open_picture(reference: &Reference, name: &str) -> Picture {
    let path = reference.path("inputs").join(format!("{name}.png"));
    let picture = image::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).to_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    (picture.into_raw(), width, height)
}

/// The clip's frames.
pub fn clip_frames(reference: &Reference) -> Vec<Picture> {
    let (shape, bytes) = reference.expected_bytes("clip", "frames");
    let (height, width) = (shape[1], shape[2]);
    bytes.chunks_exact(height * width * 3).map(|frame| (frame.to_vec(), width, height)).collect()
}

/// Rows and columns 0, `step`, 2 `step`, … of planes of `side` x `side`.
fn every(planes: &[f32], side: usize, step: usize) -> Vec<f32> {
    let rows = planes.chunks_exact(side).enumerate().filter(|(i, _)| (i % side).is_multiple_of(step));
    rows.flat_map(|(_, row)| row.iter().copied().step_by(step)).collect()
}

/// Resizes for the picture encoder and normalises, comparing both with the tensors that the manifest has for `prefix`.
fn check_picture(reference: &Reference, stage: &str, prefix: &str, picture: &Picture, table: &mut Table) {
    let name = format!("{prefix}.resized_u8");
    let (shape, _) = reference.expected_bytes(stage, &name);
    let (height, width) = (shape[0], shape[1]);
    let resized = resize(&picture.0, picture.1, picture.2, width, height, Filter::Bicubic).unwrap();
    table.compare_bytes(reference, stage, &name, &resized);
    let values = clip_normalised(&resized, width, height).unwrap();
    let whole = format!("{prefix}.pixel_values");
    if reference.find_entry(stage, &whole).is_some() {
        table.compare(reference, stage, &whole, &values);
    }
    let sparse = format!("{prefix}.pixel_values_every8");
    if reference.find_entry(stage, &sparse).is_some() {
        table.compare(reference, stage, &sparse, &every(&values, width, 8));
    }
}

/// Pictures as the encoders take them.
pub fn check_preprocess(reference: &Reference, table: &mut Table) {
    let names = reference.entries().iter().filter(|entry| entry.stage == "image_preprocess");
    for prefix in names.filter_map(|entry| entry.name.strip_suffix(".resized_u8")) {
        check_picture(reference, "image_preprocess", prefix, &open_picture(reference, prefix), table);
    }
    check_picture(reference, "e2e", "frame0", &clip_frames(reference)[0], table);
}

fn eva_pixels(reference: &Reference, eva: &EvaViT) -> Vec<f32> {
    let (rgb, width, height) = open_picture(reference, "img_0");
    let side = eva.config().vit.image_size;
    emotion_llama_core::preprocess::clip_picture(&rgb, width, height, side).unwrap()
}

/// Compares an observed value if the manifest expects one under `prefix` and its name.
fn observed(reference: &Reference, stage: &str, prefix: &str, table: &mut Table, name: &str, values: &[f32]) {
    let name = format!("{prefix}{name}");
    if reference.find_entry(stage, &name).is_some_and(|entry| entry.role == "expected") {
        table.compare(reference, stage, &name, values);
    }
}

/// The picture encoder with the weights of `path`, whose `ln_vision` is 1 and 0.
pub fn check_eva(reference: &Reference, path: &Path, table: &mut Table) {
    let eva = placed!(EvaViT::open(path).unwrap());
    table.compare(reference, "eva", "pos_embed", eva.pos_embed());
    let pixels = eva_pixels(reference, &eva);
    let cancel = CancelToken::new();
    let mut observe = |name: &str, values: &[f32]| observed(reference, "eva", "", table, name, values);
    let tokens = eva.forward_observed(&pixels, &cancel, &mut observe).unwrap();
    assert_eq!(tokens, eva.forward(&pixels, &cancel).unwrap(), "two runs of the picture encoder differ");
}

/// The picture encoder with the weights of `path`, converted with the checkpoint that has its own `ln_vision`.
pub fn check_ln_vision(reference: &Reference, path: &Path, table: &mut Table) {
    let eva = placed!(EvaViT::open(path).unwrap());
    let tokens = eva.forward(&eva_pixels(reference, &eva), &CancelToken::new()).unwrap();
    let width = eva.config().vit.width;
    let every4: Vec<f32> = tokens.chunks_exact(width).step_by(4).flatten().copied().collect();
    table.compare(reference, "eva", "ln_vision_loaded.every4", &every4);
}

/// The voice encoder.
pub fn check_hubert(reference: &Reference, path: &Path, table: &mut Table) {
    let hubert = placed!(Hubert::open(path).unwrap());
    let (_, waveform) = reference.expected("hubert", "waveform");
    let cancel = CancelToken::new();
    let mut observe = |name: &str, values: &[f32]| observed(reference, "hubert", "", table, name, values);
    let feature = hubert.forward_observed(&waveform, &cancel, &mut observe).unwrap();
    assert_eq!(feature, hubert.forward(&waveform, &cancel).unwrap(), "two runs of the voice encoder differ");
}

/// The face encoder, on whole frames of the clip.
pub fn check_mae(reference: &Reference, path: &Path, table: &mut Table) {
    let mae = placed!(Mae::open(path).unwrap());
    let (side, width) = (mae.config().image_size, mae.config().width);
    let cancel = CancelToken::new();
    let (mut frames, mut class_tokens, mut patch_means) = (Vec::new(), Vec::new(), Vec::new());
    for (i, (rgb, w, h)) in clip_frames(reference).iter().enumerate() {
        let resized = resize(rgb, *w, *h, side, side, Filter::Bilinear).unwrap();
        if i == 0 {
            table.compare_bytes(reference, "mae", "frame0.resized_u8", &resized);
        }
        let pixels = unit_range(&resized, side, side).unwrap();
        let mut observe = |name: &str, values: &[f32]| {
            observed(reference, "mae", &format!("frame{i}."), table, name, values);
            if name == "norm" {
                patch_means.extend(mean_rows(&values[width..], width));
            }
        };
        class_tokens.extend(mae.forward_observed(&pixels, &cancel, &mut observe).unwrap());
        frames.extend(pixels);
    }
    table.compare(reference, "mae", "cls_per_frame", &class_tokens);
    table.compare(reference, "mae", "patch_mean_per_frame", &patch_means);
    table.compare(reference, "mae", "utterance", &mae.forward_frames(&frames, &cancel).unwrap());
}

fn mean_rows(rows: &[f32], width: usize) -> Vec<f32> {
    let count = (rows.len() / width) as f64;
    let column = |i: usize| rows.iter().skip(i).step_by(width).copied().map(f64::from).sum::<f64>();
    (0..width).map(|i| (column(i) / count) as f32).collect()
}

/// The motion encoder, on whole frames of the clip.
pub fn check_videomae(reference: &Reference, path: &Path, table: &mut Table) {
    let videomae = placed!(VideoMae::open(path).unwrap());
    let side = videomae.config().vit.image_size;
    let mut frames = Vec::new();
    for (rgb, width, height) in clip_frames(reference) {
        frames.extend(emotion_llama_core::preprocess::unit_picture(&rgb, width, height, side).unwrap());
    }
    let cancel = CancelToken::new();
    let mut observe = |name: &str, values: &[f32]| observed(reference, "videomae", "", table, name, values);
    let feature = videomae.forward_observed(&frames, &cancel, &mut observe).unwrap();
    table.compare(reference, "videomae", "utterance", &feature);
    assert_eq!(feature, videomae.forward(&frames, &cancel).unwrap(), "two runs of the motion encoder differ");
}
