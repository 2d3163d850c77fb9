//! libemotionllama, loaded once a process and never unloaded: its threads may be running when an environment ends.

use std::ffi::{c_char, c_void, CStr};
use std::sync::{Mutex, OnceLock};

use libloading::Library;

/// The ABI that this crate was written for.
pub const ABI_VERSION: u32 = 1;

/// Types that only the library knows.
macro_rules! opaque {
    ($($name:ident)*) => { $(#[repr(C)] pub struct $name { _private: [u8; 0] })* };
}
opaque!(Cancel Engine Live Session Status Stream Text);

/// A struct of the ABI with the names of its fields, for the test that compares them with `ffi/abi.json`.
macro_rules! structs {
    ($($name:ident $list:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub struct $name { $(pub $field: $type,)* }
            pub const $list: &[(&str, &str, usize)] =
                &[$((stringify!($field), stringify!($type), std::mem::offset_of!($name, $field)),)*];
        )*
    };
}
structs! {
    Media MEDIA {
        size: usize,
        data: *const u8,
        length: usize,
        live: *const Live,
        seconds: f64,
    }
    Frame FRAME {
        size: usize,
        format: u32,
        width: u32,
        height: u32,
        reserved: u32,
        time_s: f64,
        planes: [*const u8; 3],
        strides: [usize; 3],
        lengths: [usize; 3],
    }
    Samples SAMPLES {
        size: usize,
        format: u32,
        rate: u32,
        channels: u32,
        reserved: u32,
        time_s: f64,
        data: *const c_void,
        count: usize,
    }
}

/// NULL or a function, as C has it.
pub type Progress = Option<unsafe extern "C" fn(*mut c_void, u64, u64) -> bool>;
/// NULL or a function, as C has it.
pub type Log = Option<unsafe extern "C" fn(*mut c_void, u32, *const c_char, *const c_char)>;

macro_rules! functions {
    ($($name:ident($($type:ty),*) $(-> $result:ty)?;)*) => {
        /// Every function of the ABI, without its prefix.
        pub struct Functions { $(pub $name: unsafe extern "C" fn($($type),*) $(-> $result)?,)* }

        impl Functions {
            /// # Safety
            /// `library` is a libemotionllama of `ABI_VERSION`, whose functions have these types.
            unsafe fn find(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Self {
                    $(
                        // SAFETY: the caller has compared the ABI's number, which stands for these types.
                        $name: *unsafe {
                            library.get::<unsafe extern "C" fn($($type),*) $(-> $result)?>(
                                concat!("emotion_llama_", stringify!($name)),
                            )
                        }?,
                    )*
                })
            }
        }

        /// Name, parameters and result of each function, for the test that compares them with `ffi/abi.json`.
        pub const FUNCTIONS: &[(&str, &[&str], &str)] = &[
            $((concat!("emotion_llama_", stringify!($name)), &[$(stringify!($type)),*], stringify!($($result)?)),)*
        ];
    };
}
functions! {
    abi_version() -> u32;
    version() -> *const c_char;
    cancel_new(*mut *mut Cancel) -> *mut Status;
    cancel_request(*const Cancel);
    cancel_requested(*const Cancel) -> bool;
    cancel_free(*mut Cancel);
    set_thread_count(u32);
    engine_open(*const c_char, *const Cancel, Progress, *mut c_void, *mut *mut Engine) -> *mut Status;
    engine_info(*const Engine, *mut *mut Text) -> *mut Status;
    analyze(*const Engine, *const c_char, *const Media, *const Cancel, *mut *mut Text) -> *mut Status;
    engine_free(*mut Engine);
    live_new(*const c_char, *mut *mut Live) -> *mut Status;
    live_push_frame(*const Live, *const Frame) -> *mut Status;
    live_push_samples(*const Live, *const Samples) -> *mut Status;
    live_info(*const Live, *mut *mut Text) -> *mut Status;
    live_clear(*const Live);
    live_free(*mut Live);
    set_log(Log, *mut c_void, u32) -> *mut Status;
    session_new(*const Engine, *const c_char, *const Media, *const Cancel, *mut *mut Session) -> *mut Status;
    session_ask(*const Session, *const c_char, *const Cancel, *mut *mut Text) -> *mut Status;
    session_ask_stream(*const Session, *const c_char, *const Cancel, *mut *mut Stream) -> *mut Status;
    session_reset(*const Session) -> *mut Status;
    session_free(*mut Session);
    status_code(*const Status) -> u32;
    status_name(*const Status) -> *const c_char;
    status_message(*const Status) -> *const c_char;
    status_free(*mut Status);
    analyze_stream(*const Engine, *const c_char, *const Media, *const Cancel, *mut *mut Stream) -> *mut Status;
    stream_next(*const Stream, *mut *mut Text) -> *mut Status;
    stream_free(*mut Stream);
    text_data(*const Text) -> *const c_char;
    text_length(*const Text) -> usize;
    text_free(*mut Text);
}

/// Why something failed: as a status says it.
#[derive(Debug)]
pub struct Failure {
    pub code: u32,
    pub name: String,
    pub message: String,
}

impl Failure {
    pub fn new(code: u32, name: &str, message: impl Into<String>) -> Self {
        Self { code, name: name.into(), message: message.into() }
    }

    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(1, "invalid_argument", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(4, "not_found", message)
    }

    pub fn out_of_memory(message: impl Into<String>) -> Self {
        Self::new(6, "out_of_memory", message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(10, "internal", message)
    }
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

static LOADED: OnceLock<Functions> = OnceLock::new();

/// The library, once [`load`] has found it.
pub fn library() -> Result<&'static Functions> {
    LOADED.get().ok_or_else(|| Failure::not_found("libemotionllama is not loaded"))
}

/// Loads the library from a file, or by a name that the system's loader looks for. What is loaded already stays.
pub fn load(path: &str) -> Result<()> {
    static LOADING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOADING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if LOADED.get().is_some() {
        return Ok(());
    }
    let absent = |error: libloading::Error| Failure::not_found(format!("libemotionllama cannot be loaded: {error}"));
    let other = |error: libloading::Error| {
        Failure::invalid_argument(format!("{path} is no libemotionllama that fits: {error}"))
    };
    // SAFETY: libemotionllama and what it links have no initialisers that ask anything of their loader; the caller names this library.
    let image = unsafe { Library::new(path) }.map_err(absent)?;
    // SAFETY: this function has this type in every version of the ABI.
    let number = unsafe { image.get::<unsafe extern "C" fn() -> u32>("emotion_llama_abi_version") }.map_err(other)?;
    // SAFETY: it takes nothing and may be called at any time.
    let number = unsafe { number() };
    if number != ABI_VERSION {
        return Err(Failure::invalid_argument(format!(
            "{path} has version {number} of the ABI; this package needs {ABI_VERSION}"
        )));
    }
    // SAFETY: the ABI's number was compared.
    let functions = unsafe { Functions::find(&image) }.map_err(other)?;
    std::mem::forget(image);
    let _ = LOADED.set(functions);
    Ok(())
}

/// The text of a NUL-terminated string; empty for NULL.
///
/// # Safety
/// `text` is NULL, or NUL-terminated and alive.
pub unsafe fn string(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not NULL; the caller says the rest.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

impl Functions {
    /// The version of the library.
    pub fn version_text(&self) -> String {
        // SAFETY: the function takes nothing and gives a static string.
        unsafe { string((self.version)()) }
    }

    /// Takes a status over: success, or what it says.
    ///
    /// # Safety
    /// `status` is NULL or a status that nobody else has.
    pub unsafe fn check(&self, status: *mut Status) -> Result<()> {
        if status.is_null() {
            return Ok(());
        }
        // SAFETY: the status is ours and is freed last; its strings are copied before.
        unsafe {
            let failure = Failure {
                code: (self.status_code)(status),
                name: string((self.status_name)(status)),
                message: string((self.status_message)(status)),
            };
            (self.status_free)(status);
            Err(failure)
        }
    }

    /// Takes a text over: a copy of it, or none for NULL.
    ///
    /// # Safety
    /// `text` is NULL or a text that nobody else has.
    pub unsafe fn taken(&self, text: *mut Text) -> Option<String> {
        if text.is_null() {
            return None;
        }
        // SAFETY: the text is ours, has so many bytes, and is freed after they were copied.
        unsafe {
            let bytes = std::slice::from_raw_parts((self.text_data)(text).cast::<u8>(), (self.text_length)(text));
            let copy = String::from_utf8_lossy(bytes).into_owned();
            (self.text_free)(text);
            Some(copy)
        }
    }
}
