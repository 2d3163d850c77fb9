//! Pictures and sound as a running program has them: raw, one by one, with time stamps.
//!
//! A [`LiveBuffer`] takes pictures ([`RawFrame`]) and sound ([`Pcm`]) as they come from a camera and a microphone, keeps the last
//! seconds, and gives any part of them as a [`Clip`](crate::media::Clip), as if that part had been a file. Colours, sizes and sound go through
//! the same code as those of files, and frames are chosen by the same rules. So a live clip is read as the file of it would be.

mod buffer;
mod picture;
mod pixels;
mod sound;

pub use buffer::{LiveBuffer, LiveOptions};
pub use pixels::{PixelFormat, Plane, Planes, RawFrame};
pub use sound::{Pcm, PcmFormat, PcmSamples};
