//! What clients speak: the published servers' calls, Gradio's protocol, our own version 1, OpenAI's chat.

pub mod body;
pub mod gradio;
pub mod intake;
pub mod openai;
pub mod openapi;
pub mod published;
pub mod python;
pub mod v1;
