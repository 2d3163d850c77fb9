//! `emotion-llama keys`: the file of hashed keys that `serve --keys-file` reads.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

use anstream::stdout;
use emotion_llama_server::access::keys;
use emotion_llama_server::config::ConfigError;

use crate::args::KeysCommand;
use crate::{FAILED, USAGE};

pub fn run(command: &KeysCommand) -> io::Result<ExitCode> {
    match command {
        KeysCommand::New { name, rate, file } => {
            let made = keys::new_key().and_then(|key| {
                let entry = keys::entry(name, &key, rate.as_deref())?;
                Ok((key, entry))
            });
            let (key, entry) = match made {
                Ok(made) => made,
                Err(error) => return Ok(fail(&error, USAGE)),
            };
            if let Some(code) = store(&entry, file.as_deref())? {
                return Ok(code);
            }
            if file.is_some() {
                writeln!(stdout(), "{key}")?;
                anstream::eprintln!("this is the key; it is shown once, and only its hash is kept");
            } else {
                anstream::eprintln!("the key is {key}; it is shown once, and only its hash is kept");
            }
            Ok(ExitCode::SUCCESS)
        }
        KeysCommand::Hash { name, rate, file } => {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            match keys::entry(name, line.trim_end_matches(['\r', '\n']), rate.as_deref()) {
                Ok(entry) => Ok(store(&entry, file.as_deref())?.unwrap_or(ExitCode::SUCCESS)),
                Err(error) => Ok(fail(&error, USAGE)),
            }
        }
    }
}

/// Adds `entry` to `file`, or prints it where there is none; an exit code when that fails.
fn store(entry: &str, file: Option<&Path>) -> io::Result<Option<ExitCode>> {
    match file {
        Some(file) => Ok(keys::append(file, entry).err().map(|error| fail(&error, FAILED))),
        None => stdout().write_all(entry.as_bytes()).map(|()| None),
    }
}

fn fail(error: &ConfigError, code: u8) -> ExitCode {
    anstream::eprintln!("emotion-llama: {error}");
    ExitCode::from(code)
}
