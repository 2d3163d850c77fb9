//! The published model's encoders at full size: files of random weights, and the time and the result of a run.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use emotion_llama_core::encoders::eva::EvaViT;
use emotion_llama_core::encoders::hubert::Hubert;
use emotion_llama_core::encoders::mae::Mae;
use emotion_llama_core::encoders::videomae::VideoMae;
use emotion_llama_core::gguf::GgufHeader;
use emotion_llama_core::kernels::{pack, WeightType};
use emotion_llama_core::{CancelToken, Error, Result};
use rayon::prelude::*;

/// Samples of HuBERT's run: 10 s.
const SAMPLES: usize = 160_000;
/// Values that are drawn from one random stream.
const CHUNK: usize = 1 << 16;

/// An encoder, and what it is given.
pub enum Encoder {
    Eva(EvaViT, Vec<f32>),
    Hubert(Hubert, Vec<f32>),
    Mae(Mae, Vec<f32>),
    VideoMae(VideoMae, Vec<f32>),
}

impl Encoder {
    /// Opens the encoder `name` from `file` and makes an input for it.
    pub fn open(name: &str, file: &Path) -> Result<Self> {
        let frame = |side: usize| 3 * side * side;
        Ok(match name {
            "eva" => {
                let eva = EvaViT::open(file)?;
                let values = frame(eva.config().vit.image_size);
                Self::Eva(eva, input(values))
            }
            "hubert" => Self::Hubert(Hubert::open(file)?, input(SAMPLES)),
            "mae" => {
                let mae = Mae::open(file)?;
                let values = frame(mae.config().image_size);
                Self::Mae(mae, input(values))
            }
            "videomae" => {
                let videomae = VideoMae::open(file)?;
                let values = videomae.config().frames * frame(videomae.config().vit.image_size);
                Self::VideoMae(videomae, input(values))
            }
            _ => return Err(unknown(name)),
        })
    }

    /// The encoder's output for its input.
    fn output(&self) -> Result<Vec<f32>> {
        let cancel = CancelToken::new();
        match self {
            Self::Eva(eva, x) => eva.forward(x, &cancel),
            Self::Hubert(hubert, x) => hubert.forward(x, &cancel),
            Self::Mae(mae, x) => mae.forward(x, &cancel),
            Self::VideoMae(videomae, x) => videomae.forward(x, &cancel),
        }
    }

    /// Has it compute on a GPU.
    #[cfg(feature = "cuda")]
    pub fn move_to_device(&mut self, place: &emotion_llama_core::device::Place) -> Result<()> {
        match self {
            Self::Eva(eva, _) => eva.move_to_device(place),
            Self::Hubert(hubert, _) => hubert.move_to_device(place),
            Self::Mae(mae, _) => mae.move_to_device(place),
            Self::VideoMae(videomae, _) => videomae.move_to_device(place),
        }
    }

    /// Seconds of one run.
    pub fn run(&self) -> Result<f64> {
        let began = Instant::now();
        self.output()?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// How far this encoder's output is from that of `other`: the length of the difference over the length of `other`'s.
    pub fn loss(&self, other: &Self) -> Result<f64> {
        let (ours, theirs) = (self.output()?, other.output()?);
        let length =
            |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        let difference = length(&mut ours.iter().zip(&theirs).map(|(a, b)| a - b));
        Ok(difference / length(&mut theirs.iter().copied()))
    }
}

fn unknown(name: &str) -> Error {
    Error::invalid_argument(format!("{name:?} is none of eva, hubert, mae, videomae"))
}

fn input(values: usize) -> Vec<f32> {
    let mut x = vec![0f32; values];
    random("input", 0.5, &mut x);
    x.iter_mut().for_each(|x| *x += 0.5);
    x
}

/// Uniform values of mean 0 and deviation `deviation`, the same for the same `name`.
fn random(name: &str, deviation: f32, out: &mut [f32]) {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let step = deviation * 3f32.sqrt() / 32_768.0;
    out.par_chunks_mut(CHUNK).enumerate().for_each(|(i, out)| {
        let mut state = seed ^ (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for value in out {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *value = f32::from((state >> 32) as i16) * step;
        }
    });
}

/// A file under construction.
struct File {
    header: GgufHeader,
    prefix: String,
    /// How matrices are stored.
    kind: WeightType,
}

impl File {
    fn numbers(&mut self, numbers: &[(&str, usize)]) -> Result<()> {
        numbers.iter().try_for_each(|(key, value)| self.header.uint(&format!("{}.{key}", self.prefix), *value))
    }

    fn plain(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        self.header.tensor(name, shape, WeightType::F32)
    }

    fn linear(&mut self, name: &str, rows: usize, columns: usize) -> Result<()> {
        self.header.tensor(&format!("{name}.weight"), &[rows, columns], self.kind)?;
        self.plain(&format!("{name}.bias"), &[rows])
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<()> {
        self.plain(&format!("{name}.weight"), &[width])?;
        self.plain(&format!("{name}.bias"), &[width])
    }

    /// The blocks of a vision transformer over patches of `patch_len` values.
    fn vit(&mut self, [width, depth, mlp]: [usize; 3], patch_len: usize) -> Result<()> {
        self.numbers(&[("width", width), ("depth", depth), ("heads", 16), ("mlp", mlp)])?;
        self.header.float(&format!("{}.norm_eps", self.prefix), 1e-6);
        self.plain("patch_embed.proj.weight", &[width, patch_len])?;
        self.plain("patch_embed.proj.bias", &[width])?;
        for i in 0..depth {
            self.norm(&format!("blocks.{i}.norm1"), width)?;
            self.linear(&format!("blocks.{i}.attn.qkv"), 3 * width, width)?;
            self.linear(&format!("blocks.{i}.attn.proj"), width, width)?;
            self.norm(&format!("blocks.{i}.norm2"), width)?;
            self.linear(&format!("blocks.{i}.mlp.fc1"), mlp, width)?;
            self.linear(&format!("blocks.{i}.mlp.fc2"), width, mlp)?;
        }
        Ok(())
    }

    fn hubert(&mut self) -> Result<()> {
        const KERNELS: [usize; 7] = [10, 3, 3, 3, 3, 2, 2];
        let (width, depth, mlp, conv) = (1024, 24, 4096, 512);
        self.numbers(&[("width", width), ("depth", depth), ("heads", 16), ("mlp", mlp), ("conv_dim", conv)])?;
        self.numbers(&[("pos_conv_kernel", 128), ("pos_conv_groups", 16)])?;
        self.header.float("hubert.norm_eps", 1e-5);
        self.header.int_array("hubert.conv_kernel", &KERNELS.map(|kernel| kernel as i32));
        self.header.int_array("hubert.conv_stride", &[5, 2, 2, 2, 2, 2, 2]);
        for (i, kernel) in KERNELS.into_iter().enumerate() {
            let name = format!("feature_extractor.conv_layers.{i}");
            self.plain(&format!("{name}.conv.weight"), &[conv, if i == 0 { 1 } else { conv }, kernel])?;
            self.plain(&format!("{name}.conv.bias"), &[conv])?;
            self.norm(&format!("{name}.layer_norm"), conv)?;
        }
        self.norm("feature_projection.layer_norm", conv)?;
        self.linear("feature_projection.projection", width, conv)?;
        self.plain("encoder.pos_conv_embed.conv.weight", &[width, width / 16, 128])?;
        self.plain("encoder.pos_conv_embed.conv.bias", &[width])?;
        for i in 0..depth {
            let name = |part: &str| format!("encoder.layers.{i}.{part}");
            self.norm(&name("layer_norm"), width)?;
            for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                self.linear(&name(&format!("attention.{part}")), width, width)?;
            }
            self.norm(&name("final_layer_norm"), width)?;
            self.linear(&name("feed_forward.intermediate_dense"), mlp, width)?;
            self.linear(&name("feed_forward.output_dense"), width, mlp)?;
        }
        self.norm("encoder.layer_norm", width)
    }

    /// Writes header and random values, a tensor at a time: those of a matrix have a deviation that keeps products near unit size.
    fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut out = BufWriter::new(std::fs::File::create(path)?);
        out.write_all(&self.header.encode())?;
        let mut values = Vec::new();
        for tensor in self.header.tensors() {
            values.resize(tensor.shape.iter().product(), 0f32);
            let fan_in: usize = tensor.shape.iter().skip(1).product();
            let matrix = tensor.shape.len() > 1 && tensor.name.ends_with("weight");
            random(&tensor.name, if matrix { 1.0 / (fan_in as f32).sqrt() } else { 0.02 }, &mut values);
            if tensor.name.contains("norm") && tensor.name.ends_with("weight") {
                values.iter_mut().for_each(|value| *value += 1.0);
            }
            let mut bytes = Vec::with_capacity(tensor.padded());
            pack(tensor.kind, &values, &mut bytes).map_err(std::io::Error::other)?;
            bytes.resize(tensor.padded(), 0);
            out.write_all(&bytes)?;
        }
        out.flush()
    }
}

/// Writes a file for the encoder `name`, at full size with random weights. `kind` is f32 or q8_0; gives the bytes.
pub fn write(name: &str, kind: &str, path: &Path) -> Result<u64> {
    let kind = match kind {
        "f32" => WeightType::F32,
        "f16" => WeightType::F16,
        "q8_0" => WeightType::Q8_0,
        _ => return Err(Error::invalid_argument(format!("{kind:?} is none of f32, f16, q8_0"))),
    };
    let mut file = File { header: GgufHeader::new(&format!("emotion-llama-{name}")), prefix: name.to_owned(), kind };
    match name {
        "eva" => {
            file.numbers(&[("image_size", 448), ("patch_size", 14), ("position_grid", 16)])?;
            file.header.float("eva.ln_vision_eps", 1e-5);
            file.plain("cls_token", &[1408])?;
            file.plain("pos_embed", &[257, 1408])?;
            file.vit([1408, 39, 6144], 3 * 14 * 14)?;
            file.norm("ln_vision", 1408)?;
        }
        "mae" => {
            file.numbers(&[("image_size", 224), ("patch_size", 16)])?;
            file.plain("cls_token", &[1024])?;
            file.plain("pos_embed", &[197, 1024])?;
            file.vit([1024, 24, 4096], 3 * 16 * 16)?;
            file.norm("norm", 1024)?;
        }
        "videomae" => {
            file.numbers(&[("image_size", 224), ("patch_size", 16), ("frames", 16), ("tubelet", 2)])?;
            file.vit([1024, 24, 4096], 3 * 2 * 16 * 16)?;
        }
        "hubert" => file.hubert()?,
        _ => return Err(unknown(name)),
    }
    let failed = |e: std::io::Error| Error::internal(format!("{}: {e}", path.display()));
    file.write(path).map_err(failed)?;
    Ok(std::fs::metadata(path).map_err(failed)?.len())
}
