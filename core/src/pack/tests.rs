use super::*;

fn write_pack(dir: &Path, change: impl Fn(&mut serde_json::Value)) {
    let task = serde_json::json!({"tag": "", "question": "?", "lead_in": "", "label_only": true});
    let mut manifest = serde_json::json!({
        "format_version": 2, "name": "p", "version": "1", "description": "d", "labels": ["a", "b"],
        "architecture": "cues",
        "llm": {"weights": "w", "adapter": "w", "lora_rank": 1, "lora_alpha": 1.0},
        "features": [],
        "prompt": {"template": "", "words": "", "choose": "", "label_prefix": "", "answer_end": "", "emotion": task, "reason": task},
        "files": {"w": {"bytes": 3, "sha256": hex(&Sha256::digest(b"abc")), "licence": "MIT", "source": "here"}}
    });
    change(&mut manifest);
    std::fs::write(dir.join("w"), b"abc").unwrap();
    std::fs::write(dir.join(MANIFEST_FILE), manifest.to_string()).unwrap();
}

fn error_of(change: impl Fn(&mut serde_json::Value)) -> String {
    let dir = tempfile::tempdir().unwrap();
    write_pack(dir.path(), change);
    let error = Pack::open(dir.path()).unwrap_err();
    assert_eq!(error.name(), "pack_invalid", "{error}");
    error.to_string()
}

#[test]
fn a_sound_pack_opens_and_verifies() {
    let dir = tempfile::tempdir().unwrap();
    write_pack(dir.path(), |_| {});
    let pack = Pack::open(dir.path()).unwrap();
    pack.verify().unwrap();
    assert_eq!(pack.digest().len(), 64);
    assert_eq!(find(&PackRef::Dir(dir.path().into()), &[]).unwrap().digest(), pack.digest());
}

#[test]
fn damage_of_equal_length_is_found_by_verify() {
    let dir = tempfile::tempdir().unwrap();
    write_pack(dir.path(), |_| {});
    std::fs::write(dir.path().join("w"), b"abd").unwrap();
    let error = Pack::open(dir.path()).unwrap().verify().unwrap_err();
    assert_eq!(error.name(), "pack_invalid");
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn what_is_wrong_is_named() {
    assert!(error_of(|m| m["format_version"] = 9.into()).contains("format version 9"));
    assert!(error_of(|m| m["files"]["w"]["bytes"] = 4.into()).contains("3 bytes, the manifest says 4"));
    assert!(error_of(|m| m["files"] = serde_json::json!({})).contains("does not list it"));
    assert!(error_of(|m| m["labels"] = serde_json::json!(["one"])).contains("two labels"));
    assert!(error_of(|m| *m = serde_json::json!("text")).contains("not a pack manifest"));
    let entry = serde_json::json!({"bytes": 1, "sha256": "", "licence": "", "source": ""});
    assert!(error_of(|m| m["files"]["../w"] = entry.clone()).contains("outside the pack"));
    assert!(error_of(|m| m["files"]["gone"] = entry.clone()).contains("gone"));
}

#[test]
fn names_are_looked_up_and_directories_are_not() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("p")).unwrap();
    write_pack(&root.path().join("p"), |_| {});
    let search = [root.path().to_path_buf()];
    assert_eq!(find(&PackRef::from("p"), &search).unwrap().manifest().name, "p");
    assert_eq!(list(&search).len(), 1);
    let error = find(&PackRef::from("q"), &search).unwrap_err();
    assert_eq!(error.name(), "not_found");
    assert!(error.to_string().contains(&root.path().display().to_string()), "{error}");
    assert_eq!(Pack::open(root.path()).unwrap_err().name(), "not_found");
    assert_eq!(PackRef::from("./p"), PackRef::Dir("./p".into()));
}
