//! What operators need: health, figures, logs, encryption, origins.

pub mod cors;
pub mod headers;
pub mod health;
pub mod logs;
pub mod metrics;
pub mod patience;
pub mod tls;
