//! Features that were extracted beforehand, in upstream's folders.

use std::path::{Path, PathBuf};

use emotion_llama_core::engine::Engine;
use emotion_llama_core::features::ClipFeatures;
use emotion_llama_core::{npy, Error};

/// Each encoder with upstream's folder of its features (`minigpt4/datasets/datasets/first_face.py`): one `NAME.npy` a clip.
const FOLDERS: [(&str, &str); 3] = [("mae", "mae_340_UTT"), ("videomae", "maeV_399_UTT"), ("hubert", "HL-UTT")];

/// The folders with features.
pub struct FeatureFolders {
    /// Encoder, its folder.
    folders: Vec<(&'static str, PathBuf)>,
}

impl FeatureFolders {
    /// Looks which of upstream's folders are in `dir`; the encoders without one compute their features from the clips.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let folders: Vec<(&'static str, PathBuf)> = FOLDERS
            .iter()
            .map(|(encoder, folder)| (*encoder, dir.join(folder)))
            .filter(|(_, folder)| folder.is_dir())
            .collect();
        if folders.is_empty() {
            let names = FOLDERS.map(|(_, folder)| folder).join(", ");
            return Err(Error::invalid_argument(format!(
                "{}: holds none of the folders {names}; --features wants their parent",
                dir.display()
            )));
        }
        Ok(Self { folders })
    }

    /// The encoders that have a folder.
    pub fn encoders(&self) -> Vec<String> {
        self.folders.iter().map(|(encoder, _)| (*encoder).to_owned()).collect()
    }

    /// The features of the clip called `name`.
    pub fn read(&self, engine: &Engine, name: &str) -> Result<ClipFeatures, Error> {
        let mut features = ClipFeatures::default();
        for (encoder, folder) in &self.folders {
            let mut file = Path::new(name).file_name().unwrap_or_default().to_os_string();
            file.push(".npy");
            let values = npy::read(&folder.join(file), engine.feature_width(encoder)?)?;
            match *encoder {
                "mae" => features.mae = Some(values),
                "videomae" => features.videomae = Some(values),
                _ => features.hubert = Some(values),
            }
        }
        Ok(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_are_there_are_used() {
        let dir = tempfile::tempdir().unwrap();
        let error = FeatureFolders::open(dir.path()).err().unwrap();
        assert!(error.message.contains("none of the folders mae_340_UTT, maeV_399_UTT, HL-UTT"), "{error}");
        for folder in ["HL-UTT", "mae_340_UTT", "other"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        assert_eq!(FeatureFolders::open(dir.path()).unwrap().encoders(), ["mae", "hubert"]);
    }
}
