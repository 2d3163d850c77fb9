//! Packs: a model as a directory, with a manifest that names, licenses and checksums every file.

mod loading;
mod manifest;
mod search;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::cancel::CancelToken;
use crate::error::{Error, Result};
pub use loading::{LoadProgress, Loading};
pub use manifest::{
    CueSpec, FeatureSpec, FileEntry, LlmSpec, Manifest, ModelSpec, PromptSpec, PublishedSpec, TaskPrompt,
    FORMAT_VERSION,
};
pub use search::{find, list, PackRef};

/// The file in a pack's directory that describes it.
pub const MANIFEST_FILE: &str = "pack.json";

/// A pack whose manifest was read and whose files are there with the right length.
#[derive(Debug, Clone)]
pub struct Pack {
    dir: PathBuf,
    manifest: Manifest,
    digest: String,
}

impl Pack {
    /// Reads the manifest in `dir` and checks that every file it lists is there with its length.
    ///
    /// # Errors
    /// `not_found` if `dir` has no manifest; `pack_invalid` if the manifest cannot be read, is of another format version,
    /// or a file is missing or of another length.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST_FILE);
        let text = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                Error::not_found(format!("{} is not a pack: it has no {MANIFEST_FILE}", dir.display()))
            }
            _ => Error::pack(format!("{}: cannot be read: {error}", path.display())),
        })?;
        let manifest = Manifest::parse(&text).map_err(|error| error.context(path.display()))?;
        for (name, entry) in &manifest.files {
            let file = dir.join(name);
            let found = std::fs::metadata(&file).map_err(|error| {
                Error::pack(format!(
                    "{}: listed in the pack but {error}; build or fetch the pack again",
                    file.display()
                ))
            })?;
            if found.len() != entry.bytes {
                return Err(Error::pack(format!(
                    "{}: {} bytes, the manifest says {}; build or fetch the pack again",
                    file.display(),
                    found.len(),
                    entry.bytes
                )));
            }
        }
        Ok(Self { dir: dir.to_path_buf(), manifest, digest: hex(&Sha256::digest(&text)) })
    }

    /// The pack's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the manifest, in hex. As the manifest holds the sum of every file, it stands for the whole pack.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Path of one file of the pack.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The contents of one file of the pack.
    ///
    /// # Errors
    /// `pack_invalid` naming the file.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name);
        std::fs::read(&path).map_err(|error| Error::pack(format!("{}: cannot be read: {error}", path.display())))
    }

    /// Reads every file and compares its SHA-256 with the manifest.
    ///
    /// # Errors
    /// `pack_invalid` naming the first file, in the manifest's order, that differs or cannot be read.
    pub fn verify(&self) -> Result<()> {
        self.verify_observed(&|_| Ok(()))
    }

    /// As [`Pack::verify`]; `advance` is told of the bytes that were read, from several threads, and may stop it.
    pub(crate) fn verify_observed(&self, advance: &(dyn Fn(u64) -> Result<()> + Sync)) -> Result<()> {
        let files: Vec<(&String, &FileEntry)> = self.manifest.files.iter().collect();
        let failures: Vec<Error> =
            files.into_par_iter().filter_map(|(name, entry)| self.verify_file(name, entry, advance).err()).collect();
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    fn verify_file(&self, name: &str, entry: &FileEntry, advance: &(dyn Fn(u64) -> Result<()> + Sync)) -> Result<()> {
        let path = self.path(name);
        let sum = sha256_observed(&path, advance)?;
        if sum == entry.sha256 {
            return Ok(());
        }
        Err(Error::pack(format!(
            "{}: damaged: its sha256 is {sum}, the manifest says {}; build or fetch the pack again",
            path.display(),
            entry.sha256
        )))
    }
}

/// SHA-256 of the file at `path`.
///
/// # Errors
/// `pack_invalid` naming the file if it cannot be read; `cancelled`.
pub(crate) fn sha256_of(path: &Path, cancel: &CancelToken) -> Result<String> {
    sha256_observed(path, &|_| cancel.check())
}

/// SHA-256 of the file at `path`; `advance` is told of each piece's bytes and may stop it.
fn sha256_observed(path: &Path, advance: &(dyn Fn(u64) -> Result<()> + Sync)) -> Result<String> {
    let unreadable = |error: std::io::Error| Error::pack(format!("{}: {error}", path.display()));
    let mut file = File::open(path).map_err(unreadable)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(unreadable)?;
        advance(count as u64)?;
        if count == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
