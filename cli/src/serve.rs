//! `emotion-llama serve`

use std::process::ExitCode;

use emotion_llama_server::config::{load, Flags};
use emotion_llama_server::{operate, ServeError, Server};

use crate::args::search_path;
use crate::{FAILED, USAGE};

/// Serves until it is told to stop.
pub fn run(flags: &Flags) -> ExitCode {
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let config = match load(flags, variables) {
        Ok(config) => config,
        Err(error) => return fail(&error, USAGE),
    };
    if flags.print_config {
        anstream::print!("{}", config.to_toml());
        return ExitCode::SUCCESS;
    }
    operate::logs::init(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => match runtime.block_on(serve(config)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error @ ServeError::Config(_)) => fail(&error, USAGE),
            Err(error) => fail(&error, FAILED),
        },
        Err(error) => fail(&format!("no threads could be started: {error}"), FAILED),
    }
}

async fn serve(config: emotion_llama_server::config::Config) -> Result<(), ServeError> {
    let server = Server::bind(config, search_path()).await?;
    let scheme = if server.app().config.tls.certificate.is_some() { "https" } else { "http" };
    for address in server.addresses() {
        anstream::eprintln!("emotion-llama listens at {scheme}://{address}");
    }
    if server.app().files.is_local_only() {
        anstream::eprintln!(
            "paths work for clients of this machine alone; --media-root DIR lets others name files below DIR"
        );
    }
    let mut handle = server.start();
    tokio::select! {
        loaded = handle.ready() => loaded?,
        () = told_to_stop() => {
            handle.stop().await;
            return Ok(());
        }
    }
    anstream::eprintln!("ready");
    told_to_stop().await;
    anstream::eprintln!("stopping: what runs may finish; again to stop at once");
    tokio::select! {
        () = handle.stop() => {}
        () = told_to_stop() => {}
    }
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
async fn told_to_stop() {
    use tokio::signal::unix::{signal, SignalKind};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    anstream::eprintln!("emotion-llama: {error}");
    ExitCode::from(code)
}
