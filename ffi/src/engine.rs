//! Engines: open, describe, analyse.

use std::ffi::c_char;
use std::path::PathBuf;

use emotion_llama_core::engine::{Engine as CoreEngine, EngineOptions};
use emotion_llama_core::media::Source;
use emotion_llama_core::pack::{PackRef, FORMAT_VERSION};
use emotion_llama_core::request::Request;
use emotion_llama_core::{Error, Result};
use serde::Deserialize;
use serde_json::json;

use crate::cancel::{token, Cancel};
use crate::status::Status;
use crate::text::Text;
use crate::{boundary, pointer};

/// A loaded model. May be used by any number of threads at once. Counts its references: a call or stream that runs keeps the model
/// alive when the handle is freed. Freed with `emotion_llama_engine_free`.
pub struct Engine(pub(crate) CoreEngine);

/// The options of `emotion_llama_engine_open`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenOptions {
    pack: String,
    #[serde(default)]
    search: Vec<PathBuf>,
    #[serde(default = "yes")]
    verify: bool,
}

fn yes() -> bool {
    true
}

/// Loads a pack and writes the engine to `*out`. Takes seconds for large packs; nothing is fetched from a network.
///
/// `options` is a JSON object: `pack`, a directory or a name (required); `search`, the directories in which names are looked for;
/// `verify`, whether the files' checksums are compared (default true).
///
/// Fails with `invalid_argument`, `not_found` or `pack_invalid`. Since 0.1.
///
/// # Safety
/// `options` is NUL-terminated; `out` points at a place for a pointer. NULL is `invalid_argument`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_engine_open(options: *const c_char, out: *mut *mut Engine) -> *mut Status {
    boundary::status(|| {
        pointer::check_out(out, "out")?;
        // SAFETY: as this function asks of its caller.
        let options = unsafe { pointer::text(options, "options") }?;
        let options: OpenOptions = serde_json::from_slice(options)
            .map_err(|error| Error::invalid_argument(format!("the options are not what is expected: {error}")))?;
        let wanted = PackRef::from(options.pack.as_str());
        let engine = CoreEngine::open(
            &wanted,
            &EngineOptions { search: options.search, verify: options.verify, ..EngineOptions::default() },
        )?;
        // SAFETY: as this function asks of its caller.
        unsafe { pointer::give(out, Engine(engine), "out") }
    })
}

/// Writes what the engine is and can to `*out`: a JSON object with `version`, `abi_version`, `pack` (`name`, `version`, `digest`,
/// `architecture`, `description`), `labels`, `tasks` and `devices`. Since 0.1.
///
/// # Safety
/// `engine` was not freed; `out` points at a place for a pointer. NULL is `invalid_argument`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_engine_info(engine: *const Engine, out: *mut *mut Text) -> *mut Status {
    boundary::status(|| {
        pointer::check_out(out, "out")?;
        // SAFETY: as this function asks of its caller.
        let engine = unsafe { pointer::handle(engine, "engine") }?;
        let text = info(&engine.0)?;
        // SAFETY: as this function asks of its caller.
        unsafe { pointer::give(out, text, "out") }
    })
}

fn info(engine: &CoreEngine) -> Result<Text> {
    let pack = engine.pack();
    let manifest = pack.manifest();
    Text::json(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "abi_version": crate::EMOTION_LLAMA_ABI_VERSION,
        "pack": {
            "name": manifest.name,
            "version": manifest.version,
            "digest": pack.digest(),
            "format_version": FORMAT_VERSION,
            "architecture": manifest.model.architecture(),
            "description": manifest.description,
        },
        "labels": manifest.labels,
        "tasks": manifest.model.tasks(),
        "devices": ["cpu"],
    }))
}

/// Analyses one clip on this thread and writes the result to `*out`, a JSON object with `response`, `emotion`, `confidence`,
/// `probabilities`, `explanation`, `transcript`, `faces`, `frame`, `cues`, `usage`, `timings_ms`, `model` and `notes`.
///
/// `request` is a JSON object: `path`, `task` (`emotion` or `reason`), `prompt`, `transcript` (`auto`, `none` or the words), `labels`, `frame`
/// (`peak`, `first`, `middle` or seconds), `prompt_path`, `features`, `max_new_tokens`, `temperature`, `top_p`, `top_k`,
/// `repetition_penalty`, `seed`, `greedy`, `limits`. All may be left out. The clip is the file at `path`, or the `media_length` bytes at
/// `media`, which are copied; one of them must be given. `cancel` may be NULL.
///
/// Fails with `invalid_argument`, `not_found`, `media_undecodable`, `media_too_large`, `pack_invalid` or `cancelled`. Since 0.1.
///
/// # Safety
/// `engine` and `cancel` were not freed; `request` is NUL-terminated; `media` points at `media_length` bytes, or is NULL with length 0;
/// `out` points at a place for a pointer. NULL elsewhere is `invalid_argument`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_analyze(
    engine: *const Engine,
    request: *const c_char,
    media: *const u8,
    media_length: usize,
    cancel: *const Cancel,
    out: *mut *mut Text,
) -> *mut Status {
    boundary::status(|| {
        pointer::check_out(out, "out")?;
        // SAFETY: as this function asks of its caller.
        let (engine, request, cancel) = unsafe { work(engine, request, media, media_length, cancel) }?;
        let analysis = engine.analyze(&request, &cancel, &mut |_| {})?;
        let text = Text::json(&analysis)?;
        // SAFETY: as this function asks of its caller.
        unsafe { pointer::give(out, text, "out") }
    })
}

/// What an analysis works on; the engine is a clone, so that the handle may be freed meanwhile.
///
/// # Safety
/// As for [`emotion_llama_analyze`].
pub(crate) unsafe fn work(
    engine: *const Engine,
    request: *const c_char,
    media: *const u8,
    media_length: usize,
    cancel: *const Cancel,
) -> Result<(CoreEngine, Request, emotion_llama_core::CancelToken)> {
    // SAFETY: as this function asks of its caller.
    let (engine, request, media, cancel) = unsafe {
        (
            pointer::handle(engine, "engine")?.0.clone(),
            pointer::text(request, "request")?,
            pointer::bytes(media, media_length, "media")?,
            token(cancel),
        )
    };
    let request = Request::from_json(request, media.map(|media| Source::from(media.to_vec())))?;
    Ok((engine, request, cancel))
}

/// Frees the handle; what runs goes on and keeps the model until it is done. NULL is allowed. Since 0.1.
///
/// # Safety
/// `engine` is NULL, or an engine that was not freed and that no call is being given.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_engine_free(engine: *mut Engine) {
    // SAFETY: as this function asks of its caller.
    boundary::value((), || unsafe { pointer::free(engine) });
}
