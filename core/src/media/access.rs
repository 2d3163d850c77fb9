//! What a packet of pictures says of itself before it is decoded: whether decoding can begin at it, and whether other pictures refer to it.

use ffmpeg_next::codec::{self, Id};
use ffmpeg_next::Packet;

use super::raw;

/// How the pictures of a codec refer to each other, as far as it shows from their packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// To none.
    Intra,
    /// Pictures that come out of turn are between two others, and no picture refers to them (MPEG-1, MPEG-2, MPEG-4 part 2).
    Between,
    /// As each says itself. Its parts begin with their lengths of that many bytes, or with start codes.
    H264 { length_bytes: Option<usize> },
    /// Each may refer to any since the last key frame.
    Chain,
}

/// One packet of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Presentation time stamp in units of the stream's time base.
    pub pts: i64,
    /// Decoding can begin here: what follows in time refers to nothing before.
    pub is_entry: bool,
    /// No other picture refers to this one.
    pub is_disposable: bool,
    /// A frame comes out of it.
    pub is_shown: bool,
}

impl Coding {
    /// None for codecs whose frames are always decoded from first to last.
    pub fn of(parameters: &codec::Parameters) -> Option<Self> {
        match parameters.id() {
            Id::MJPEG | Id::PNG | Id::PRORES | Id::DNXHD => Some(Self::Intra),
            Id::MPEG1VIDEO | Id::MPEG2VIDEO | Id::MPEG4 => Some(Self::Between),
            Id::H264 => Some(Self::H264 { length_bytes: length_bytes(raw::extradata(parameters)) }),
            Id::HEVC | Id::VP8 | Id::VP9 | Id::FLV1 | Id::H263 => Some(Self::Chain),
            _ => None,
        }
    }

    /// What `packet` says, of which a frame `is_shown` at `pts`. `latest` is the highest time stamp before it in the file.
    pub fn mark(self, packet: &Packet, pts: i64, is_shown: bool, latest: Option<i64>) -> Mark {
        let (is_entry, is_disposable) = match self {
            Self::Intra => (true, true),
            Self::Between => (packet.is_key(), !packet.is_key() && latest.is_some_and(|latest| pts < latest)),
            Self::H264 { length_bytes } => slice(packet.data().unwrap_or_default(), length_bytes)
                // The container's key frames may be ones from which the picture is only refreshed bit by bit.
                .map_or((false, false), |slice| (slice.is_idr && packet.is_key(), !slice.is_reference)),
            Self::Chain => (packet.is_key(), false),
        };
        Mark { pts, is_entry, is_disposable, is_shown }
    }
}

/// Bytes of the lengths before the parts of an H.264 packet (ISO/IEC 14496-15, `lengthSizeMinusOne`). None with start codes.
fn length_bytes(extradata: &[u8]) -> Option<usize> {
    match extradata {
        [1, _, _, _, size, ..] => Some(usize::from(size & 3) + 1),
        _ => None,
    }
}

/// The first slice of an H.264 picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slice {
    is_idr: bool,
    is_reference: bool,
}

impl Slice {
    /// That of a part which begins with `header` (ITU-T H.264, 7.3.1). None for parts that hold no picture.
    fn of(header: u8) -> Option<Self> {
        let kind = header & 0x1F;
        (1..=5).contains(&kind).then_some(Self { is_idr: kind == 5, is_reference: header & 0x60 != 0 })
    }
}

fn slice(mut data: &[u8], length_bytes: Option<usize>) -> Option<Slice> {
    loop {
        let part;
        match length_bytes {
            Some(bytes) => {
                let (length, rest) = data.split_at_checked(bytes)?;
                let length = length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
                (part, data) = rest.split_at_checked(length)?;
            }
            None => {
                let start = data.windows(3).position(|bytes| bytes == [0, 0, 1])?;
                data = data.get(start + 3..)?;
                part = data;
            }
        }
        if let Some(slice) = part.first().and_then(|&header| Slice::of(header)) {
            return Some(slice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDR: Slice = Slice { is_idr: true, is_reference: true };

    #[test]
    fn the_first_slice_is_found_behind_other_parts() {
        assert_eq!(slice(&[0, 0, 0, 1, 0x67, 9, 9, 0, 0, 1, 0x68, 9, 0, 0, 1, 0x65, 7], None), Some(IDR));
        assert_eq!(slice(&[0, 2, 0x67, 9, 0, 1, 0x68, 0, 2, 0x65, 7], Some(2)), Some(IDR));
        let between = Slice { is_idr: false, is_reference: false };
        assert_eq!(slice(&[0, 0, 0, 2, 9, 0xF0, 0, 0, 0, 2, 1, 7], Some(4)), Some(between));
        assert_eq!(slice(&[0, 0, 1, 0x41], None), Some(Slice { is_idr: false, is_reference: true }));
    }

    #[test]
    fn what_is_no_picture_is_none() {
        let cases: [&[u8]; 5] = [&[], &[0, 0, 1], &[0, 0, 1, 0x67, 0x65], &[0, 0, 0, 9, 0x65], &[0, 0, 0, 1]];
        for data in cases {
            assert_eq!(slice(data, None).or(slice(data, Some(4))), None, "{data:?}");
        }
    }

    #[test]
    fn lengths_have_the_size_that_the_header_tells() {
        assert_eq!(length_bytes(&[1, 0x64, 0, 0x1E, 0xFF, 0xE1]), Some(4));
        assert_eq!(length_bytes(&[1, 0x64, 0, 0x1E, 0xFD, 0xE1]), Some(2));
        assert_eq!(length_bytes(&[0, 0, 0, 1, 0x67]), None);
        assert_eq!(length_bytes(&[]), None);
    }
}
