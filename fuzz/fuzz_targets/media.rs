//! Media bytes through FFmpeg, with tight limits. FFmpeg itself is not instrumented: what is looked for is in this crate's own code and
//! in how it calls FFmpeg. Whatever takes longer than a second is cancelled, and has to end then.
#![no_main]

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use emotion_llama_core::media::{decode, FramePick, Limits, Sampling, Source};
use emotion_llama_core::CancelToken;
use emotion_llama_fuzz::settle;
use libfuzzer_sys::fuzz_target;

const ALLOWED: Duration = Duration::from_secs(1);

/// What runs now, and since when.
static RUNNING: Mutex<Option<(Instant, CancelToken)>> = Mutex::new(None);

fuzz_target!(
    init: {
        std::thread::spawn(|| loop {
            std::thread::sleep(ALLOWED / 10);
            if let Some((since, cancel)) = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                if since.elapsed() > ALLOWED {
                    cancel.cancel();
                }
            }
        });
    },
    |data: &[u8]| {
        let limits = Limits { max_duration_s: 5.0, max_pixels: 256 * 256, max_streams: 4, max_bytes: Some(1 << 16) };
        let sampling = Sampling { max_frames: 3, pick: Some(FramePick::Middle), pairs: 2, max_side: 64 };
        let cancel = CancelToken::new();
        let running = |run| *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = run;
        running(Some((Instant::now(), cancel.clone())));
        let clip = decode(&Source::from(data), &sampling, &limits, &cancel);
        running(None);
        let Some(clip) = settle(clip) else { return };
        assert!(clip.duration_s.is_finite() && clip.duration_s >= 0.0, "a duration of {}", clip.duration_s);
        for frame in &clip.frames {
            assert_eq!(frame.rgb.len(), frame.width * frame.height * 3);
        }
        assert!(clip.pairs.iter().all(|&position| position < clip.frames.len()), "{:?}", clip.pairs);
    }
);
