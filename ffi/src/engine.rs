//! Engines: open, describe, analyse.

use std::ffi::{c_char, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::time::Duration;

use emotion_llama_core::backend::{Backend, BackendOptions};
use emotion_llama_core::engine::EngineOptions;
use emotion_llama_core::pack::LoadProgress;
use emotion_llama_core::placement::Placement;
use emotion_llama_core::remote::{RemoteOptions, Upload as RemoteUpload};
use emotion_llama_core::{CancelToken, Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::{json, Value};

use crate::cancel::{token, Cancel};
use crate::media::{Input, Media};
use crate::status::Status;
use crate::text::Text;
use crate::{boundary, injected, pointer};

/// A loaded model. May be used by any number of threads at once. Counts its references: a call, stream or session that runs keeps the
/// model alive when the handle is freed. Freed with `emotion_llama_engine_free`. Since 0.1.
pub struct Engine(pub(crate) Backend);

/// Told how far a load is: `done` of `total` bytes, growing, the last time with both equal. Called on the thread that called
/// `emotion_llama_engine_open`. Returning false stops the load. It must not throw. Since 0.1.
pub type ProgressFunction = Option<unsafe extern "C" fn(userdata: *mut c_void, done: u64, total: u64) -> bool>;

/// Threads of engines whose options name no number; 0 for one per processor.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// How often a load that says nothing is asked whether it was cancelled.
const PATIENCE: Duration = Duration::from_millis(10);

/// The options of `emotion_llama_engine_open`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenOptions {
    source: String,
    #[serde(default)]
    search: Vec<PathBuf>,
    #[serde(default = "yes")]
    verify: bool,
    threads: Option<usize>,
    #[serde(default)]
    device: Placement,
    api_key: Option<String>,
    timeout_s: Option<f64>,
    connect_timeout_s: Option<f64>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    upload: Upload,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Upload {
    #[default]
    Auto,
    Never,
}

fn yes() -> bool {
    true
}

/// Sets how many threads each call computes with, for engines that are opened later and whose options do not say `threads`. 0, as in the
/// beginning, is one per processor. Beyond 1024 opening fails. Since 0.1.
#[no_mangle]
pub extern "C" fn emotion_llama_set_thread_count(threads: u32) {
    boundary::value((), || THREADS.store(usize::try_from(threads).unwrap_or(usize::MAX), Ordering::Relaxed));
}

/// Loads a pack, or finds a running server, and writes the engine to `*out`. Takes seconds for large packs; without a server's address
/// nothing is asked of a network.
///
/// `options` is a JSON object: `source`, a pack's directory, a pack's name or a server's address (`http://…`, `https://…`), is required. For
/// packs: `search`, the directories in which names are looked for; `verify`, whether the files' checksums are compared (default true);
/// `threads`, how many each call computes with (default as `emotion_llama_set_thread_count` says); `device`, where: `auto` (a graphics
/// processor if one can be used, the default), `cpu`, `cuda`, `cuda:NUMBER` or `cuda:UUID`. For servers: `api_key`; `timeout_s` for a
/// whole call (default 600) and `connect_timeout_s` (default 10); `ca_file`, PEM certificates to trust in place of the usual ones;
/// `upload`, `auto` (files that can be read here are sent, the default) or `never` (every path is the server's). Options for the other
/// kind of source are passed over. `cancel` may be NULL, `progress` too, which packs report to; `userdata` is handed to it as it is.
///
/// Fails with `invalid_argument`, `not_found`, `pack_invalid`, `out_of_memory` or `cancelled`, with a server also with `unreachable`,
/// `timeout`, `overloaded` or `internal`. Since 0.1.
///
/// # Safety
/// `options` is NUL-terminated; `cancel` was not freed; `out` points at a place for a pointer. NULL for `options` or `out` is
/// `invalid_argument`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_engine_open(
    options: *const c_char,
    cancel: *const Cancel,
    progress: ProgressFunction,
    userdata: *mut c_void,
    out: *mut *mut Engine,
) -> *mut Status {
    boundary::status(|| {
        pointer::check_out(out, "out")?;
        // SAFETY: as this function asks of its caller.
        let (options, cancel) = unsafe { (pointer::text(options, "options")?, token(cancel)) };
        let options: OpenOptions = pointer::json(options)?;
        let engine = open_watched(options, &cancel.child(), &mut |LoadProgress { done, total }| match progress {
            // SAFETY: the caller gave the function for this; this is the caller's thread.
            Some(progress) => unsafe { progress(userdata, done, total) },
            None => true,
        })?;
        // SAFETY: as this function asks of its caller.
        unsafe { pointer::give(out, Engine(engine), "out") }
    })
}

fn open(options: OpenOptions, cancel: &CancelToken, report: &(dyn Fn(LoadProgress) + Sync)) -> Result<Backend> {
    let threads = options.threads.unwrap_or_else(|| THREADS.load(Ordering::Relaxed));
    let engine = EngineOptions { search: options.search, verify: options.verify, threads, device: options.device };
    let defaults = RemoteOptions::default();
    let remote = RemoteOptions {
        api_key: options.api_key,
        timeout_s: options.timeout_s.unwrap_or(defaults.timeout_s),
        connect_timeout_s: options.connect_timeout_s.unwrap_or(defaults.connect_timeout_s),
        ca_file: options.ca_file,
        upload: match options.upload {
            Upload::Auto => RemoteUpload::Auto,
            Upload::Never => RemoteUpload::Never,
        },
    };
    Backend::open(&options.source, &BackendOptions { engine, remote }, cancel, &|progress| {
        injected::panic_at("load");
        report(progress);
    })
}

/// What the loading thread says.
enum Report {
    Progress(LoadProgress),
    Done(Result<Backend>),
}

/// Loads on another thread and tells `watch` on this one; when that says false, the load is cancelled. A cancelled load is not waited
/// for: some of its steps, such as reading a vocabulary, take longer than a caller should wait. Its thread ends after the step it is in.
fn open_watched(
    options: OpenOptions,
    cancel: &CancelToken,
    watch: &mut dyn FnMut(LoadProgress) -> bool,
) -> Result<Backend> {
    let (sender, reports) = channel();
    let token = cancel.clone();
    let load = move || {
        // Nobody may be listening any more.
        let loaded = boundary::caught(|| {
            open(options, &token, &|progress| {
                let _ = sender.send(Report::Progress(progress));
            })
        });
        let _ = sender.send(Report::Done(loaded));
    };
    let thread = std::thread::Builder::new().name("emotion-llama-load".into()).spawn(load);
    thread.map_err(|error| Error::new(ErrorKind::OutOfMemory, format!("no thread could be started: {error}")))?;
    let mut told = None;
    loop {
        match reports.recv_timeout(PATIENCE) {
            // Reports of several threads may overtake each other.
            Ok(Report::Progress(progress)) if told.is_none_or(|done| progress.done > done) => {
                told = Some(progress.done);
                cancel.check()?;
                if !watch(progress) {
                    cancel.cancel();
                }
            }
            Ok(Report::Progress(_)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Report::Done(loaded)) => {
                let engine = loaded?;
                cancel.check()?;
                return Ok(engine);
            }
            Err(RecvTimeoutError::Disconnected) => return Err(Error::internal("the loading thread ended early")),
        }
        cancel.check()?;
    }
}

/// Writes what the engine is and can to `*out`: a JSON object with `version` and `abi_version` of this library, `pack` (`name`, `version`,
/// `digest`, `format_version`, `architecture`, `description`), `labels`, `tasks`, `devices` and `threads`; of a server what it says of these, and
/// `url` and `protocol` (`v1`, `gradio` or `fastapi`). Since 0.1.
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

fn info(engine: &Backend) -> Result<Text> {
    let mut info = json!({ "version": env!("CARGO_PKG_VERSION"), "abi_version": crate::EMOTION_LLAMA_ABI_VERSION });
    if let (Value::Object(info), Value::Object(of_engine)) = (&mut info, engine.info()) {
        info.extend(of_engine.into_iter().filter(|(name, _)| name != "version" && name != "abi_version"));
    }
    Text::json(&info)
}

/// Analyses one clip, waits for the result and writes it to `*out`: a JSON object with `response`, `emotion`, `confidence`,
/// `probabilities`, `explanation`, `transcript`, `faces`, `frame`, `cues`, `usage`, `timings_ms`,
/// `time_to_label_ms`, `model` and `notes`.
///
/// `request` is a JSON object: `path`, `task` (`emotion` or `reason`), `prompt`, `transcript` (`auto`, `none` or the words), `labels`, `frame`
/// (`peak`, `first`, `middle` or seconds), `prompt_path`, `features`, `max_new_tokens`, `temperature`, `top_p`, `top_k`,
/// `repetition_penalty`, `seed`, `greedy`, `limits`. All may be left out. The clip is the file at `path`, or else what `media` holds, which
/// may be NULL; with a live buffer there are no `limits`. `cancel` may be NULL.
///
/// With a published server (Gradio, FastAPI) `confidence` is null, and a note in the result names what it does not take.
///
/// Fails with `invalid_argument`, `not_found`, `media_undecodable`, `media_too_large`, `pack_invalid`, `out_of_memory` or `cancelled`, with a
/// server also with `unreachable`, `timeout`, `overloaded` or `internal`. Since 0.1.
///
/// # Safety
/// `engine` and `cancel` were not freed; `request` is NUL-terminated; `media` begins with its size, its `data` can be read for its
/// `length` and its `live` was not freed; `out` points at a place for a pointer. NULL elsewhere is `invalid_argument`.
#[no_mangle]
pub unsafe extern "C" fn emotion_llama_analyze(
    engine: *const Engine,
    request: *const c_char,
    media: *const Media,
    cancel: *const Cancel,
    out: *mut *mut Text,
) -> *mut Status {
    boundary::status(|| {
        pointer::check_out(out, "out")?;
        // SAFETY: as this function asks of its caller.
        let (engine, input, cancel) = unsafe { work(engine, request, media, cancel) }?;
        let text = Text::json(&input.analyze(&engine, &cancel, &mut |_| {})?)?;
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
    media: *const Media,
    cancel: *const Cancel,
) -> Result<(Backend, Input, CancelToken)> {
    // SAFETY: as this function asks of its caller.
    let (engine, request, cancel) =
        unsafe { (pointer::handle(engine, "engine")?.0.clone(), pointer::text(request, "request")?, token(cancel)) };
    // SAFETY: as this function asks of its caller.
    let input = unsafe { Input::read(&engine, request, media) }?;
    Ok((engine, input, cancel))
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
