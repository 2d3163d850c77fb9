//! The HTTP server of emotion-llama: the published servers' calls, Gradio's protocol, our own API version 1, and a page to try them on.
//!
//! One direction: configuration → state → work → API → router. No module knows more than it needs.

#![forbid(unsafe_code)]

pub mod access;
pub mod api;
pub mod client;
pub mod config;
pub mod error;
pub mod files;
pub mod listen;
pub mod operate;
pub mod page;
pub mod router;
mod server;
pub mod state;
pub mod work;

pub use server::{Handle, ServeError, Server};
