//! The one error type: what went wrong, where, and what to do about it.

use std::fmt;

/// Why a call failed.
///
/// The name ([`Error::name`]), the number ([`Error::code`]) and the HTTP status ([`Error::http_status`]) of a kind never
/// change between releases. The message is for a person: it says what happened, with the path or the value, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct Error {
    /// What kind of failure this is.
    pub kind: ErrorKind,
    /// One sentence for a person.
    pub message: String,
}

/// The kinds of failure, each with a stable code, name and HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option or argument has a value that cannot be used.
    InvalidArgument,
    /// The input is not media that can be decoded: empty, truncated before the first frame, or another kind of file.
    MediaUndecodable,
    /// The input goes beyond a limit that was set in the options (duration, pixels, streams, bytes).
    MediaTooLarge,
    /// A file or pack that was named is not there.
    NotFound,
    /// A pack is there but cannot be used: a file is missing, damaged, or of another format version.
    PackInvalid,
    /// Memory ran out.
    OutOfMemory,
    /// Too much is already running.
    Overloaded,
    /// The caller cancelled the work.
    Cancelled,
    /// The work took longer than the caller allowed.
    Timeout,
    /// A defect in this library.
    Internal,
    /// The server cannot be reached, is no such server, or gave an answer that cannot be used.
    Unreachable,
}

impl ErrorKind {
    /// Every kind, in the order of its code.
    pub const ALL: [ErrorKind; 11] = [
        ErrorKind::InvalidArgument,
        ErrorKind::MediaUndecodable,
        ErrorKind::MediaTooLarge,
        ErrorKind::NotFound,
        ErrorKind::PackInvalid,
        ErrorKind::OutOfMemory,
        ErrorKind::Overloaded,
        ErrorKind::Cancelled,
        ErrorKind::Timeout,
        ErrorKind::Internal,
        ErrorKind::Unreachable,
    ];

    /// The stable number.
    pub const fn code(self) -> u32 {
        match self {
            ErrorKind::InvalidArgument => 1,
            ErrorKind::MediaUndecodable => 2,
            ErrorKind::MediaTooLarge => 3,
            ErrorKind::NotFound => 4,
            ErrorKind::PackInvalid => 5,
            ErrorKind::OutOfMemory => 6,
            ErrorKind::Overloaded => 7,
            ErrorKind::Cancelled => 8,
            ErrorKind::Timeout => 9,
            ErrorKind::Internal => 10,
            ErrorKind::Unreachable => 11,
        }
    }

    /// The stable snake_case name.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorKind::InvalidArgument => "invalid_argument",
            ErrorKind::MediaUndecodable => "media_undecodable",
            ErrorKind::MediaTooLarge => "media_too_large",
            ErrorKind::NotFound => "not_found",
            ErrorKind::PackInvalid => "pack_invalid",
            ErrorKind::OutOfMemory => "out_of_memory",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Internal => "internal",
            ErrorKind::Unreachable => "unreachable",
        }
    }

    /// The kind that has this stable name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The HTTP status that the server gives it.
    pub const fn http_status(self) -> u16 {
        match self {
            ErrorKind::InvalidArgument | ErrorKind::MediaUndecodable => 400,
            ErrorKind::MediaTooLarge => 413,
            ErrorKind::NotFound => 404,
            ErrorKind::PackInvalid | ErrorKind::Internal => 500,
            ErrorKind::Unreachable => 502,
            ErrorKind::OutOfMemory | ErrorKind::Overloaded => 503,
            ErrorKind::Cancelled => 499,
            ErrorKind::Timeout => 504,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A result with this library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` with `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// [`ErrorKind::InvalidArgument`].
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// [`ErrorKind::MediaUndecodable`].
    pub fn undecodable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::MediaUndecodable, message)
    }

    /// [`ErrorKind::PackInvalid`].
    pub fn pack(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::PackInvalid, message)
    }

    /// [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// [`ErrorKind::Unreachable`].
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unreachable, message)
    }

    /// The error of work that was cancelled.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "the analysis was cancelled")
    }

    /// The stable number of the kind.
    pub fn code(&self) -> u32 {
        self.kind.code()
    }

    /// The stable name of the kind.
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// The HTTP status of the kind.
    pub fn http_status(&self) -> u16 {
        self.kind.http_status()
    }

    /// Puts `context` and a colon in front of the message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}
