//! The four expression nets, each fed the way it was trained.

use super::picture::{mirrored, Outside, Patch, Picture, Region};
use crate::error::{Error, Result};
use crate::features::FACE_CLASSES;
use crate::nn::{Net, NetFile, Tensor, Workspace};

/// The nets' names in the pack, in the order of every per-net list.
pub(super) const NETS: [&str; 4] = ["fer", "human", "face_api", "facex"];
/// Side of the patch that the nets' inputs are reduced from.
const PATCH: usize = 224;
/// No class is less likely than this to one net on one view.
const FLOOR: f32 = 1e-6;

/// How a net wants its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// `[64, 64, 1]`, luma scaled to -1..1 (`fer.py`, `__preprocess_input` v2; the same for human's `emotion`).
    Gray64,
    /// `[112, 112, 3]`, RGB 0..255; the net subtracts the mean itself.
    Rgb112,
    /// `[200, 200, 3]`, luma 0..1 three times (`facex/core.py` converts to gray, `input_resize` repeats and divides by 255).
    Gray200,
}

/// The input of the largest net.
const LARGEST: Input = Input::Gray200;

impl Input {
    /// Side and channels.
    fn size(self) -> (usize, usize) {
        match self {
            Input::Gray64 => (64, 1),
            Input::Rgb112 => (112, 3),
            Input::Gray200 => (200, 3),
        }
    }

    fn prepare(self, patch: &Patch) -> Vec<f32> {
        let patch = patch.resized(self.size().0);
        match self {
            Input::Gray64 => patch.gray().into_iter().map(|v| v / 127.5 - 1.0).collect(),
            Input::Rgb112 => patch.rgb,
            Input::Gray200 => patch.gray().into_iter().flat_map(|v| [v / 255.0; 3]).collect(),
        }
    }
}

/// A face as the expression nets see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// Framed as in FER2013: for the nets trained on it and for those trained on Haar cascade boxes.
    pub(super) tight: Region,
    /// Framed as face-api's aligned box: the landmarks' box with a tenth more on each side.
    pub(super) loose: Region,
    /// How much it counts against other views of the same face.
    pub(super) weight: f32,
}

/// The expression nets.
#[derive(Debug)]
pub(super) struct Expressions {
    nets: Vec<(Net, Input, [usize; 7])>,
}

/// ln p of each net over [`FACE_CLASSES`], in the order of [`NETS`].
pub(super) type LogPosteriors = [[f32; 7]; 4];

impl Expressions {
    /// Reads the nets from the pack's file.
    pub(super) fn open(file: &NetFile) -> Result<Self> {
        let mut nets = Vec::with_capacity(NETS.len());
        for (name, input) in NETS.into_iter().zip([Input::Gray64, Input::Gray64, Input::Rgb112, Input::Gray200]) {
            let net = file.net(name)?;
            let mut places = [0; 7];
            for (place, class) in places.iter_mut().zip(FACE_CLASSES) {
                let found = net.labels().iter().position(|label| label == class);
                *place = found.ok_or_else(|| Error::pack(format!("net {name} has no output for {class}")))?;
            }
            nets.push((net, input, places));
        }
        Ok(Self { nets })
    }

    /// ln p of each net: the mean over the views and their mirror images, normalised. `thorough`: mirror images for the largest
    /// net too.
    pub(super) fn read(
        &self,
        picture: &Picture<'_>,
        views: &[View],
        thorough: bool,
        ws: &mut Workspace,
    ) -> Result<LogPosteriors> {
        let mut sums = [[0.0f32; 7]; 4];
        let total: f32 = views.iter().map(|view| view.weight).sum();
        for view in views {
            let tight = picture.cut(&view.tight, PATCH, Outside::Edge);
            let loose = picture.cut(&view.loose, PATCH / 2, Outside::Edge);
            // Two nets want the same input, one after the other.
            let mut last: Option<(Input, Vec<f32>)> = None;
            for ((net, input, places), sum) in self.nets.iter().zip(&mut sums) {
                let patch = if *input == Input::Rgb112 { &loose } else { &tight };
                let data = match last.take() {
                    Some((of, data)) if of == *input => data,
                    _ => input.prepare(patch),
                };
                let both = thorough || *input != LARGEST;
                let logs = log_posterior(net, *input, places, &data, both, ws)?;
                last = Some((*input, data));
                sum.iter_mut().zip(logs).for_each(|(sum, log)| *sum += log * view.weight / total.max(f32::EPSILON));
            }
        }
        sums.iter_mut().for_each(normalise);
        Ok(sums)
    }

    /// What a thorough [`read`](Self::read) gives, after one that was not and gave `logs`: the largest net looks at the mirror images too.
    pub(super) fn complete(
        &self,
        picture: &Picture<'_>,
        views: &[View],
        mut logs: LogPosteriors,
        ws: &mut Workspace,
    ) -> Result<LogPosteriors> {
        let total: f32 = views.iter().map(|view| view.weight).sum();
        for ((net, input, places), logs) in self.nets.iter().zip(&mut logs) {
            if *input != LARGEST {
                continue;
            }
            let (side, channels) = input.size();
            for view in views {
                let data = input.prepare(&picture.cut(&view.tight, PATCH, Outside::Edge));
                let other = log_posterior(net, *input, places, &mirrored(&data, side, channels), false, ws)?;
                logs.iter_mut()
                    .zip(other)
                    .for_each(|(log, other)| *log += other * view.weight / total.max(f32::EPSILON));
            }
            logs.iter_mut().for_each(|log| *log /= 2.0);
            normalise(logs);
        }
        Ok(logs)
    }
}

/// ln p of a net on an input, averaged with that on its mirror image where `both` are asked for.
fn log_posterior(
    net: &Net,
    input: Input,
    places: &[usize; 7],
    data: &[f32],
    both: bool,
    ws: &mut Workspace,
) -> Result<[f32; 7]> {
    let (side, channels) = input.size();
    let mut data = data.to_vec();
    if both {
        data.extend(mirrored(&data, side, channels));
    }
    let batch = 1 + usize::from(both);
    let outputs = net.run(Tensor::new(vec![batch, side, side, channels], data)?, ws)?;
    let values = outputs.first().map(Tensor::data).unwrap_or_default();
    let size = values.len() / batch;
    if values.iter().any(|v| !v.is_finite()) || places.iter().any(|&place| place >= size) {
        return Err(Error::pack("an expression net does not give seven probabilities"));
    }
    let mut logs = [0.0; 7];
    for row in values.chunks_exact(size) {
        logs.iter_mut().zip(places).for_each(|(log, &place)| *log += row[place].max(FLOOR).ln() / batch as f32);
    }
    Ok(logs)
}

/// Shifts logs so that the probabilities sum to 1.
pub(super) fn normalise(logs: &mut [f32; 7]) {
    let top = logs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logs.iter().map(|log| (log - top).exp()).sum();
    logs.iter_mut().for_each(|log| *log -= top + sum.ln());
}
