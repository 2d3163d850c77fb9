//! An NVIDIA GPU: what is measured on it besides the models, and the way of the models to it.

use std::time::Instant;

use emotion_llama_core::device::measure::Meter;
use emotion_llama_core::device::Place;
use emotion_llama_core::{Error, Result};

use crate::number;

/// A GPU, once it was opened.
#[derive(Default)]
pub struct Gpu(Option<Meter>);

impl Gpu {
    /// Where models compute on it.
    ///
    /// # Errors
    /// `invalid_argument` before `open`.
    pub fn place(&self) -> Result<&Place> {
        self.meter().map(Meter::place)
    }

    /// One measurement, or one step on the way to it.
    ///
    /// # Errors
    /// `not_found` without such a GPU; `invalid_argument` for words that are no measurement; what the GPU says.
    pub fn run(&mut self, words: &[&str]) -> Result<f64> {
        match words {
            ["open", index] => {
                let (meter, memory) = Meter::open(number(index)?)?;
                self.0 = Some(meter);
                Ok(memory as f64 / 1e9)
            }
            ["copy"] => Ok(self.meter()?.copied_bytes_per_second()? / 1e9),
            [what @ ("pictures" | "kernel"), count, width, height, side] => {
                let [count, width, height, side] = [number(count)?, number(width)?, number(height)?, number(side)?];
                let meter = self.meter()?;
                let frames = frames(count, width * height * 3);
                if *what == "kernel" {
                    return meter.picture_kernel_seconds(&frames, width, height, side);
                }
                let began = Instant::now();
                meter.pictures(&frames, width, height, side)?;
                Ok(began.elapsed().as_secs_f64())
            }
            _ => Err(Error::invalid_argument(format!("{words:?} is no measurement"))),
        }
    }

    fn meter(&self) -> Result<&Meter> {
        self.0.as_ref().ok_or_else(|| Error::invalid_argument("no GPU was opened"))
    }
}

/// `count` frames of so many values that look random.
fn frames(count: usize, values: usize) -> Vec<Vec<u8>> {
    let frame = |seed: usize| {
        let mut state = (seed as u32 + 1).wrapping_mul(0x9e37_79b9) | 1;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        };
        (0..values).map(next).collect()
    };
    (0..count).map(frame).collect()
}
