//! Parameters that several operations share.

use serde::Deserialize;

/// The largest window, stride or padding.
pub(super) const MAX_WINDOW: usize = 1024;

/// How a window meets the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PaddingText")]
pub enum Padding {
    /// Windows stay inside.
    Valid,
    /// TensorFlow's "SAME": `ceil(input / stride)` outputs.
    Same,
    /// Zeros: top, bottom, left, right.
    Explicit([usize; 4]),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PaddingText {
    Name(String),
    Sizes([usize; 4]),
}

impl TryFrom<PaddingText> for Padding {
    type Error = String;

    fn try_from(text: PaddingText) -> Result<Self, String> {
        match text {
            PaddingText::Name(name) if name == "same" => Ok(Padding::Same),
            PaddingText::Name(name) if name == "valid" => Ok(Padding::Valid),
            PaddingText::Sizes(sizes) if sizes.iter().all(|&size| size <= MAX_WINDOW) => Ok(Padding::Explicit(sizes)),
            _ => Err("a padding is \"same\", \"valid\" or four sizes".into()),
        }
    }
}

/// What is applied to every element after an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `max(x, 0.1 x)`.
    Leaky,
}

impl Activation {
    /// Its slope below 0 and its greatest value: it is `min(max(slope x, x), greatest)`.
    #[inline(always)]
    pub(super) fn bounds(self) -> (f32, f32) {
        match self {
            Activation::Identity => (1.0, f32::INFINITY),
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Relu6 => (0.0, 6.0),
            Activation::Leaky => (0.1, f32::INFINITY),
        }
    }

    #[inline(always)]
    pub(super) fn apply(self, values: &mut [f32]) {
        match self {
            Activation::Identity => {}
            Activation::Relu => values.iter_mut().for_each(|x| *x = x.max(0.0)),
            Activation::Relu6 => values.iter_mut().for_each(|x| *x = x.clamp(0.0, 6.0)),
            Activation::Leaky => values.iter_mut().for_each(|x| *x = x.max(0.0) + 0.1 * x.min(0.0)),
        }
    }
}
