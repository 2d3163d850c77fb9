//! The media file of each clip, by name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use emotion_llama_core::media::Source;
use emotion_llama_core::Error;

/// Extensions of media files, in lower case.
const EXTENSIONS: [&str; 37] = [
    "mp4", "avi", "mkv", "mov", "webm", "flv", "m4v", "mpg", "mpeg", "wmv", "asf", "ts", "m2ts", "mts", "3gp", "ogv",
    "vob", "gif", "wav", "mp3", "flac", "ogg", "oga", "opus", "m4a", "aac", "aiff", "aif", "wma", "amr", "png", "jpg",
    "jpeg", "bmp", "webp", "tif", "tiff",
];

/// The media files of one folder.
pub struct Folder {
    dir: PathBuf,
    /// File names by name without extension, sorted.
    by_stem: HashMap<String, Vec<String>>,
}

impl Folder {
    /// Lists the folder.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!("{}: no such folder", dir.display())),
            _ => Error::invalid_argument(format!("{}: cannot be listed: {error}", dir.display())),
        };
        let mut by_stem: HashMap<String, Vec<String>> = HashMap::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = PathBuf::from(entry.map_err(failed)?.file_name());
            let (Some(name), Some(stem), Some(extension)) = (
                path.to_str(),
                path.file_stem().and_then(|stem| stem.to_str()),
                path.extension().and_then(|extension| extension.to_str()),
            ) else {
                continue;
            };
            if EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()) {
                by_stem.entry(stem.to_owned()).or_default().push(name.to_owned());
            }
        }
        by_stem.values_mut().for_each(|names| names.sort());
        Ok(Self { dir: dir.to_path_buf(), by_stem })
    }

    /// Fails when one of `names` stands for several files.
    pub fn check<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        for name in names {
            if let Some([first, second, ..]) = self.by_stem.get(name).map(Vec::as_slice) {
                return Err(Error::invalid_argument(format!(
                    "{}: both {first} and {second} are called {name:?}; keep one, or name it with its extension",
                    self.dir.display()
                )));
            }
        }
        Ok(())
    }

    /// The media file called `name`, which may have its extension.
    pub fn find(&self, name: &str) -> Result<Source, Error> {
        let file = match self.by_stem.get(name).and_then(|names| names.first()) {
            Some(file) => Some(file.as_str()),
            None => {
                let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str());
                let names = stem.and_then(|stem| self.by_stem.get(stem));
                names.and_then(|names| names.iter().find(|file| *file == name)).map(String::as_str)
            }
        };
        file.map(|file| Source::from(self.dir.join(file).as_path()))
            .ok_or_else(|| Error::not_found(format!("no media file called {name:?} in {}", self.dir.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_name_with_any_usual_extension() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.mp4", "b.WAV", "c.v1.mkv", "d.txt", "e.mp4", "e.wav", "f.npy", ".mp4", "g"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let folder = Folder::open(dir.path()).unwrap();
        for (name, file) in
            [("a", "a.mp4"), ("b", "b.WAV"), ("c.v1", "c.v1.mkv"), ("e.wav", "e.wav"), ("a.mp4", "a.mp4")]
        {
            assert_eq!(folder.find(name).unwrap().to_string(), dir.path().join(file).display().to_string());
        }
        for name in ["d", "f", "g", "c", "A", "../a", "", "a.wav"] {
            assert_eq!(folder.find(name).err().map(|error| error.name()), Some("not_found"), "{name:?}");
        }
        assert!(folder.check(["a", "b", "d", "e.wav"].into_iter()).is_ok());
        let error = folder.check(["a", "e"].into_iter()).unwrap_err();
        assert!(error.message.contains("both e.mp4 and e.wav"), "{error}");
        assert_eq!(Folder::open(&dir.path().join("x")).err().map(|error| error.name()), Some("not_found"));
    }
}
