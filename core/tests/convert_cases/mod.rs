//! The tiny checkpoints as material for wrong ones, and a bench to convert them on.

mod answers;
mod belonging;
mod resume;
mod synthetic;
mod wrong_files;

use std::fs;
use std::path::{Path, PathBuf};

use emotion_llama_core::checkpoint::Checkpoint;
use emotion_llama_core::convert::{convert, ConvertOptions, Progress};
use emotion_llama_core::{CancelToken, Error};
use serde_json::Value;

use crate::checkpoint_common::{entry, op, zip, Pickle};
use crate::parity_stages::tiny;
use crate::reference::Reference;

/// The reference and a folder for what a test builds.
pub struct Bench {
    pub reference: Reference,
    pub dir: tempfile::TempDir,
}

impl Bench {
    /// None, said loudly, where the reference is not there.
    pub fn new() -> Option<Self> {
        Some(Self { reference: Reference::find()?, dir: tempfile::tempdir().unwrap() })
    }

    /// A file or folder of the tiny checkpoints.
    pub fn theirs(&self, name: &str) -> PathBuf {
        self.reference.path("tiny-upstream").join(name)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A right conversion to `out`; its sizes do not depend on where the checkpoint lies.
    pub fn options(&self, out: &str) -> ConvertOptions {
        ConvertOptions { config: Some(self.theirs("model_config.json")), ..tiny(&self.reference, &self.path(out)) }
    }

    /// The error of a conversion with what `change` changes. It leaves nothing that is or could become a pack.
    pub fn refused(&self, change: impl FnOnce(&mut ConvertOptions)) -> Error {
        let mut options = self.options("refused");
        change(&mut options);
        let error = convert(&options, &mut |_| {}, &CancelToken::new()).expect_err("a wrong file gets through");
        assert!(!self.path("refused").exists());
        assert!(!self.path("refused.partial").join("pack.json").exists());
        error
    }

    /// Converts with what `change` changes, and gives the notes.
    pub fn converted(&self, out: &str, change: impl FnOnce(&mut ConvertOptions)) -> Vec<String> {
        let mut options = self.options(out);
        change(&mut options);
        let mut notes = Vec::new();
        let mut progress = |progress: Progress<'_>| {
            if let Progress::Note(note) = progress {
                notes.push(note.to_owned());
            }
        };
        convert(&options, &mut progress, &CancelToken::new()).unwrap_or_else(|error| panic!("{out}: {error}"));
        notes
    }

    /// A copy of the tiny folder `theirs` without the files in `but`.
    pub fn folder(&self, name: &str, theirs: &str, but: &[&str]) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        for file in fs::read_dir(self.theirs(theirs)).unwrap() {
            let file = file.unwrap();
            if !but.iter().any(|but| file.file_name() == *but) {
                fs::write(folder.join(file.file_name()), fs::read(file.path()).unwrap()).unwrap();
            }
        }
        folder
    }

    /// The main checkpoint's model.
    pub fn checkpoint(&self) -> Tensors {
        let mut all = Tensors::read(&self.theirs("Emotion_LLaMA_tiny.pth"));
        all.0.retain(|(name, ..)| name.starts_with("model."));
        all.rename(|name| name.trim_start_matches("model.").to_owned());
        all
    }
}

/// Changes the JSON file at `path`.
pub fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// Checks an error's name and that its message has all `parts`.
#[track_caller]
pub fn says(error: &Error, name: &str, parts: &[&str]) {
    println!("{error}");
    assert_eq!(error.name(), name, "{error}");
    for part in parts {
        assert!(error.message.contains(part), "{part:?} is not in: {error}");
    }
}

/// Named tensors with their values.
#[derive(Clone)]
pub struct Tensors(pub Vec<(String, Vec<usize>, Vec<f32>)>);

impl Tensors {
    pub fn read(path: &Path) -> Self {
        let file = Checkpoint::open(path).unwrap();
        let tensor = |name: &str| (name.to_owned(), file.tensor(name).unwrap().shape.clone(), file.read(name).unwrap());
        Self(file.names().map(tensor).collect())
    }

    pub fn rename(&mut self, name: impl Fn(&str) -> String) {
        self.0.iter_mut().for_each(|tensor| tensor.0 = name(&tensor.0));
    }

    /// Removes the tensors with `part` in their names, of which there must be some.
    pub fn remove(&mut self, part: &str) {
        let count = self.0.len();
        self.0.retain(|(name, ..)| !name.contains(part));
        assert!(self.0.len() < count, "{part}");
    }

    pub fn get_mut(&mut self, name: &str) -> &mut (String, Vec<usize>, Vec<f32>) {
        self.0.iter_mut().find(|tensor| tensor.0.ends_with(name)).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Gives the tensors whose names end in `name` the extent `extent` on `axis`, by cutting or with zeros.
    pub fn resize(&mut self, name: &str, axis: usize, extent: usize) {
        for (_, shape, values) in self.0.iter_mut().filter(|(found, ..)| found.ends_with(name)) {
            shape[axis] = extent;
            values.resize(shape.iter().product(), 0.0);
        }
    }

    /// Writes a safetensors file of f32.
    pub fn safetensors(&self, path: &Path) -> PathBuf {
        let mut header = serde_json::Map::new();
        let mut data = Vec::new();
        for (name, shape, values) in &self.0 {
            let start = data.len();
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
            header.insert(name.clone(), entry);
        }
        let header = Value::from(header).to_string();
        fs::write(path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()).unwrap();
        path.to_owned()
    }

    /// Writes what `torch.save({"model": ..., "config": {"model": model, "datasets": {"a": {"ann_path": annotations}}}})` does.
    pub fn torch(&self, path: &Path, model: &[(&str, i64)], annotations: &str) -> PathBuf {
        let count = self.0.iter().map(|(_, _, values)| values.len()).sum::<usize>() as i64;
        let mut data = Vec::new();
        let mut pickle = Pickle::new().op(op::EMPTY_DICT).op(op::MARK).text("model").op(op::EMPTY_DICT).op(op::MARK);
        for (name, shape, values) in &self.0 {
            let offset = (data.len() / 4) as i64;
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            let shape: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
            let strides: Vec<i64> = (1..=shape.len()).map(|axis| shape[axis..].iter().product()).collect();
            pickle = pickle.text(name).tensor("0", count, offset, &shape, &strides);
        }
        pickle = pickle.op(op::SETITEMS).text("config").op(op::EMPTY_DICT).op(op::MARK);
        pickle = pickle.text("model").op(op::EMPTY_DICT).op(op::MARK);
        pickle = model.iter().fold(pickle, |pickle, (key, value)| pickle.text(key).int(*value)).op(op::SETITEMS);
        pickle = pickle.text("datasets").op(op::EMPTY_DICT).text("a").op(op::EMPTY_DICT).text("ann_path");
        pickle = pickle.text(annotations).op(op::SETITEM).op(op::SETITEM).op(op::SETITEMS).op(op::SETITEMS);
        let pickle = pickle.stop();
        let entries =
            [entry("archive/data.pkl", &pickle), entry("archive/byteorder", b"little"), entry("archive/data/0", &data)];
        fs::write(path, zip(&entries)).unwrap();
        path.to_owned()
    }
}
