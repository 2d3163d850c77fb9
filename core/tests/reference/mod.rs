//! The reference fixtures: tiny checkpoints, inputs and expected tensors, and the table that compares with them.
//!
//! They lie beside the checkout and are not part of it; `EMOTION_LLAMA_REFERENCE` names another place. Without them a test that
//! needs them says so loudly and passes.

#![allow(dead_code, reason = "every test program uses another part")]

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The relative part of every tolerance; the manifest has the absolute part.
const RELATIVE: f64 = 1e-4;

/// One tensor of the manifest. `stage` is its file's stem.
#[derive(Debug, Clone)]
pub struct Entry {
    pub stage: String,
    pub name: String,
    pub role: String,
    pub file: PathBuf,
    pub shape: Vec<usize>,
    /// Absent for integers, which must be equal.
    pub atol: Option<f64>,
}

/// The directory with the fixtures, and what its manifest lists.
#[derive(Debug)]
pub struct Reference {
    root: PathBuf,
    manifest: Value,
    entries: Vec<Entry>,
    index: HashMap<(String, String), usize>,
}

impl Reference {
    /// The fixtures, or `None` with a printed note when they are nowhere.
    ///
    /// # Panics
    /// When `EMOTION_LLAMA_REFERENCE` names a directory without a manifest, or the manifest cannot be read.
    pub fn find() -> Option<Self> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference");
        let root = match std::env::var_os("EMOTION_LLAMA_REFERENCE") {
            Some(named) => {
                let named = PathBuf::from(named);
                let manifest = named.join("manifest.json");
                assert!(manifest.is_file(), "EMOTION_LLAMA_REFERENCE is set, but there is no {}", manifest.display());
                named
            }
            None if beside.join("manifest.json").is_file() => beside,
            None => {
                // Written past the test harness, which holds back what passing tests print.
                let _ = writeln!(
                    std::io::stderr(),
                    "\n==== SKIPPED: no reference fixtures beside the checkout ====\n\
                     ==== set EMOTION_LLAMA_REFERENCE to their directory to compare with them ====\n"
                );
                return None;
            }
        };
        Some(Self::open(&root))
    }

    fn open(root: &Path) -> Self {
        let text = std::fs::read_to_string(root.join("manifest.json")).expect("manifest.json can be read");
        let manifest: Value = serde_json::from_str(&text).expect("manifest.json is JSON");
        let entries: Vec<Entry> = manifest["tensors"]
            .as_array()
            .expect("\"tensors\" in the manifest")
            .iter()
            .map(|t| entry(root, t))
            .collect();
        let key = |entry: &Entry| (entry.stage.clone(), entry.name.clone());
        let index = entries.iter().enumerate().map(|(i, entry)| (key(entry), i)).collect();
        Self { root: root.to_owned(), manifest, entries, index }
    }

    /// A file or directory of the fixtures.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The manifest as it is.
    pub fn manifest(&self) -> &Value {
        &self.manifest
    }

    /// Every tensor in the manifest.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The manifest's entry for `name` of `stage`, whatever its role.
    pub fn find_entry(&self, stage: &str, name: &str) -> Option<&Entry> {
        self.index.get(&(stage.to_owned(), name.to_owned())).map(|&i| &self.entries[i])
    }

    fn entry(&self, stage: &str, name: &str) -> &Entry {
        self.find_entry(stage, name).unwrap_or_else(|| panic!("the manifest has no {stage}/{name}"))
    }

    /// A tensor's shape and f32 values (f16 and f32 tensors).
    pub fn expected(&self, stage: &str, name: &str) -> (Vec<usize>, Vec<f32>) {
        self.read(stage, name, |dtype, data| match dtype {
            Dtype::F32 => words(data, f32::from_le_bytes),
            Dtype::F16 => words(data, half_to_f32),
            other => panic!("{stage}/{name} is {other:?}, not a float"),
        })
    }

    /// A tensor's shape and integers (int64 and int32 tensors).
    pub fn expected_ints(&self, stage: &str, name: &str) -> (Vec<usize>, Vec<i64>) {
        self.read(stage, name, |dtype, data| match dtype {
            Dtype::I64 => words(data, i64::from_le_bytes),
            Dtype::I32 => words(data, |bytes| i64::from(i32::from_le_bytes(bytes))),
            other => panic!("{stage}/{name} is {other:?}, not an integer"),
        })
    }

    /// A tensor's shape and bytes (uint8 and bool tensors).
    pub fn expected_bytes(&self, stage: &str, name: &str) -> (Vec<usize>, Vec<u8>) {
        self.read(stage, name, |dtype, data| match dtype {
            Dtype::U8 | Dtype::BOOL => data.to_vec(),
            other => panic!("{stage}/{name} is {other:?}, not bytes"),
        })
    }

    fn read<T>(&self, stage: &str, name: &str, convert: impl Fn(Dtype, &[u8]) -> Vec<T>) -> (Vec<usize>, Vec<T>) {
        let entry = self.entry(stage, name);
        let bytes = std::fs::read(&entry.file).unwrap_or_else(|e| panic!("{}: {e}", entry.file.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{}: {e}", entry.file.display()));
        let tensor = file.tensor(name).unwrap_or_else(|e| panic!("{}: {name}: {e}", entry.file.display()));
        assert_eq!(tensor.shape(), entry.shape, "{stage}/{name}: the file's shape and the manifest's");
        (entry.shape.clone(), convert(tensor.dtype(), tensor.data()))
    }
}

fn entry(root: &Path, tensor: &Value) -> Entry {
    let text = |key: &str| tensor[key].as_str().unwrap_or_else(|| panic!("{key:?} of {tensor}")).to_owned();
    let file = root.join(text("file"));
    let extents = tensor["shape"].as_array().expect("a shape");
    Entry {
        stage: file.file_stem().expect("a file's name").to_string_lossy().into_owned(),
        name: text("name"),
        role: text("role"),
        shape: extents.iter().map(|n| n.as_u64().expect("an extent") as usize).collect(),
        atol: tensor["atol"].as_f64(),
        file,
    }
}

fn words<const N: usize, T>(data: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.chunks_exact(N).map(|word| convert(word.try_into().expect("whole words"))).collect()
}

fn half_to_f32(bytes: [u8; 2]) -> f32 {
    half::f16::from_le_bytes(bytes).to_f32()
}

#[derive(Debug)]
struct Row {
    tensor: String,
    elements: usize,
    max_abs: f64,
    relative: f64,
    bound: String,
    verdict: Result<(), String>,
}

/// Every comparison made so far.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
    compared: HashSet<(String, String)>,
    /// For arithmetic of less than f32: how far values may be from those expected, relative to the largest of a tensor, and
    /// which part of the integers may differ. None for the manifest's tolerances.
    loose: Option<(f64, f64)>,
}

impl Table {
    pub fn new() -> Self {
        Self::default()
    }

    /// One whose floats may differ by `floats` of the largest that is expected in their tensor, and `integers` of whose integers may differ.
    pub fn loose(floats: f64, integers: f64) -> Self {
        Self { loose: Some((floats, integers)), ..Self::default() }
    }

    /// Compares f32 values with a tensor: `|ours - theirs| <= atol + 1e-4 |theirs|` for each.
    pub fn compare(&mut self, reference: &Reference, stage: &str, name: &str, ours: &[f32]) {
        let (_, theirs) = reference.expected(stage, name);
        let atol = reference.entry(stage, name).atol.unwrap_or(0.0);
        let ours: Vec<f64> = ours.iter().copied().map(f64::from).collect();
        let theirs: Vec<f64> = theirs.into_iter().map(f64::from).collect();
        let largest = theirs.iter().fold(0f64, |most, value| most.max(value.abs()));
        let bounds = self.loose.map_or([atol, RELATIVE, 0.0], |(floats, _)| [floats * largest, 0.0, 0.0]);
        self.judge(stage, name, &ours, &theirs, bounds);
    }

    /// Compares integers, which must be equal.
    pub fn compare_ints(&mut self, reference: &Reference, stage: &str, name: &str, ours: &[i64]) {
        let (_, theirs) = reference.expected_ints(stage, name);
        let floats = |ints: &[i64]| ints.iter().map(|&i| i as f64).collect::<Vec<_>>();
        let allowed = self.loose.map_or(0.0, |(_, integers)| integers);
        self.judge(stage, name, &floats(ours), &floats(&theirs), [0.0, 0.0, allowed]);
    }

    /// Compares bytes, to within the manifest's `atol` (0: equal).
    pub fn compare_bytes(&mut self, reference: &Reference, stage: &str, name: &str, ours: &[u8]) {
        let (_, theirs) = reference.expected_bytes(stage, name);
        let atol = reference.entry(stage, name).atol.unwrap_or(0.0);
        let floats = |bytes: &[u8]| bytes.iter().copied().map(f64::from).collect::<Vec<_>>();
        self.judge(stage, name, &floats(ours), &floats(&theirs), [atol, 0.0, 0.0]);
    }

    fn judge(&mut self, stage: &str, name: &str, ours: &[f64], theirs: &[f64], bounds: [f64; 3]) {
        // The absolute and the relative part, and which part of the values may be outside.
        let [atol, rtol, allowed] = bounds;
        let (mut max_abs, mut largest, mut outside) = (0f64, 0f64, 0usize);
        for (&a, &b) in ours.iter().zip(theirs) {
            let error = (a - b).abs();
            if error.is_nan() || error > atol + rtol * b.abs() {
                outside += 1;
            }
            max_abs = if error.is_nan() { f64::NAN } else { max_abs.max(error) };
            largest = largest.max(b.abs());
        }
        let verdict = if ours.len() != theirs.len() {
            Err(format!("{} values, expected {}", ours.len(), theirs.len()))
        } else if outside as f64 > allowed * theirs.len() as f64 {
            Err(format!("{outside} values outside"))
        } else {
            Ok(())
        };
        self.compared.insert((stage.to_owned(), name.to_owned()));
        self.rows.push(Row {
            tensor: format!("{stage}/{name}"),
            elements: theirs.len(),
            max_abs,
            relative: if largest > 0.0 { max_abs / largest } else { max_abs },
            bound: if rtol > 0.0 { format!("{atol:.0e} + {rtol:.0e}|b|") } else { format!("{atol:.1e}") },
            verdict,
        });
    }

    /// Prints every row, past the test harness, which holds back what passing tests print. `relative` is the largest error
    /// against the largest expected value.
    pub fn print(&self) {
        let width = self.rows.iter().map(|row| row.tensor.len()).max().unwrap_or(0);
        let mut text = format!(
            "{:width$}  {:>8}  {:>9}  {:>9}  {:>15}  verdict\n",
            "tensor", "elements", "max abs", "relative", "bound"
        );
        for row in &self.rows {
            let verdict = row.verdict.as_ref().map_or_else(|why| format!("FAILED: {why}"), |()| "ok".to_owned());
            text += &format!(
                "{:width$}  {:>8}  {:>9.2e}  {:>9.2e}  {:>15}  {verdict}\n",
                row.tensor, row.elements, row.max_abs, row.relative, row.bound
            );
        }
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }

    /// Expected tensors that `owned` claims and nothing was compared with.
    pub fn forgotten(&self, reference: &Reference, owned: impl Fn(&Entry) -> bool) -> Vec<String> {
        let compared = |entry: &Entry| self.compared.contains(&(entry.stage.clone(), entry.name.clone()));
        let expected = reference.entries().iter().filter(|entry| entry.role == "expected");
        let missing = expected.filter(|entry| owned(entry) && !compared(entry));
        missing.map(|entry| format!("{}/{}", entry.stage, entry.name)).collect()
    }

    /// Prints the table and fails with the name of every tensor that is out of tolerance, and of every expected one among
    /// `owned` that was never compared.
    ///
    /// # Panics
    /// When there is any, or nothing was compared at all.
    pub fn finish(self, reference: &Reference, owned: impl Fn(&Entry) -> bool) {
        self.print();
        let failing: Vec<_> = self.rows.iter().filter(|row| row.verdict.is_err()).map(|row| &row.tensor).collect();
        let forgotten = self.forgotten(reference, owned);
        assert!(!self.rows.is_empty(), "nothing was compared");
        assert!(
            failing.is_empty() && forgotten.is_empty(),
            "out of tolerance: {failing:?}; never compared: {forgotten:?}"
        );
    }
}
