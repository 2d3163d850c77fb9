//! The face reader: from frames to a reading.

use std::path::Path;

use rayon::prelude::*;

use super::detect::{merged, Detection};
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
use crate::nn::{NetFile, Workspace, Workspaces};

/// The described face is read in at most this many frames, spread over the clip.
const MOST_FRAMES: usize = 16;
/// The finer detector looks at at most this many frames.
const FINE_FRAMES: usize = 3;
/// Eyes that are this much narrower than in the clip's median, in standard deviations, are in a blink.
const BLINK: f32 = 0.25;
/// At most this many faces are listed.
const MOST_FACES: usize = 32;

/// Finds and reads faces. Immutable; share it between threads.
#[derive(Debug)]
pub struct FaceReader {
    file: NetFile,
    search: Search,
    expressions: Expressions,
}

/// The faces in one frame, at first sight.
#[derive(Debug)]
pub(crate) struct Found(Vec<Detection>);

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
    /// The nets' file in a pack.
    pub(crate) const FILE: &str = "face.safetensors";

    /// Opens the face nets of the pack in `pack_dir`.
    ///
    /// # Errors
    /// `not_found` when the file is missing, `pack_invalid` when it is damaged.
    pub fn open(pack_dir: &Path) -> Result<Self> {
        let file = NetFile::open(&pack_dir.join(Self::FILE))?;
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
        let workspaces = Workspaces::new(cancel);
        let found = self.everywhere(&pictures(frames)?, Look::Whole, &workspaces, cancel)?;
        self.read_found(frames, found.into_iter().map(Found).collect(), pick, &workspaces, cancel)
    }

    /// What is found at first sight in one of the frames that are read.
    ///
    /// # Errors
    /// As [`FaceReader::read`].
    pub(crate) fn find(&self, frame: &Frame, workspaces: &Workspaces, cancel: &CancelToken) -> Result<Found> {
        cancel.check()?;
        let picture = picture(frame)?;
        Ok(Found(workspaces.with(|ws| self.search.look(&self.file, &picture, Look::Whole, ws))?))
    }

    /// [`FaceReader::read`] with what [`FaceReader::find`] has `found` in each of `frames`.
    ///
    /// # Errors
    /// As [`FaceReader::read`].
    pub(crate) fn read_found(
        &self,
        frames: &[Frame],
        found: Vec<Found>,
        pick: FramePick,
        workspaces: &Workspaces,
        cancel: &CancelToken,
    ) -> Result<Option<FaceReading>> {
        let pictures = pictures(frames)?;
        let still = pictures.len() == 1;
        let found = found.into_iter().map(|found| found.0).collect();
        let (detections, bare) = self.detect(&pictures, found, still, workspaces, cancel)?;
        let sizes: Vec<(usize, usize)> = pictures.iter().map(|picture| (picture.width, picture.height)).collect();
        let tracks = follow(&detections, &sizes);
        let Some(track) = tracks.first() else { return Ok(None) };
        let looks = self.read_track(track, &pictures, bare, still, workspaces, cancel)?;
        let Some(number) = choose(&looks, frames, pick) else { return Ok(None) };
        let chosen = &looks[number];
        let nets = match still {
            true => chosen.nets,
            false => {
                cancel.check()?;
                let mut ws = Workspace::parallel().cancelled_by(cancel);
                self.expressions.complete(&pictures[chosen.position], &chosen.views, chosen.nets, &mut ws)?
            }
        };
        let own = fuse(&nets);
        let posterior = if pick == FramePick::Peak { smoothed(&looks, number, &own) } else { own };
        Ok(Some(reading(frames, &tracks, &looks, chosen, &nets, posterior)))
    }

    /// Additions and multiplications that the nets take for each of `frames`, with one face that is found at first sight, and for the described
    /// one once more. For benchmarks.
    ///
    /// # Errors
    /// As [`FaceReader::read`]; `invalid_argument` for a frame without a face.
    #[doc(hidden)]
    pub fn operations(&self, frames: &[Frame]) -> Result<u64> {
        let mut ws = Workspace::new();
        for (number, frame) in frames.iter().enumerate() {
            let picture = picture(frame)?;
            let found = self.search.look(&self.file, &picture, Look::Whole, &mut ws)?;
            let face = found.first().ok_or_else(|| Error::invalid_argument("a frame shows no face"))?;
            let still = frames.len() == 1;
            let seen = self.see(number, &picture, *face, false, still, &mut ws)?;
            if number == 0 && !still {
                self.expressions.complete(&picture, &seen.views, seen.nets, &mut ws)?;
            }
        }
        Ok(ws.operations())
    }

    /// The faces of every picture.
    fn everywhere(
        &self,
        pictures: &[Picture<'_>],
        look: Look,
        workspaces: &Workspaces,
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<Detection>>> {
        let each = pictures.par_iter().with_max_len(1).map(|picture| {
            cancel.check()?;
            workspaces.with(|ws| self.search.look(&self.file, picture, look, ws))
        });
        each.collect()
    }

    /// The faces of every picture, of which some were `found` at first sight, and whether the only picture is a bare face.
    fn detect(
        &self,
        pictures: &[Picture<'_>],
        mut found: Vec<Vec<Detection>>,
        still: bool,
        workspaces: &Workspaces,
        cancel: &CancelToken,
    ) -> Result<(Vec<Vec<Detection>>, bool)> {
        let mut ws = Workspace::parallel().cancelled_by(cancel);
        let bare_size = still && pictures.first().is_some_and(Search::may_be_bare);
        if bare_size {
            let picture = &pictures[0];
            let padded = self.search.look(&self.file, picture, Look::Padded, &mut ws)?;
            let best = |faces: &[Detection]| faces.first().map_or(0.0, |face| face.score);
            if best(&padded) > best(&found[0]) {
                found[0] = padded;
            }
            if found[0].first().is_some_and(|face| Search::fills(picture, face)) {
                return Ok((found, true));
            }
            // A face that fills the picture is taken at the detector's word, a small one must be confirmed.
            found[0] = self.confirmed(picture, std::mem::take(&mut found[0]), cancel, &mut ws)?;
            if found[0].is_empty() {
                if let Some(face) = self.search.is_bare_face(picture, &mut ws)? {
                    return Ok((vec![vec![face]], true));
                }
            }
        }
        let small = found.iter().zip(pictures).filter(|(faces, picture)| Search::wants_finer(picture, faces)).count();
        let any = found.iter().any(|faces| !faces.is_empty());
        if any && 2 * small > pictures.len() && !bare_size {
            // The finer detector is slow, so it looks at a few frames only; the others keep what they have.
            let looks = pictures.len().min(FINE_FRAMES);
            for i in 0..looks {
                cancel.check()?;
                let at = i * pictures.len() / looks;
                let finer = self.search.look(&self.file, &pictures[at], Look::Fine, &mut ws)?;
                found[at] = merged(std::mem::take(&mut found[at]), finer);
            }
        }
        if found.iter().all(Vec::is_empty) && !pictures.is_empty() {
            let last = pictures.len() - 1;
            let mut probes = vec![last / 2, 0, last];
            probes.dedup();
            probes.truncate(if still { 1 } else { 3 });
            let probes: Vec<&Picture<'_>> = probes.into_iter().map(|i| &pictures[i]).collect();
            if let Some(look) = self.search.best_look(&self.file, &probes, cancel, &mut ws)? {
                // Where the first look sees nothing, the others are believed only after a second one.
                let faces = self.everywhere(pictures, look, workspaces, cancel)?.into_iter().zip(pictures);
                let confirmed = faces.map(|(faces, picture)| self.confirmed(picture, faces, cancel, &mut ws));
                found = confirmed.collect::<Result<_>>()?;
            }
        }
        Ok((found, false))
    }

    /// Those of `faces` that are sure or stand up to a closer look.
    fn confirmed(
        &self,
        picture: &Picture<'_>,
        faces: Vec<Detection>,
        cancel: &CancelToken,
        ws: &mut Workspace,
    ) -> Result<Vec<Detection>> {
        let mut kept = Vec::with_capacity(faces.len());
        for face in faces {
            cancel.check()?;
            if self.search.confirmed(picture, &face, ws)? {
                kept.push(face);
            }
        }
        Ok(kept)
    }

    /// Landmarks, geometry and posteriors of one track.
    fn read_track(
        &self,
        track: &Track,
        pictures: &[Picture<'_>],
        bare: bool,
        still: bool,
        workspaces: &Workspaces,
        cancel: &CancelToken,
    ) -> Result<Vec<Seen>> {
        let count = track.seen.len();
        let kept = count.min(MOST_FRAMES);
        let chosen: Vec<_> = (0..kept).map(|i| track.seen[i * count / kept]).collect();
        // Each by itself, so that whoever comes free takes the next one.
        let each = chosen.into_par_iter().with_max_len(1).map(|(position, face)| {
            cancel.check()?;
            workspaces.with(|ws| self.see(position, &pictures[position], face, bare, still, ws))
        });
        each.collect()
    }

    /// Landmarks, geometry and posteriors of a face in one picture, which is at `position`.
    fn see(
        &self,
        position: usize,
        picture: &Picture<'_>,
        face: Detection,
        bare: bool,
        still: bool,
        ws: &mut Workspace,
    ) -> Result<Seen> {
        let landmarks = landmarks::find(&self.search.landmarks, picture, &face, ws)?;
        ws.check()?;
        let views = views(picture, &landmarks, bare);
        let nets = self.expressions.read(picture, &views, still, ws)?;
        let sharpness = picture.cut(&landmarks.aligned(), 96, Outside::Edge).sharpness();
        let (posterior, geometry) = (fuse(&nets), Geometry::of(&landmarks));
        Ok(Seen { position, face, views, nets, posterior, geometry, sharpness })
    }
}

/// The pictures of `frames`.
fn pictures(frames: &[Frame]) -> Result<Vec<Picture<'_>>> {
    frames.iter().map(picture).collect()
}

fn picture(frame: &Frame) -> Result<Picture<'_>> {
    Picture::of(frame).ok_or_else(|| {
        let (width, height, bytes) = (frame.width, frame.height, frame.rgb.len());
        Error::invalid_argument(format!("a frame of {width} x {height} RGB pixels has {bytes} bytes"))
    })
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
            let value = |i: usize| expressiveness(&smoothed(looks, i, &looks[i].posterior)) * quality(looks, i);
            (0..looks.len()).max_by(|&a, &b| value(a).total_cmp(&value(b)).then(b.cmp(&a)))
        }
    }
}

/// `own`, the posterior of look `i`, counted half, and half its neighbours': an expression lasts longer than one frame, a blink or
/// the shape of a spoken vowel does not.
fn smoothed(looks: &[Seen], i: usize, own: &[f32; 7]) -> [f32; 7] {
    let around = [i.checked_sub(1), Some(i + 1)].into_iter().flatten().filter_map(|i| looks.get(i));
    mean(around.map(|look| (&look.posterior, 1.0)).chain([(own, 2.0)]))
}

/// How far look `i` can be trusted, against the others: detector's score, sharpness, and open eyes. The nets take a blink for
/// sadness.
fn quality(looks: &[Seen], i: usize) -> f32 {
    let sharpness = median(looks.iter().map(|look| look.sharpness).collect());
    let eyes = median(looks.iter().map(|look| look.geometry.eye_open).collect());
    let look = &looks[i];
    let sharp = (look.sharpness / sharpness.max(1e-3)).clamp(0.25, 1.0).sqrt();
    let open = (1.0 + look.geometry.eye_open - eyes + BLINK).clamp(0.25, 1.0);
    look.face.score * sharp * open
}

/// 0: neutral or undecided; 1: certainly one emotion.
fn expressiveness(posterior: &[f32; 7]) -> f32 {
    let [emotions @ .., neutral] = posterior;
    let top = emotions.iter().copied().fold(0.0, f32::max);
    0.5 * (1.0 - neutral) + 0.5 * top
}

fn reading(
    frames: &[Frame],
    tracks: &[Track],
    looks: &[Seen],
    chosen: &Seen,
    nets: &LogPosteriors,
    posterior: [f32; 7],
) -> FaceReading {
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
        peak_posterior: posterior,
        mean_posterior: mean(looks.iter().enumerate().map(|(i, look)| (&look.posterior, quality(looks, i)))),
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
