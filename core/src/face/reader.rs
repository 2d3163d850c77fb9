//! The face reader: from frames to a reading.

use std::path::Path;

use rayon::prelude::*;

use super::detect::Detection;
use super::expression::{Expressions, LogPosteriors, View, NETS};
use super::fusion::fuse;
use super::landmarks::{self, Landmarks};
use super::picture::{Outside, Picture};
use super::search::{Look, Search};
use super::track::{follow, Track};
use super::{FaceBox, FaceReading, FramePick, FrameReading, Geometry, PeakFace, TrackedFace};
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::media::Frame;
use crate::nn::{NetFile, Workspace};

/// The file in a pack that holds the face nets.
const FILE: &str = "face.safetensors";
/// The described face is read in at most this many frames, spread over the clip.
const MOST_FRAMES: usize = 16;
/// At most this many faces are listed.
const MOST_FACES: usize = 32;

/// Finds and reads faces. Immutable; share it between threads.
#[derive(Debug)]
pub struct FaceReader {
    file: NetFile,
    search: Search,
    expressions: Expressions,
}

/// The described face in one frame, with what the choice of the peak needs.
struct Seen {
    position: usize,
    face: Detection,
    views: Vec<View>,
    nets: LogPosteriors,
    posterior: [f32; 7],
    geometry: Geometry,
    sharpness: f32,
}

impl FaceReader {
    /// Opens the face nets of the pack in `pack_dir`.
    ///
    /// # Errors
    /// `not_found` when the file is missing, `pack_invalid` when it is damaged.
    pub fn open(pack_dir: &Path) -> Result<Self> {
        let file = NetFile::open(&pack_dir.join(FILE))?;
        let (search, expressions) = (Search::open(&file)?, Expressions::open(&file)?);
        Ok(Self { file, search, expressions })
    }

    /// Reads the most prominent face in `frames`, which are in the order of time. None: there is no face.
    ///
    /// # Errors
    /// `cancelled`; `invalid_argument` when a frame's buffer is shorter than its size says; `pack_invalid` when the nets do not
    /// hold together.
    pub fn read(&self, frames: &[Frame], pick: FramePick, cancel: &CancelToken) -> Result<Option<FaceReading>> {
        cancel.check()?;
        let mut pictures = Vec::with_capacity(frames.len());
        for frame in frames {
            let damaged = || {
                let (width, height, bytes) = (frame.width, frame.height, frame.rgb.len());
                Error::invalid_argument(format!("a frame of {width} x {height} RGB pixels has {bytes} bytes"))
            };
            pictures.push(Picture::of(frame).ok_or_else(damaged)?);
        }
        let still = pictures.len() == 1;
        let (detections, bare) = self.detect(&pictures, still, cancel)?;
        let sizes: Vec<(usize, usize)> = pictures.iter().map(|picture| (picture.width, picture.height)).collect();
        let tracks = follow(&detections, &sizes);
        let Some(track) = tracks.first() else { return Ok(None) };
        let looks = self.read_track(track, &pictures, bare, still, cancel)?;
        let Some(chosen) = choose(&looks, frames, pick) else { return Ok(None) };
        let chosen = &looks[chosen];
        let nets = match still {
            true => chosen.nets,
            false => {
                cancel.check()?;
                let mut ws = Workspace::parallel();
                self.expressions.read(&pictures[chosen.position], &chosen.views, true, &mut ws)?
            }
        };
        Ok(Some(reading(frames, &tracks, &looks, chosen, &nets)))
    }

    /// The faces of every frame, and whether the only picture is a bare face.
    fn detect(
        &self,
        pictures: &[Picture<'_>],
        still: bool,
        cancel: &CancelToken,
    ) -> Result<(Vec<Vec<Detection>>, bool)> {
        let everywhere = |look: Look| -> Result<Vec<Vec<Detection>>> {
            let each = pictures.par_iter().map_init(Workspace::new, |ws, picture| {
                cancel.check()?;
                self.search.look(&self.file, picture, look, ws)
            });
            each.collect()
        };
        let mut found = everywhere(Look::Whole)?;
        let mut ws = Workspace::parallel();
        if still && pictures.first().is_some_and(Search::may_be_bare) {
            let picture = &pictures[0];
            let padded = self.search.look(&self.file, picture, Look::Padded, &mut ws)?;
            let best = |faces: &[Detection]| faces.first().map_or(0.0, |face| face.score);
            if best(&padded) > best(&found[0]) {
                found[0] = padded;
            }
            if found[0].first().is_some_and(|face| Search::fills(picture, face)) {
                return Ok((found, true));
            }
            if found[0].is_empty() {
                if let Some(face) = self.search.is_bare_face(picture, &mut ws)? {
                    return Ok((vec![vec![face]], true));
                }
            }
        }
        if found.iter().all(Vec::is_empty) && !pictures.is_empty() {
            let last = pictures.len() - 1;
            let mut probes = vec![last / 2, 0, last];
            probes.dedup();
            probes.truncate(if still { 1 } else { 3 });
            let probes: Vec<&Picture<'_>> = probes.into_iter().map(|i| &pictures[i]).collect();
            if let Some(look) = self.search.best_look(&self.file, &probes, cancel, &mut ws)? {
                found = everywhere(look)?;
            }
        }
        Ok((found, false))
    }

    /// Landmarks, geometry and posteriors of one track.
    fn read_track(
        &self,
        track: &Track,
        pictures: &[Picture<'_>],
        bare: bool,
        still: bool,
        cancel: &CancelToken,
    ) -> Result<Vec<Seen>> {
        let count = track.seen.len();
        let kept = count.min(MOST_FRAMES);
        let chosen: Vec<_> = (0..kept).map(|i| track.seen[i * count / kept]).collect();
        let each = chosen.into_par_iter().map_init(Workspace::new, |ws, (position, face)| {
            cancel.check()?;
            let picture = &pictures[position];
            let landmarks = landmarks::find(&self.search.landmarks, picture, &face, ws)?;
            cancel.check()?;
            let views = views(picture, &landmarks, bare);
            let nets = self.expressions.read(picture, &views, still, ws)?;
            let sharpness = picture.cut(&landmarks.aligned(), 96, Outside::Edge).sharpness();
            let (posterior, geometry) = (fuse(&nets), Geometry::of(&landmarks));
            Ok(Seen { position, face, views, nets, posterior, geometry, sharpness })
        });
        each.collect()
    }
}

/// How the expression nets are shown the face.
fn views(picture: &Picture<'_>, landmarks: &Landmarks, bare: bool) -> Vec<View> {
    let tight = landmarks.aligned();
    let aligned = View { tight, loose: tight.shifted(0.0, 0.02, 1.12), weight: 1.0 };
    if !bare {
        return vec![aligned];
    }
    // The picture is framed as the nets were trained; alignment may still be off on so small a face, so it counts less.
    let whole = picture.frame_region(1.0);
    let near = whole.shifted(0.0, 0.0, 0.92);
    let mut views =
        vec![View { tight: whole, loose: whole, weight: 1.0 }, View { tight: near, loose: near, weight: 0.5 }];
    let ratio = tight.side / whole.side;
    if (0.6..1.5).contains(&ratio) && tight.angle.abs() < 0.6 {
        views.push(View { weight: 0.5, ..aligned });
    }
    views
}

/// Which look is described.
fn choose(looks: &[Seen], frames: &[Frame], pick: FramePick) -> Option<usize> {
    let nearest = |time: f64| {
        let gap = |look: &Seen| (frames[look.position].time_s - time).abs();
        (0..looks.len()).min_by(|&a, &b| gap(&looks[a]).total_cmp(&gap(&looks[b])))
    };
    match pick {
        FramePick::First => (!looks.is_empty()).then_some(0),
        FramePick::Middle => {
            let (first, last) = (frames.first()?.time_s, frames.last()?.time_s);
            nearest((first + last) / 2.0)
        }
        FramePick::At(time) => nearest(time),
        FramePick::Peak => {
            let typical = median(looks.iter().map(|look| look.sharpness).collect());
            let value = |i: usize| {
                // A look counts half for itself and half with its neighbours: an expression lasts longer than one frame.
                let around = [i.saturating_sub(1), i, i, (i + 1).min(looks.len() - 1)];
                let smooth = mean(around.iter().map(|&i| (&looks[i].posterior, 1.0)));
                let sharp = (looks[i].sharpness / typical.max(1e-3)).clamp(0.25, 1.0).sqrt();
                expressiveness(&smooth) * looks[i].face.score * sharp
            };
            (0..looks.len()).max_by(|&a, &b| value(a).total_cmp(&value(b)).then(b.cmp(&a)))
        }
    }
}

/// 0: neutral or undecided; 1: certainly one emotion.
fn expressiveness(posterior: &[f32; 7]) -> f32 {
    let [emotions @ .., neutral] = posterior;
    let top = emotions.iter().copied().fold(0.0, f32::max);
    0.5 * (1.0 - neutral) + 0.5 * top
}

fn reading(frames: &[Frame], tracks: &[Track], looks: &[Seen], chosen: &Seen, nets: &LogPosteriors) -> FaceReading {
    let scaled = |position: usize, b: FaceBox| {
        let frame = &frames[position];
        let (x, y) = (
            frame.source_width as f32 / frame.width.max(1) as f32,
            frame.source_height as f32 / frame.height.max(1) as f32,
        );
        FaceBox { x: b.x * x, y: b.y * y, width: b.width * x, height: b.height * y }
    };
    let faces = tracks.iter().take(MOST_FACES).enumerate().filter_map(|(number, track)| {
        let best = || track.seen.iter().max_by(|a, b| a.1.score.total_cmp(&b.1.score)).copied();
        let (position, face) = if number == 0 { (chosen.position, chosen.face) } else { best()? };
        let frame = &frames[position];
        let bbox = scaled(position, face.bbox);
        Some(TrackedFace { bbox, score: face.score, track: number, frame_index: frame.index, time_s: frame.time_s })
    });
    let frame = &frames[chosen.position];
    FaceReading {
        faces: faces.collect(),
        peak: PeakFace {
            position: chosen.position,
            time_s: frame.time_s,
            index: frame.index,
            bbox: scaled(chosen.position, chosen.face.bbox),
            score: chosen.face.score,
        },
        peak_posterior: fuse(nets),
        mean_posterior: mean(
            looks.iter().map(|look| (&look.posterior, look.face.score * look.sharpness.max(0.1).sqrt())),
        ),
        geometry: chosen.geometry,
        per_net: NETS.into_iter().zip(nets.map(|logs| logs.map(f32::exp))).collect(),
        per_frame: looks
            .iter()
            .map(|look| FrameReading {
                position: look.position,
                time_s: frames[look.position].time_s,
                bbox: scaled(look.position, look.face.bbox),
                score: look.face.score,
                posterior: look.posterior,
                geometry: look.geometry,
            })
            .collect(),
    }
}

/// Weighted mean of posteriors.
fn mean<'a>(posteriors: impl Iterator<Item = (&'a [f32; 7], f32)>) -> [f32; 7] {
    let mut sum = [0.0f32; 7];
    let mut total = 0.0;
    for (posterior, weight) in posteriors {
        sum.iter_mut().zip(posterior).for_each(|(sum, p)| *sum += weight * p);
        total += weight;
    }
    sum.map(|value| value / total.max(f32::EPSILON))
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
