//! Finding packs by name.

use std::path::{Path, PathBuf};

use super::{Pack, MANIFEST_FILE};
use crate::error::{Error, Result};

/// How a caller names a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackRef {
    /// A directory with a `pack.json`.
    Dir(PathBuf),
    /// A name to look for on the search path.
    Name(String),
}

impl From<&str> for PackRef {
    /// A value with a path separator, or that is a directory with a manifest, is a directory; anything else is a name.
    fn from(value: &str) -> Self {
        let path = Path::new(value);
        if path.components().count() > 1 || value.starts_with('.') || path.join(MANIFEST_FILE).is_file() {
            PackRef::Dir(path.to_path_buf())
        } else {
            PackRef::Name(value.to_owned())
        }
    }
}

/// Opens the pack that `wanted` names: a directory as it is, a name from the first of `search` that has it.
///
/// # Errors
/// `not_found` naming the directories that were searched, or what [`Pack::open`] says.
pub fn find(wanted: &PackRef, search: &[PathBuf]) -> Result<Pack> {
    match wanted {
        PackRef::Dir(dir) => Pack::open(dir),
        PackRef::Name(name) => {
            let plain = !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "..";
            let found = search.iter().map(|dir| dir.join(name)).find(|dir| plain && dir.join(MANIFEST_FILE).is_file());
            found.map_or_else(
                || {
                    let places: Vec<String> = search.iter().map(|dir| dir.display().to_string()).collect();
                    Err(Error::not_found(format!(
                        "no pack named {name:?} in {}; build the built-in one with `make pack` or name a directory",
                        if places.is_empty() { "an empty search path".to_owned() } else { places.join(", ") }
                    )))
                },
                |dir| Pack::open(&dir),
            )
        }
    }
}

/// Every pack in the directories of `search`, sorted by path, with what opening it gave.
pub fn list(search: &[PathBuf]) -> Vec<(PathBuf, Result<Pack>)> {
    let mut dirs: Vec<PathBuf> = search
        .iter()
        .filter_map(|dir| std::fs::read_dir(dir).ok())
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|dir| dir.join(MANIFEST_FILE).is_file())
        .collect();
    dirs.sort();
    dirs.dedup();
    dirs.into_iter().map(|dir| (dir.clone(), Pack::open(&dir))).collect()
}
