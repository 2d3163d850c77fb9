//! Following faces from frame to frame, and which of them matters.

use super::detect::{iou, Detection};

/// A face keeps its track where its box overlaps the last one by at least this much.
const FOLLOW_IOU: f32 = 0.2;

/// A face over the clip.
#[derive(Debug, Clone)]
pub(super) struct Track {
    /// Position of the frame and the face in it.
    pub(super) seen: Vec<(usize, Detection)>,
    /// Size, score, centrality and persistence in one number.
    pub(super) prominence: f32,
}

/// Joins the detections of each frame (`[frames]`) to tracks, the most prominent first. `sizes` are the frames' sizes.
pub(super) fn follow(frames: &[Vec<Detection>], sizes: &[(usize, usize)]) -> Vec<Track> {
    let mut tracks: Vec<Track> = Vec::new();
    for (position, detections) in frames.iter().enumerate() {
        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (t, track) in tracks.iter().enumerate() {
            let Some((_, last)) = track.seen.last() else { continue };
            for (d, detection) in detections.iter().enumerate() {
                let overlap = iou(&last.bbox, &detection.bbox);
                if overlap >= FOLLOW_IOU {
                    pairs.push((overlap, t, d));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let mut track_taken = vec![false; tracks.len()];
        let mut taken = vec![false; detections.len()];
        for (_, t, d) in pairs {
            if !track_taken[t] && !taken[d] {
                (track_taken[t], taken[d]) = (true, true);
                tracks[t].seen.push((position, detections[d]));
            }
        }
        for (detection, taken) in detections.iter().zip(taken) {
            if !taken {
                tracks.push(Track { seen: vec![(position, *detection)], prominence: 0.0 });
            }
        }
    }
    let count = frames.len().max(1) as f32;
    for track in &mut tracks {
        let sum: f32 = track.seen.iter().map(|(position, face)| weight(face, sizes[*position])).sum();
        track.prominence = sum / count;
    }
    tracks.sort_by(|a, b| b.prominence.total_cmp(&a.prominence));
    tracks
}

/// Side as a share of the picture's, times the score, times 1 in the centre and a half at the border.
fn weight(face: &Detection, (width, height): (usize, usize)) -> f32 {
    let (width, height) = (width.max(1) as f32, height.max(1) as f32);
    let b = face.bbox;
    let size = (b.width * b.height / (width * height)).max(0.0).sqrt();
    let (x, y) = ((b.x + b.width / 2.0) / width - 0.5, (b.y + b.height / 2.0) / height - 0.5);
    let central = 1.0 - (2.0 * x.abs().max(y.abs())).min(1.0) * 0.5;
    size * face.score * central
}
