//! What `emotion-llama-sdk` calls: libemotionllama's C ABI, loaded at run time, as classes whose calls end in letters to a function of
//! JavaScript. Requests and results go through as the JSON they are; `lib/` of the package makes them idiomatic.

mod handles;
mod library;
mod mailbox;

use std::ffi::{c_char, c_void, CString};
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex};

use napi::bindgen_prelude::{FnArgs, Function};
use napi::Env;
use napi_derive::napi;

use handles::{Handle, Slot};
use library::{library, string, Failure};
use mailbox::Post;

/// A failure as an exception whose `code` is `NUMBER NAME`.
type Result<T> = std::result::Result<T, napi::Error<String>>;

fn thrown(failure: Failure) -> napi::Error<String> {
    napi::Error::new(format!("{} {}", failure.code, failure.name), failure.message)
}

fn c_string(text: String) -> library::Result<CString> {
    CString::new(text).map_err(|_| Failure::invalid_argument("a text holds a NUL byte"))
}

fn request_cancel(cancel: &Handle<library::Cancel>) {
    // SAFETY: the handle is alive while it is borrowed.
    unsafe { (cancel.functions.cancel_request)(cancel.pointer()) }
}

/// Loads the library from a file or by its name, once a process.
#[napi]
pub fn load(path: String) -> Result<()> {
    library::load(&path).map_err(thrown)
}

/// The version of the library that was loaded.
#[napi]
pub fn version() -> Result<String> {
    library().map(library::Functions::version_text).map_err(thrown)
}

/// The ABI's number, of the library that was loaded.
#[napi]
pub fn abi_version() -> Result<u32> {
    // SAFETY: the function takes nothing and may be called at any time.
    library().map(|functions| unsafe { (functions.abi_version)() }).map_err(thrown)
}

/// How many threads each call computes with, for what is opened later.
#[napi]
pub fn set_thread_count(threads: u32) -> Result<()> {
    let functions = library().map_err(thrown)?;
    // SAFETY: any number may be given at any time.
    unsafe { (functions.set_thread_count)(threads) };
    Ok(())
}

/// What this crate binds, as lines for the test that compares it with `ffi/abi.json`.
#[napi]
pub fn bound() -> Vec<String> {
    let functions = library::FUNCTIONS
        .iter()
        .map(|(name, parameters, result)| format!("function {name}({}) {result}", parameters.join(", ")));
    let structs = [
        ("emotion_llama_media", size_of::<library::Media>(), library::MEDIA),
        ("emotion_llama_frame", size_of::<library::Frame>(), library::FRAME),
        ("emotion_llama_samples", size_of::<library::Samples>(), library::SAMPLES),
    ];
    let structs = structs.into_iter().map(|(name, size, fields)| {
        let fields: Vec<_> = fields.iter().map(|(name, kind, at)| format!("{kind} {name} {at}")).collect();
        format!("struct {name} {size}: {}", fields.join("; "))
    });
    functions.chain(structs).collect()
}

/// The running calls of one environment. Its function gets `(id, kind, text, name, number, total)`.
#[napi]
pub struct Mailbox(Arc<mailbox::Mailbox>);

#[napi]
impl Mailbox {
    #[napi(constructor)]
    #[allow(clippy::type_complexity)]
    pub fn new(
        env: Env,
        function: Function<'_, FnArgs<(u32, &'static str, String, String, f64, f64)>, ()>,
    ) -> napi::Result<Self> {
        mailbox::Mailbox::new(&env, &function).map(Self)
    }

    /// Cancels all calls and waits a little for them; nothing is told any more.
    #[napi]
    pub fn shut(&self) {
        self.0.shut();
    }

    /// Sends the log of the whole process to this environment, up to `level`; 0 turns it off.
    #[napi]
    pub fn log(&self, level: u32) -> Result<()> {
        set_log((level > 0).then(|| Arc::clone(&self.0)), level).map_err(thrown)
    }

    /// Turns the log off if it comes here.
    #[napi]
    pub fn log_off(&self) -> Result<()> {
        let here = log_reader().as_ref().is_some_and(|reader| Arc::ptr_eq(reader, &self.0));
        if here {
            set_log(None, 0).map_err(thrown)
        } else {
            Ok(())
        }
    }
}

static LOG_READER: Mutex<Option<Arc<mailbox::Mailbox>>> = Mutex::new(None);

fn log_reader() -> Option<Arc<mailbox::Mailbox>> {
    LOG_READER.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
}

fn set_log(reader: Option<Arc<mailbox::Mailbox>>, level: u32) -> library::Result<()> {
    let functions = library()?;
    let function: library::Log = if reader.is_some() { Some(on_log) } else { None };
    // SAFETY: the function is static and takes any userdata; a level is checked by the library.
    let status = unsafe { (functions.set_log)(function, null_mut(), if function.is_some() { level } else { 1 }) };
    // SAFETY: the status was given to us alone.
    unsafe { functions.check(status) }?;
    *LOG_READER.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = reader;
    Ok(())
}

unsafe extern "C" fn on_log(_: *mut c_void, level: u32, target: *const c_char, message: *const c_char) {
    if let Some(reader) = log_reader() {
        // SAFETY: the library says that both strings are NUL-terminated and live until this returns.
        let (target, message) = unsafe { (string(target), string(message)) };
        reader.post((0, "log", message, target, level.into(), 0.0));
    }
}

/// A flag that stops calls.
#[napi]
pub struct Cancel(Arc<Handle<library::Cancel>>);

#[napi]
impl Cancel {
    #[napi(constructor)]
    pub fn new() -> Result<Self> {
        // SAFETY: `out` is a place for a pointer.
        Handle::new(|functions, out| unsafe { (functions.cancel_new)(out) }).map(Self).map_err(thrown)
    }

    #[napi]
    pub fn request(&self) {
        request_cancel(&self.0);
    }

    #[napi]
    pub fn requested(&self) -> bool {
        // SAFETY: the handle is alive while it is borrowed.
        unsafe { (self.0.functions.cancel_requested)(self.0.pointer()) }
    }
}

/// A clip that is not a file: bytes that are gathered piece by piece, or a live buffer.
#[napi]
#[derive(Default)]
pub struct Media {
    bytes: Option<Vec<u8>>,
    live: Option<(Arc<Handle<library::Live>>, f64)>,
}

#[napi]
impl Media {
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for so many bytes.
    #[napi]
    pub fn reserve(&mut self, bytes: f64) -> Result<()> {
        let enough = self.bytes.get_or_insert_default().try_reserve_exact(bytes as usize);
        enough.map_err(|error| thrown(Failure::out_of_memory(format!("there is no room for the clip: {error}"))))
    }

    #[napi]
    pub fn append(&mut self, piece: &[u8]) -> Result<()> {
        let bytes = self.bytes.get_or_insert_default();
        bytes
            .try_reserve(piece.len())
            .map_err(|error| thrown(Failure::out_of_memory(format!("there is no room for the clip: {error}"))))?;
        bytes.extend_from_slice(piece);
        Ok(())
    }

    #[napi]
    pub fn set_live(&mut self, live: &Live, seconds: f64) -> Result<()> {
        self.live = Some((live.0.get().map_err(thrown)?, seconds));
        Ok(())
    }

    /// What it holds; it is empty after this, so that each clip's bytes are freed when its call ends.
    fn take(&mut self) -> Clip {
        Clip { bytes: self.bytes.take(), live: self.live.take() }
    }
}

/// What a call's thread has of a clip.
struct Clip {
    bytes: Option<Vec<u8>>,
    live: Option<(Arc<Handle<library::Live>>, f64)>,
}

impl Clip {
    /// Calls `use_it` with a pointer to the ABI's struct, or NULL where there is nothing.
    fn with<R>(&self, use_it: impl FnOnce(*const library::Media) -> R) -> R {
        if self.bytes.is_none() && self.live.is_none() {
            return use_it(null());
        }
        use_it(&library::Media {
            size: size_of::<library::Media>(),
            data: self.bytes.as_ref().map_or(null(), |bytes| bytes.as_ptr()),
            length: self.bytes.as_ref().map_or(0, Vec::len),
            live: self.live.as_ref().map_or(null(), |(live, _)| live.pointer()),
            seconds: self.live.as_ref().map_or(0.0, |(_, seconds)| *seconds),
        })
    }
}

/// Calls a function that writes a text to its last argument.
fn text_of(
    make: impl FnOnce(&'static library::Functions, *mut *mut library::Text) -> *mut library::Status,
) -> library::Result<Option<String>> {
    let functions = library()?;
    let mut out = null_mut();
    let status = make(functions, &mut out);
    // SAFETY: status and text were given to us alone.
    unsafe {
        functions.check(status)?;
        Ok(functions.taken(out))
    }
}

/// Posts a stream's events until there are no more.
fn read_events(stream: &Handle<library::Stream>, post: &Post) -> library::Result<String> {
    // SAFETY: the stream is alive while it is borrowed; `out` is a place for a pointer.
    while let Some(event) = text_of(|functions, out| unsafe { (functions.stream_next)(stream.pointer(), out) })? {
        post.event(event);
    }
    Ok(String::new())
}

unsafe extern "C" fn on_progress(post: *mut c_void, done: u64, total: u64) -> bool {
    // SAFETY: `Engine::open` hands over its `Post`, which lives until the call ends.
    let post = unsafe { &*post.cast::<Post>() };
    post.progress(done, total);
    true
}

/// A model. Empty until `open` is done.
#[napi]
#[derive(Default)]
pub struct Engine(Arc<Slot<library::Engine>>);

#[napi]
impl Engine {
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    #[napi]
    pub fn open(&self, mailbox: &Mailbox, id: u32, options: String, cancel: &Cancel, progress: bool) {
        let (slot, cancel) = (Arc::clone(&self.0), Arc::clone(&cancel.0));
        mailbox.0.run(id, Arc::clone(&cancel), move |post| {
            let options = c_string(options)?;
            let function: library::Progress = if progress { Some(on_progress) } else { None };
            let userdata = std::ptr::from_ref(post).cast_mut().cast();
            // SAFETY: text, token and `post` live until the call returns; the function is called on this thread, during the call.
            let opened = Handle::new(|functions, out| unsafe {
                (functions.engine_open)(options.as_ptr(), cancel.pointer(), function, userdata, out)
            })?;
            slot.fill(opened);
            Ok(String::new())
        });
    }

    #[napi]
    pub fn info(&self, mailbox: &Mailbox, id: u32, cancel: &Cancel) -> Result<()> {
        let engine = self.0.get().map_err(thrown)?;
        mailbox.0.run(id, Arc::clone(&cancel.0), move |_| {
            // SAFETY: the engine is alive; `out` is a place for a pointer.
            let info = text_of(|functions, out| unsafe { (functions.engine_info)(engine.pointer(), out) })?;
            Ok(info.unwrap_or_default())
        });
        Ok(())
    }

    /// With `events`, each is posted; without, the result ends the call.
    #[napi]
    pub fn analyze(
        &self,
        mailbox: &Mailbox,
        id: u32,
        request: String,
        media: &mut Media,
        cancel: &Cancel,
        events: bool,
    ) -> Result<()> {
        let engine = self.0.get().map_err(thrown)?;
        let (clip, cancel) = (media.take(), Arc::clone(&cancel.0));
        mailbox.0.run(id, Arc::clone(&cancel), move |post| {
            let request = c_string(request)?;
            let (engine, cancel) = (engine.pointer(), cancel.pointer());
            if events {
                let stream = clip.with(|media| {
                    // SAFETY: engine, token, text and clip live until the call returns; it needs none of them after that.
                    Handle::new(|functions, out| unsafe {
                        (functions.analyze_stream)(engine, request.as_ptr(), media, cancel, out)
                    })
                })?;
                drop(clip);
                return read_events(&stream, post);
            }
            let result = clip.with(|media| {
                // SAFETY: engine, token, text and clip live until the call returns.
                text_of(|functions, out| unsafe { (functions.analyze)(engine, request.as_ptr(), media, cancel, out) })
            })?;
            Ok(result.unwrap_or_default())
        });
        Ok(())
    }

    /// Begins a conversation and puts it into `session`.
    #[napi]
    pub fn session(
        &self,
        mailbox: &Mailbox,
        id: u32,
        request: String,
        media: &mut Media,
        cancel: &Cancel,
        session: &Session,
    ) -> Result<()> {
        let engine = self.0.get().map_err(thrown)?;
        let (clip, cancel, slot) = (media.take(), Arc::clone(&cancel.0), Arc::clone(&session.0));
        mailbox.0.run(id, Arc::clone(&cancel), move |_| {
            let request = c_string(request)?;
            let session = clip.with(|media| {
                // SAFETY: engine, token, text and clip live until the call returns.
                Handle::new(|functions, out| unsafe {
                    (functions.session_new)(engine.pointer(), request.as_ptr(), media, cancel.pointer(), out)
                })
            })?;
            slot.fill(session);
            Ok(String::new())
        });
        Ok(())
    }

    #[napi]
    pub fn close(&self) {
        self.0.close();
    }
}

/// A conversation. Empty until `Engine::session` is done.
#[napi]
#[derive(Default)]
pub struct Session(Arc<Slot<library::Session>>);

#[napi]
impl Session {
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    #[napi]
    pub fn ask(&self, mailbox: &Mailbox, id: u32, request: String, cancel: &Cancel, events: bool) -> Result<()> {
        let session = self.0.get().map_err(thrown)?;
        let cancel = Arc::clone(&cancel.0);
        mailbox.0.run(id, Arc::clone(&cancel), move |post| {
            let request = c_string(request)?;
            let (session, cancel) = (session.pointer(), cancel.pointer());
            if events {
                // SAFETY: session, token and text live until the call returns.
                let stream = Handle::new(|functions, out| unsafe {
                    (functions.session_ask_stream)(session, request.as_ptr(), cancel, out)
                })?;
                return read_events(&stream, post);
            }
            // SAFETY: session, token and text live until the call returns.
            let result =
                text_of(|functions, out| unsafe { (functions.session_ask)(session, request.as_ptr(), cancel, out) })?;
            Ok(result.unwrap_or_default())
        });
        Ok(())
    }

    #[napi]
    pub fn reset(&self, mailbox: &Mailbox, id: u32, cancel: &Cancel) -> Result<()> {
        let session = self.0.get().map_err(thrown)?;
        mailbox.0.run(id, Arc::clone(&cancel.0), move |_| {
            // SAFETY: the session is alive; the status was given to us alone.
            unsafe { session.functions.check((session.functions.session_reset)(session.pointer())) }?;
            Ok(String::new())
        });
        Ok(())
    }

    #[napi]
    pub fn close(&self) {
        self.0.close();
    }
}

/// The last seconds of a camera and a microphone.
#[napi]
pub struct Live(Slot<library::Live>);

#[napi]
impl Live {
    #[napi(constructor)]
    pub fn new(options: String) -> Result<Self> {
        let options = c_string(options).map_err(thrown)?;
        // SAFETY: text and `out` live until the call returns.
        let live =
            Handle::new(|functions, out| unsafe { (functions.live_new)(options.as_ptr(), out) }).map_err(thrown)?;
        let slot = Slot::default();
        slot.fill(live);
        Ok(Self(slot))
    }

    /// Planes that a format does not have are empty.
    #[napi]
    #[allow(clippy::too_many_arguments)]
    pub fn push_frame(
        &self,
        format: u32,
        width: u32,
        height: u32,
        time_s: f64,
        first: &[u8],
        second: &[u8],
        third: &[u8],
        strides: Vec<u32>,
    ) -> Result<()> {
        let live = self.0.get().map_err(thrown)?;
        let planes = [first, second, third];
        let frame = library::Frame {
            size: size_of::<library::Frame>(),
            format,
            width,
            height,
            reserved: 0,
            time_s,
            planes: planes.map(|plane| if plane.is_empty() { null() } else { plane.as_ptr() }),
            strides: [0, 1, 2].map(|i| strides.get(i).map_or(0, |stride| *stride as usize)),
            lengths: planes.map(<[u8]>::len),
        };
        // SAFETY: the buffer is alive; JavaScript waits for this call, so that the planes stay where they are.
        unsafe { live.functions.check((live.functions.live_push_frame)(live.pointer(), &frame)) }.map_err(thrown)
    }

    #[napi]
    pub fn push_samples(
        &self,
        format: u32,
        rate: u32,
        channels: u32,
        time_s: f64,
        data: &[u8],
        count: u32,
    ) -> Result<()> {
        let live = self.0.get().map_err(thrown)?;
        let width = if format == 1 { size_of::<i16>() } else { size_of::<f32>() };
        let count = (count as usize).min(data.len() / width);
        let samples = library::Samples {
            size: size_of::<library::Samples>(),
            format,
            rate,
            channels,
            reserved: 0,
            time_s,
            data: data.as_ptr().cast(),
            count,
        };
        // SAFETY: the buffer is alive; JavaScript waits for this call, and `count` samples lie within `data`.
        unsafe { live.functions.check((live.functions.live_push_samples)(live.pointer(), &samples)) }.map_err(thrown)
    }

    #[napi]
    pub fn info(&self) -> Result<String> {
        let live = self.0.get().map_err(thrown)?;
        // SAFETY: the buffer is alive; `out` is a place for a pointer.
        let info = text_of(|functions, out| unsafe { (functions.live_info)(live.pointer(), out) }).map_err(thrown)?;
        Ok(info.unwrap_or_default())
    }

    #[napi]
    pub fn clear(&self) -> Result<()> {
        let live = self.0.get().map_err(thrown)?;
        // SAFETY: the buffer is alive.
        unsafe { (live.functions.live_clear)(live.pointer()) };
        Ok(())
    }

    #[napi]
    pub fn close(&self) {
        self.0.close();
    }
}
