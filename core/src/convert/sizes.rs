//! The sizes that the checkpoint files do not hold.
//!
//! They come from `--config`, from a `model_config.json` beside the checkpoint, or else are those of the published models.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::Deserialize;

use crate::error::{Error, Result};

/// The file beside a checkpoint that is looked for.
const BESIDE: &str = "model_config.json";

/// Sizes by model; what a file leaves out stays None.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sizes {
    pub(super) lora: LoraSizes,
    pub(super) eva: VitSizes,
    pub(super) ln_vision: NormSizes,
    pub(super) mae: VitSizes,
    pub(super) videomae: VitSizes,
}

/// Rank and alpha of the LoRA.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoraSizes {
    pub(super) r: Option<usize>,
    pub(super) alpha: Option<f32>,
}

/// A normalisation's constant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NormSizes {
    pub(super) layer_norm_eps: Option<f32>,
}

/// A vision transformer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct VitSizes {
    pub(super) image_size: Option<usize>,
    pub(super) patch_size: Option<usize>,
    pub(super) depth: Option<usize>,
    pub(super) num_heads: Option<usize>,
    pub(super) layer_norm_eps: Option<f32>,
    pub(super) num_frames: Option<usize>,
    pub(super) tubelet_size: Option<usize>,
}

impl Sizes {
    /// Reads `config`, or the file beside `checkpoint` if there is one.
    ///
    /// # Errors
    /// `not_found` or `invalid_argument` naming the file.
    pub(super) fn find(config: Option<&Path>, checkpoint: &Path) -> Result<Self> {
        let beside = checkpoint.parent().unwrap_or(Path::new("")).join(BESIDE);
        let path = match config {
            Some(path) => path,
            None if beside.is_file() => &beside,
            None => return Ok(Self::default()),
        };
        let text = std::fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!("{}: there is no such file", path.display())),
            _ => Error::invalid_argument(format!("{}: cannot be read: {error}", path.display())),
        })?;
        serde_json::from_slice(&text).map_err(|error| {
            Error::invalid_argument(format!("{}: is not a description of sizes: {error}", path.display()))
        })
    }
}

/// Largest extent in a configuration. Products of a few stay far from what a `usize` holds.
const MAX_EXTENT: usize = 1 << 18;

/// Reads `config.json` of the Hugging Face folder `dir`, and gives its path too. `model` says what it describes, `wants` which option
/// wants which folder.
///
/// # Errors
/// `not_found` or `invalid_argument` naming the file.
pub(super) fn folder_config<T: DeserializeOwned>(dir: &Path, model: &str, wants: &str) -> Result<(PathBuf, T)> {
    if dir.is_file() {
        return Err(Error::invalid_argument(format!(
            "{}: is a single file; {wants}, with its config.json",
            dir.display()
        )));
    }
    let path = dir.join("config.json");
    let text = std::fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!("{}: there is no such file; {wants}", path.display())),
        _ => Error::invalid_argument(format!("{}: cannot be read: {error}", path.display())),
    })?;
    let config = serde_json::from_slice(&text).map_err(|error| {
        Error::invalid_argument(format!("{}: is not a {model}'s configuration: {error}", path.display()))
    })?;
    Ok((path, config))
}

/// Checks that `extents` of the configuration at `path` are from 1 to [`MAX_EXTENT`].
///
/// # Errors
/// `invalid_argument` naming the file and the first that is not.
pub(super) fn check_extents(path: &Path, extents: &[(&str, usize)]) -> Result<()> {
    match extents.iter().find(|(_, value)| !(1..=MAX_EXTENT).contains(value)) {
        Some((name, value)) => Err(Error::invalid_argument(format!(
            "{}: {name} is {value}; it must be from 1 to {MAX_EXTENT}",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// Heads and depth of the published vision transformers, by width.
struct Published {
    width: usize,
    heads: usize,
    depth: usize,
}

const PUBLISHED_EVA: Published = Published { width: 1408, heads: 16, depth: 39 };
const PUBLISHED_VIT_LARGE: Published = Published { width: 1024, heads: 16, depth: 24 };

impl VitSizes {
    /// Heads and depth of EVA.
    pub(super) fn eva(&self, width: usize, in_file: usize, place: &str) -> Result<(usize, usize)> {
        self.shape(&PUBLISHED_EVA, "eva", width, in_file, place)
    }

    /// Heads and depth of MAE or VideoMAE, called `name`.
    pub(super) fn large(&self, name: &str, width: usize, in_file: usize, place: &str) -> Result<(usize, usize)> {
        self.shape(&PUBLISHED_VIT_LARGE, name, width, in_file, place)
    }

    fn shape(
        &self,
        published: &Published,
        name: &str,
        width: usize,
        in_file: usize,
        place: &str,
    ) -> Result<(usize, usize)> {
        let known = (width == published.width).then_some(published);
        let missing = |what: &str| {
            Error::invalid_argument(format!(
                "{place}: {width} wide, which is not the published model ({}), and its {what} are not in the file; give them as \
                 {name}.{what} in a JSON file with --config or as {BESIDE} beside the checkpoint",
                published.width
            ))
        };
        let heads = self.num_heads.or(known.map(|p| p.heads)).ok_or_else(|| missing("num_heads"))?;
        let depth = self.depth.or(known.map(|p| p.depth)).unwrap_or(in_file);
        if width == 0 || heads == 0 || !width.is_multiple_of(heads) {
            return Err(Error::invalid_argument(format!(
                "{place}: {heads} heads do not divide a width of {width}; correct {name}.num_heads in the configuration"
            )));
        }
        if depth == 0 || depth > in_file {
            return Err(Error::invalid_argument(format!(
                "{place}: has {in_file} whole blocks, {depth} are needed; the file is cut short or another model's"
            )));
        }
        Ok((heads, depth))
    }
}
