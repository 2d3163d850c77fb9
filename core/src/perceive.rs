//! From a clip, or from one that is still being decoded, to what is known of face, voice and words.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::analysis::{milliseconds, AnalysisNote, DescribedFrame, Face};
use crate::cancel::CancelToken;
use crate::encode::Encoders;
use crate::encoders::whisper::{pool_statistics, TranscribeOptions, Whisper};
use crate::error::{Error, ErrorKind, Result};
use crate::face::{FaceReader, FaceReading, FramePick, PeakFace};
use crate::features::{ClipFeatures, Cue, FaceFeatures, Features, VoiceFeatures};
use crate::media::{Clip, Frame, Pictures, Reel, Sampling, Waveform};
use crate::nn::Workspaces;
use crate::pack::{Loading, ModelSpec};
use crate::request::Transcript;
use crate::voice::{condition, measure, Prosody, VoiceHead};

/// The files of the built-in pack that the nets for faces, words and cues are in.
pub const PERCEPTION_FILES: [&str; 4] =
    ["face.safetensors", "speech.safetensors", "speech_tokenizer.json", "voice.safetensors"];

/// The nets that see and hear. Immutable; shared by reference.
pub struct Perception {
    /// None in a converted pack without them.
    cues: Option<CueNets>,
    /// None with the built-in model.
    encoders: Option<Encoders>,
}

/// What finds faces, recognises words and measures cues.
struct CueNets {
    face: FaceReader,
    whisper: Whisper,
    voice: VoiceHead,
}

/// What is known of a clip before the language model is asked.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// What the language model reads besides the words.
    pub features: Features,
    /// The words; None when nothing is said or they were not wanted.
    pub transcript: Option<String>,
    /// The language that was heard, when the words were recognised.
    pub language: Option<String>,
    /// Every face, the described one first.
    pub faces: Vec<Face>,
    /// The described frame.
    pub frame: Option<DescribedFrame>,
    /// The measurements, for people.
    pub cues: Vec<Cue>,
    /// Remarks.
    pub notes: Vec<AnalysisNote>,
    /// Milliseconds for the face.
    pub face_ms: f64,
    /// Milliseconds for voice and words, and for the published model's encoders.
    pub voice_ms: f64,
}

struct Seen {
    face: Option<FaceReading>,
    milliseconds: f64,
}

#[derive(Default)]
struct Heard {
    voice: Option<(VoiceFeatures, Prosody)>,
    transcript: Option<(String, String)>,
    milliseconds: f64,
}

impl Perception {
    /// Loads the nets of the pack that is being loaded.
    ///
    /// # Errors
    /// `pack_invalid` naming the file and what is wrong with it; `cancelled`.
    pub fn open(loading: &Loading<'_>) -> Result<Self> {
        let (with_cues, encoders) = match &loading.pack().manifest().model {
            ModelSpec::Cues(_) => (true, None),
            ModelSpec::EmotionLlama(spec) => (spec.perception, Some(Encoders::open(loading, spec)?)),
        };
        let cues = with_cues.then(|| CueNets::open(loading)).transpose()?;
        Ok(Self { cues, encoders })
    }

    /// Which frames are looked at, of those that `sampling` asks for.
    pub fn sampling(&self, sampling: Sampling) -> Sampling {
        match &self.encoders {
            Some(encoders) => encoders.sampling(sampling),
            None => sampling,
        }
    }

    /// Reads the face and, beside it, the voice and the words of `clip`; with a converted pack its encoders' features too, but for
    /// those that are `given`.
    ///
    /// What is missing is a note, not an error.
    ///
    /// # Errors
    /// `cancelled`; `invalid_argument` if features are given to the built-in model.
    pub fn observe(
        &self,
        clip: &Clip,
        pick: FramePick,
        transcript: &Transcript,
        given: &ClipFeatures,
        cancel: &CancelToken,
    ) -> Result<Observation> {
        self.check(given)?;
        let (seen, heard) = rayon::join(
            || {
                let began = Instant::now();
                let face = match &self.cues {
                    Some(cues) => cues.face.read(&clip.frames, pick, cancel)?,
                    None => None,
                };
                Ok::<_, Error>(Seen { face, milliseconds: milliseconds(began) })
            },
            || self.hear(clip.audio.as_ref(), transcript, cancel),
        );
        self.conclude(clip, seen?, heard?, (pick, transcript, given), cancel)
    }

    /// [`Perception::observe`] of the clip that `reel` decodes to: the voice is heard as soon as its sound is there, and faces are looked for
    /// in each frame that comes out of the decoder. Also gives the moment at which everything was decoded.
    ///
    /// # Errors
    /// As [`crate::media::decode`] and [`Perception::observe`].
    pub(crate) fn observe_decoding(
        &self,
        reel: &Reel<'_>,
        pick: FramePick,
        transcript: &Transcript,
        given: &ClipFeatures,
        cancel: &CancelToken,
    ) -> Result<(Observation, Instant)> {
        self.check(given)?;
        // What is seen and heard is of no use once the clip turns out to be undecodable.
        let either = cancel.child();
        let (seen, heard) = rayon::join(
            || self.see_decoding(reel, pick, &either),
            || {
                let sound = reel.sound(&either).inspect_err(|_| either.cancel())?;
                let decoded = Instant::now();
                Ok((self.hear(sound.waveform.as_ref(), transcript, &either)?, sound, decoded))
            },
        );
        let ((seen, frames, pictures, pictures_decoded), (heard, sound, sound_decoded)) = both(seen, heard)?;
        let clip = reel.clip(frames, pictures, sound)?;
        tracing::debug!(frames = clip.frames.len(), duration_s = clip.duration_s, "decoded");
        let observation = self.conclude(&clip, seen, heard, (pick, transcript, given), cancel)?;
        Ok((observation, pictures_decoded.max(sound_decoded)))
    }

    /// Decodes the pictures and reads the face in them; sets `cancel` when they cannot be decoded.
    fn see_decoding(
        &self,
        reel: &Reel<'_>,
        pick: FramePick,
        cancel: &CancelToken,
    ) -> Result<(Seen, Vec<Frame>, Pictures, Instant)> {
        let mut began = None;
        let looks = Mutex::new(Vec::new());
        let workspaces = Workspaces::new(cancel);
        let (pictures, decoded) = rayon::scope(|scope| {
            let (looks, workspaces) = (&looks, &workspaces);
            let mut turns = 0..;
            let mut keep = |frame: Frame| {
                began.get_or_insert_with(Instant::now);
                let turn = turns.next();
                scope.spawn(move |_| {
                    let found = self.cues.as_ref().map(|cues| cues.face.find(&frame, workspaces, cancel));
                    looks.lock().unwrap_or_else(PoisonError::into_inner).push((turn, frame, found));
                });
            };
            let pictures = reel.pictures(&mut keep, cancel).inspect_err(|_| cancel.cancel())?;
            Ok::<_, Error>((pictures, Instant::now()))
        })?;
        let mut looks = looks.into_inner().unwrap_or_else(PoisonError::into_inner);
        looks.retain(|(turn, ..)| *turn >= Some(pictures.void));
        looks.sort_unstable_by_key(|(_, frame, _)| frame.index);
        let (frames, found): (Vec<_>, Vec<_>) = looks.into_iter().map(|(_, frame, found)| (frame, found)).unzip();
        let face = match &self.cues {
            Some(cues) => {
                let found = found.into_iter().flatten().collect::<Result<_>>()?;
                cues.face.read_found(&frames, found, pick, &workspaces, cancel)?
            }
            None => None,
        };
        Ok((Seen { face, milliseconds: began.map_or(0.0, milliseconds) }, frames, pictures, decoded))
    }

    /// Refuses features that nothing takes.
    fn check(&self, given: &ClipFeatures) -> Result<()> {
        if self.encoders.is_none() && *given != ClipFeatures::default() {
            return Err(Error::invalid_argument(
                "features were given, but this pack has no use for them; use a converted Emotion-LLaMA pack",
            ));
        }
        Ok(())
    }

    /// Puts together what was seen and heard of `clip`, and encodes it for a converted pack.
    fn conclude(
        &self,
        clip: &Clip,
        seen: Seen,
        heard: Heard,
        (pick, transcript, given): (FramePick, &Transcript, &ClipFeatures),
        cancel: &CancelToken,
    ) -> Result<Observation> {
        let mut observation =
            Observation { face_ms: seen.milliseconds, voice_ms: heard.milliseconds, ..Observation::default() };
        observation.notes = clip.notes.iter().map(|note| AnalysisNote::new(note.name, &*note.message)).collect();
        match &seen.face {
            Some(reading) => observation.add_face(reading),
            None if clip.has_video && self.cues.is_some() => {
                observation.note("no_face", "no face was found in the pictures")
            }
            None => {}
        }
        match heard.voice {
            Some((features, prosody)) => observation.add_voice(features, &prosody),
            None if clip.has_audio && self.cues.is_some() => {
                observation.note("no_voice", "no voice was heard in the sound")
            }
            None => {}
        }
        if let Transcript::Text(text) = transcript {
            observation.transcript = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        } else if let Some((text, language)) = heard.transcript {
            observation.transcript = Some(text);
            observation.language = Some(language);
        } else if observation.features.voice.is_some() && *transcript == Transcript::Auto {
            observation
                .note("no_words", "a voice was heard, but no words were understood; give them if they are known");
        }
        if let Some(encoders) = &self.encoders {
            let encoding = encoders.encode(clip, seen.face.as_ref(), pick, given, cancel)?;
            observation.voice_ms += encoding.milliseconds;
            observation.frame = encoding.frame;
            observation.notes.extend(encoding.notes);
            observation.features.encoded = Some(encoding.encoded);
        }
        Ok(observation)
    }

    fn hear(&self, audio: Option<&Waveform>, transcript: &Transcript, cancel: &CancelToken) -> Result<Heard> {
        let began = Instant::now();
        let mut heard = Heard::default();
        let (Some(audio), Some(CueNets { whisper, voice, .. })) = (audio, &self.cues) else { return Ok(heard) };
        if let Some(prosody) = measure(audio, voice.norms(), cancel)? {
            let states = whisper.hidden_states(&condition(audio, &prosody), cancel)?;
            let pooled = pool_statistics(&states);
            let prosody = voice.place(&pooled, &prosody);
            let posterior = voice.posterior(&pooled, &prosody);
            let features = VoiceFeatures { posterior, prosody: prosody.z.to_array() };
            heard.voice = Some((features, prosody));
            if *transcript == Transcript::Auto {
                let spoken = whisper.transcribe(audio, &TranscribeOptions::default(), cancel)?;
                let text = spoken.text.trim().to_owned();
                heard.transcript = Some((text, spoken.language)).filter(|(text, _)| !text.is_empty());
            }
        }
        heard.milliseconds = milliseconds(began);
        Ok(heard)
    }
}

/// Both results. Of two errors the one that made the other: an error cancels what runs beside it.
fn both<A, B>(one: Result<A>, other: Result<B>) -> Result<(A, B)> {
    match (one, other) {
        (Err(one), Err(other)) => Err(if one.kind == ErrorKind::Cancelled { other } else { one }),
        (one, other) => Ok((one?, other?)),
    }
}

impl CueNets {
    fn open(loading: &Loading<'_>) -> Result<Self> {
        let dir = loading.pack().dir();
        let (face, (whisper, voice)) = rayon::join(
            || loading.part(FaceReader::FILE, |_| FaceReader::open(dir)),
            || {
                rayon::join(
                    || loading.part(Whisper::FILE, |_| Whisper::open(dir)),
                    || loading.part(VoiceHead::FILE, |_| VoiceHead::open(dir)),
                )
            },
        );
        Ok(Self { face: face?, whisper: whisper?, voice: voice? })
    }
}

impl Observation {
    fn note(&mut self, name: &str, message: &str) {
        self.notes.push(AnalysisNote::new(name, message));
    }

    fn add_face(&mut self, reading: &FaceReading) {
        self.faces = reading
            .faces
            .iter()
            .map(|face| Face { bbox: face.bbox.into(), score: face.score, track: face.track, time_s: face.time_s })
            .collect();
        let PeakFace { time_s, index, bbox, .. } = &reading.peak;
        self.frame = Some(DescribedFrame { time_s: *time_s, index: *index, face: Some((*bbox).into()) });
        let g = &reading.geometry;
        self.cues.extend([
            Cue::new("brow_height", g.brow_height, ["lowered", "raised"]),
            Cue::new("brow_gap", g.brow_gap, ["drawn together", "apart"]),
            Cue::new("eye_open", g.eye_open, ["narrowed", "wide"]),
            Cue::new("mouth_open", g.mouth_open, ["pressed", "open"]),
            Cue::new("mouth_corner", g.mouth_corner, ["down", "up"]),
            Cue::new("mouth_width", g.mouth_width, ["narrow", "stretched"]),
        ]);
        self.features.face = Some(FaceFeatures {
            peak: reading.peak_posterior,
            mean: reading.mean_posterior,
            geometry: [g.brow_height, g.brow_gap, g.eye_open, g.mouth_open, g.mouth_corner, g.mouth_width],
        });
    }

    fn add_voice(&mut self, features: VoiceFeatures, prosody: &Prosody) {
        let z = &prosody.z;
        let valued = |cue: Cue, value: Option<f32>, unit| match value {
            Some(value) => cue.with_value(value, unit),
            None => cue,
        };
        self.cues.extend([
            valued(Cue::new("pitch", z.pitch, ["low", "high"]), prosody.pitch_hz, "hertz"),
            valued(Cue::new("pitch_range", z.pitch_range, ["flat", "lively"]), prosody.pitch_range_st, "semitones"),
            Cue::new("energy", z.energy, ["soft", "strong"]).with_value(prosody.energy_db, "decibels"),
            Cue::new("rate", z.rate, ["slow", "fast"]).with_value(prosody.rate_sps, "syllables_per_second"),
            Cue::new("brightness", z.brightness, ["dark", "bright"]).with_value(prosody.brightness, "decibels"),
        ]);
        self.features.voice = Some(features);
    }
}
