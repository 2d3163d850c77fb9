//! Conversions that are interrupted, and go on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use emotion_llama_core::convert::{convert, ConvertOptions, Progress, Quantization};
use emotion_llama_core::pack::{list, Pack};
use emotion_llama_core::CancelToken;
use serde_json::json;

use super::{edit, says, Bench};

/// The files of a directory.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    fs::read_dir(dir).unwrap().map(|entry| read(entry.unwrap())).collect()
}

/// Converts until `stop` says so, and checks that it was cancelled.
fn interrupt(options: &ConvertOptions, mut stop: impl FnMut(Progress<'_>) -> bool) {
    let cancel = CancelToken::new();
    let mut progress = |progress: Progress<'_>| {
        if stop(progress) {
            cancel.cancel();
        }
    };
    let error = convert(options, &mut progress, &cancel).expect_err("it is cancelled");
    says(&error, "cancelled", &[]);
}

/// Cancels when `bytes` of the file `name` are written, at least.
fn inside<'a>(name: &'a str, bytes: u64) -> impl FnMut(Progress<'_>) -> bool + 'a {
    let mut here = false;
    move |progress| match progress {
        Progress::File { name: begun, .. } => {
            here = begun == name;
            false
        }
        Progress::Bytes(done) => here && done >= bytes,
        Progress::Note(_) => false,
    }
}

/// What a conversion that goes on does: the files that it begins, with where in them it begins.
fn resume(options: &ConvertOptions) -> BTreeMap<String, u64> {
    let mut begun = BTreeMap::new();
    let mut file = String::new();
    let mut progress = |progress: Progress<'_>| match progress {
        Progress::File { name, .. } => name.clone_into(&mut file),
        Progress::Bytes(done) => {
            begun.entry(file.clone()).or_insert(done);
        }
        Progress::Note(_) => {}
    };
    convert(options, &mut progress, &CancelToken::new()).unwrap();
    begun
}

#[test]
fn an_interrupted_conversion_is_no_pack_and_goes_on_where_it_was() {
    let Some(bench) = Bench::new() else { return };
    bench.converted("whole/pack", |options| fs::create_dir(options.out.parent().unwrap()).unwrap());
    let whole = files(&bench.path("whole/pack"));
    assert!(whole.contains_key("llama.gguf") && !whole.contains_key("journal.json"), "{:?}", whole.keys());

    let folder = bench.path("again");
    fs::create_dir(&folder).unwrap();
    let options = bench.options("again/pack");
    let partial = folder.join("pack.partial");
    interrupt(&options, inside("llama.gguf", 1 << 20));
    assert!(!options.out.exists());
    assert!(Pack::open(&partial).is_err() && Pack::open(&options.out).is_err());
    assert!(list(std::slice::from_ref(&folder)).is_empty());

    // What is written again gets a new time.
    let long_ago = SystemTime::now() - Duration::from_secs(1 << 20);
    for name in files(&partial).keys() {
        fs::File::options().write(true).open(partial.join(name)).unwrap().set_modified(long_ago).unwrap();
    }
    let begun = resume(&options);
    assert_eq!(begun.keys().collect::<Vec<_>>(), ["llama.gguf"], "finished files are not written again");
    assert!(begun["llama.gguf"] >= 1 << 20, "{begun:?}");
    assert!(!partial.exists());
    let again = files(&options.out);
    assert_eq!(whole.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(*bytes == again[name], "{name}");
        let modified = fs::metadata(options.out.join(name)).unwrap().modified().unwrap();
        assert_eq!(modified > long_ago + Duration::from_secs(60), ["llama.gguf", "pack.json"].contains(&name.as_str()));
    }
    Pack::open(&options.out).unwrap().verify().unwrap();
}

#[test]
fn cancelled_at_any_place_it_ends_with_the_same_pack() {
    let Some(bench) = Bench::new() else { return };
    bench.converted("whole", |_| {});
    let whole = files(&bench.path("whole"));
    let mut options = bench.options("whole");
    options.out = bench.path("folder/whole");
    fs::create_dir(bench.path("folder")).unwrap();
    // Each run gets a few steps further than the one before.
    let mut runs = 0;
    loop {
        let cancel = CancelToken::new();
        let mut steps = 0;
        let mut progress = |_: Progress<'_>| {
            steps += 1;
            if steps > 12 {
                cancel.cancel();
            }
        };
        runs += 1;
        assert!(runs < 60, "no progress");
        match convert(&options, &mut progress, &cancel) {
            Ok(_) => break,
            Err(error) => says(&error, "cancelled", &[]),
        }
        assert!(!options.out.exists());
    }
    assert!(runs > 10, "{runs}");
    assert!(files(&options.out) == whole);
}

#[test]
fn other_options_start_afresh() {
    let Some(bench) = Bench::new() else { return };
    let changes: [fn(&mut ConvertOptions); 3] = [
        |options| options.quantization = Quantization::Q8_0,
        |options| options.merge_lora = true,
        |options| options.mae = None,
    ];
    for (i, change) in changes.into_iter().enumerate() {
        bench.converted(&format!("whole{i}"), change);
        let mut options = bench.options(&format!("again{i}"));
        interrupt(&options, inside("llama.gguf", 1 << 20));
        change(&mut options);
        let begun = resume(&options);
        assert!(begun.len() >= 5 && begun["llama.gguf"] == 0, "{begun:?}");
        let (mut whole, mut again) = (files(&bench.path(&format!("whole{i}"))), files(&options.out));
        assert_eq!(whole.remove("pack.json").is_some(), again.remove("pack.json").is_some());
        assert!(whole == again);
    }
}

/// The configuration beside the weights is an input too.
#[test]
fn another_configuration_starts_afresh() {
    let Some(bench) = Bench::new() else { return };
    let folder = bench.folder("llama", "Llama-2-tiny-chat-hf", &[]);
    let mut options = bench.options("pack");
    options.llama.clone_from(&folder);
    interrupt(&options, inside("llama.gguf", 1 << 20));
    edit(&folder.join("config.json"), |config| config["rms_norm_eps"] = json!(1e-6));
    let begun = resume(&options);
    assert!(begun.len() >= 5 && begun["llama.gguf"] == 0, "{begun:?}");
    bench.converted("whole", |options| options.llama = folder);
    assert!(files(&bench.path("whole"))["llama.gguf"] == files(&options.out)["llama.gguf"]);
}

#[test]
fn what_was_damaged_since_is_written_again() {
    let Some(bench) = Bench::new() else { return };
    bench.converted("whole", |_| {});
    let whole = files(&bench.path("whole"));
    let truncate = |path: &Path, length: u64| {
        fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
    };
    // What happens to what was left, and how many files are begun then.
    type Damage = (&'static str, fn(&Path, &dyn Fn(&Path, u64)), usize);
    let damages: [Damage; 8] = [
        ("nothing", |_, _| {}, 1),
        ("unfinished file cut", |dir, cut| cut(&dir.join("llama.gguf"), 4000), 1),
        ("unfinished file gone", |dir, _| fs::remove_file(dir.join("llama.gguf")).unwrap(), 1),
        ("unfinished file longer", |dir, cut| cut(&dir.join("llama.gguf"), 1 << 24), 1),
        ("finished file cut", |dir, cut| cut(&dir.join("eva.gguf"), 4000), 2),
        ("finished file gone", |dir, _| fs::remove_file(dir.join("hubert.gguf")).unwrap(), 2),
        ("journal garbage", |dir, _| fs::write(dir.join("journal.json"), "{\"plan\": 3").unwrap(), 6),
        ("journal cut", |dir, cut| cut(&dir.join("journal.json"), 100), 6),
    ];
    for (i, (name, damage, count)) in damages.into_iter().enumerate() {
        let mut options = bench.options("whole");
        options.out = bench.path(&format!("{i}/whole"));
        fs::create_dir(bench.path(&i.to_string())).unwrap();
        interrupt(&options, inside("llama.gguf", 1 << 20));
        damage(&bench.path(&format!("{i}/whole.partial")), &truncate);
        let begun = resume(&options);
        assert_eq!(begun.len(), count, "{name}: {begun:?}");
        assert!(files(&options.out) == whole, "{name}");
    }
}
