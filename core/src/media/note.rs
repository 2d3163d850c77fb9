//! What a caller should know about a clip that was decoded all the same.

/// One remark about a clip. Notes are not errors: the analysis goes on with what could be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Stable snake_case name; one of the constants of this type.
    pub name: &'static str,
    /// One sentence for a person.
    pub message: String,
}

impl Note {
    /// The file has no sound stream.
    pub const NO_AUDIO: &'static str = "no_audio";
    /// The file has no picture stream (a cover picture is not one).
    pub const NO_VIDEO: &'static str = "no_video";
    /// There is sound, but it is silence.
    pub const SILENT_AUDIO: &'static str = "silent_audio";
    /// There is a sound stream that could not be decoded.
    pub const AUDIO_UNDECODABLE: &'static str = "audio_undecodable";
    /// There is a picture stream that could not be decoded.
    pub const VIDEO_UNDECODABLE: &'static str = "video_undecodable";
    /// The data ends before the length that the file declares.
    pub const TRUNCATED: &'static str = "truncated";
    /// Some data in the middle could not be decoded.
    pub const DAMAGED: &'static str = "damaged";
    /// The input is one still picture.
    pub const STILL_PICTURE: &'static str = "still_picture";

    /// A note called `name` that says `message`.
    pub fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, message: message.into() }
    }
}
