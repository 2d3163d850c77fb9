//! The `emotion-llama` command.

mod analyze;
mod args;
mod card;
mod convert;
mod doctor;
mod evaluate;
mod keys;
mod pack;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};

/// Exit code when an input, a pack or a check failed. Wrong usage is 2, as clap gives it.
const FAILED: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // It logs in a form of its own.
    if let Command::Serve(flags) = &arguments.command {
        return serve::run(flags);
    }
    let mut filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "error".into());
    // Its traces hold every byte that is sent, a server's key among them.
    if let Ok(directive) = "ureq_proto=error".parse() {
        filter = filter.add_directive(directive);
    }
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let outcome = match arguments.command {
        Command::Analyze(options) => analyze::run(&options),
        Command::Convert(options) => convert::run(&options),
        Command::Evaluate(options) => evaluate::run(&options),
        Command::Serve(flags) => return serve::run(&flags),
        Command::Keys(command) => keys::run(&command),
        Command::Doctor(options) => doctor::run(&options),
        Command::Pack(command) => pack::run(&command),
    };
    match outcome {
        Ok(code) => code,
        // Whoever reads our output has gone away; there is nobody left to tell.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("emotion-llama: cannot write the output: {error}");
            ExitCode::from(FAILED)
        }
    }
}
