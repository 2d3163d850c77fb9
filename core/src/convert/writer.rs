//! A pack that comes into being: resumable, and there only once it is whole.
//!
//! Everything is written to `OUT.partial`, which has no manifest and so is no pack. A journal says how far each file is. The
//! last steps are the manifest and the renaming to `OUT`.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::plan::GgufPlan;
use super::Progress;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::kernels;
use crate::pack::{sha256_of, FileEntry, Manifest, MANIFEST_FILE};

const JOURNAL: &str = "journal.json";
/// So many bytes are written between two entries of the journal, so that little is lost with the power.
const JOURNAL_BYTES: usize = 256 << 20;
/// Values that are packed between two looks at the cancel token. Blocks of every format divide it.
const PACK_VALUES: usize = 1 << 22;

/// How far a conversion is.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Journal {
    /// Stands for inputs and options; another one starts afresh.
    plan: String,
    /// Tensors of each unfinished file that are on the disk.
    tensors: IndexMap<String, usize>,
    /// Finished files.
    files: IndexMap<String, FileEntry>,
}

/// Where a file of a pack comes from.
#[derive(Debug, Clone)]
pub(super) struct Provenance {
    pub(super) licence: String,
    pub(super) source: String,
}

/// Writes the files of a pack.
pub(super) struct PackWriter<'a> {
    out: PathBuf,
    partial: PathBuf,
    journal: Journal,
    progress: &'a mut dyn FnMut(Progress<'_>),
    cancel: &'a CancelToken,
}

impl<'a> PackWriter<'a> {
    /// Begins, or goes on with what an interrupted conversion of the same `plan` left beside `out`.
    ///
    /// # Errors
    /// `invalid_argument` if `out` exists or cannot be written.
    pub(super) fn begin(
        out: &Path,
        plan: &str,
        progress: &'a mut dyn FnMut(Progress<'_>),
        cancel: &'a CancelToken,
    ) -> Result<Self> {
        if out.exists() {
            return Err(Error::invalid_argument(format!(
                "{}: exists already; name another --out or remove it",
                out.display()
            )));
        }
        let name = out
            .file_name()
            .ok_or_else(|| Error::invalid_argument(format!("{}: is no name for a pack", out.display())))?;
        let partial = out.with_file_name(format!("{}.partial", name.to_string_lossy()));
        let journal =
            fs::read(partial.join(JOURNAL)).ok().and_then(|text| serde_json::from_slice::<Journal>(&text).ok());
        let journal = match journal.filter(|journal| journal.plan == plan) {
            Some(mut journal) => {
                let length = |name: &str| fs::metadata(partial.join(name)).map(|file| file.len()).ok();
                journal.files.retain(|name, entry| length(name) == Some(entry.bytes));
                journal
            }
            None => {
                remove_partial(&partial)?;
                Journal { plan: plan.to_owned(), ..Journal::default() }
            }
        };
        fs::create_dir_all(&partial).map_err(|error| unwritable(&partial, &error))?;
        match fs::remove_file(partial.join(MANIFEST_FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unwritable(&partial, &error)),
            _ => {}
        }
        let writer = Self { out: out.to_owned(), partial, journal, progress, cancel };
        writer.save_journal()?;
        Ok(writer)
    }

    /// Tells the caller something.
    pub(super) fn note(&mut self, note: &str) {
        (self.progress)(Progress::Note(note));
    }

    /// Writes the tensors of `plan` that are not there yet. What is there when this fails is not written again next time.
    ///
    /// # Errors
    /// What reading a tensor says; `invalid_argument` if the disk refuses; `cancelled`.
    pub(super) fn gguf(&mut self, name: &str, plan: &GgufPlan<'_>, provenance: Provenance) -> Result<()> {
        if self.journal.files.contains_key(name) {
            return Ok(());
        }
        let path = self.partial.join(name);
        let failed = |error: &std::io::Error| unwritable(&path, error);
        let header = plan.header.encode();
        let tensors = plan.header.tensors();
        let done = self.journal.tensors.get(name).copied().unwrap_or(0).min(tensors.len());
        let start = header.len() + tensors.get(done).map_or(plan.header.data_bytes(), |tensor| tensor.offset);
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(|error| failed(&error))?;
        let length = file.metadata().map_err(|error| failed(&error))?.len();
        let resumed = done > 0 && length >= start as u64;
        file.set_len(if resumed { start as u64 } else { 0 }).map_err(|error| failed(&error))?;
        file.seek(SeekFrom::End(0)).map_err(|error| failed(&error))?;
        if !resumed {
            file.write_all(&header).map_err(|error| failed(&error))?;
        }
        let first = if resumed { done } else { 0 };
        let total = plan.header.data_bytes() as u64;
        (self.progress)(Progress::File { name, bytes: total });
        let mut written = first;
        let mut outcome = self.tensors(name, plan, &provenance, &mut file, &mut written);
        if outcome.is_ok() {
            (self.progress)(Progress::Bytes(total));
            outcome = self.finish_file(name, provenance);
        }
        if outcome.is_err() && file.sync_data().is_ok() {
            self.journal.tensors.insert(name.to_owned(), written);
            let _ = self.save_journal();
        }
        outcome
    }

    /// Writes the tensors of `plan` from number `written` on to the end of `file`, and counts them.
    fn tensors(
        &mut self,
        name: &str,
        plan: &GgufPlan<'_>,
        provenance: &Provenance,
        file: &mut File,
        written: &mut usize,
    ) -> Result<()> {
        let path = self.partial.join(name);
        let failed = |error: std::io::Error| unwritable(&path, &error);
        let mut packed = Vec::new();
        let mut since = 0;
        for (tensor, read) in plan.header.tensors().iter().zip(&plan.reads).skip(*written) {
            self.cancel.check()?;
            (self.progress)(Progress::Bytes(tensor.offset as u64));
            packed.clear();
            for values in read()?.chunks(PACK_VALUES) {
                self.cancel.check()?;
                kernels::pack(tensor.kind, values, &mut packed).map_err(|error| {
                    error.context(format!("tensor {:?} of {name}, {}", tensor.name, provenance.source))
                })?;
            }
            if packed.len() != tensor.bytes {
                return Err(Error::internal(format!(
                    "tensor {:?} of {name} has not the length that was planned",
                    tensor.name
                )));
            }
            packed.resize(tensor.padded(), 0);
            file.write_all(&packed).map_err(failed)?;
            *written += 1;
            since += packed.len();
            if since >= JOURNAL_BYTES {
                file.sync_data().map_err(failed)?;
                self.journal.tensors.insert(name.to_owned(), *written);
                self.save_journal()?;
                since = 0;
            }
        }
        file.sync_data().map_err(failed)
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// What `contents` says; `invalid_argument` if the disk refuses.
    pub(super) fn bytes(
        &mut self,
        name: &str,
        provenance: Provenance,
        contents: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<()> {
        if self.journal.files.contains_key(name) {
            return Ok(());
        }
        self.cancel.check()?;
        let path = self.partial.join(name);
        let contents = contents()?;
        (self.progress)(Progress::File { name, bytes: contents.len() as u64 });
        fs::write(&path, &contents).map_err(|error| unwritable(&path, &error))?;
        (self.progress)(Progress::Bytes(contents.len() as u64));
        self.finish_file(name, provenance)
    }

    /// Writes the manifest that `describe` makes of the files and lets the pack be.
    ///
    /// # Errors
    /// `invalid_argument` if the disk refuses.
    pub(super) fn finish(mut self, describe: impl FnOnce(IndexMap<String, FileEntry>) -> Manifest) -> Result<PathBuf> {
        self.cancel.check()?;
        let mut files = std::mem::take(&mut self.journal.files);
        // Whatever the order in which they were written.
        files.sort_unstable_keys();
        let manifest = describe(files);
        let text = serde_json::to_vec_pretty(&manifest).map_err(|error| Error::internal(error.to_string()))?;
        let path = self.partial.join(MANIFEST_FILE);
        let draft = self.partial.join(format!("{MANIFEST_FILE}.draft"));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&draft)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            fs::rename(&self.partial, &self.out)?;
            fs::remove_file(self.out.join(JOURNAL))
        };
        write().map_err(|error| unwritable(&path, &error))?;
        Ok(self.out)
    }

    fn finish_file(&mut self, name: &str, provenance: Provenance) -> Result<()> {
        let path = self.partial.join(name);
        let failed = |error: std::io::Error| unwritable(&path, &error);
        let bytes = fs::metadata(&path).map_err(failed)?.len();
        let sha256 = sha256_of(&path, self.cancel)?;
        let Provenance { licence, source } = provenance;
        self.journal.files.insert(name.to_owned(), FileEntry { bytes, sha256, licence, source });
        self.journal.tensors.shift_remove(name);
        self.save_journal()
    }

    fn save_journal(&self) -> Result<()> {
        let path = self.partial.join(JOURNAL);
        let draft = self.partial.join(format!("{JOURNAL}.draft"));
        let text = serde_json::to_vec(&self.journal).map_err(|error| Error::internal(error.to_string()))?;
        fs::write(&draft, text).and_then(|()| fs::rename(&draft, &path)).map_err(|error| unwritable(&path, &error))
    }
}

/// Removes what another conversion left, and nothing else that happens to have the name.
fn remove_partial(partial: &Path) -> Result<()> {
    let failed = |error: std::io::Error| unwritable(partial, &error);
    let entries = match fs::read_dir(partial) {
        Ok(entries) => entries.collect::<std::io::Result<Vec<_>>>().map_err(failed)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let ours = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(JOURNAL);
    if !entries.is_empty() && !entries.iter().any(ours) {
        return Err(Error::invalid_argument(format!(
            "{}: is there and was not left by a conversion; name another --out or remove it",
            partial.display()
        )));
    }
    fs::remove_dir_all(partial).map_err(failed)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::invalid_argument(format!("{}: cannot be written: {error}", path.display()))
}
