//! Checkpoints that are wrong, by accident or on purpose: each a typed error that says what it is, in bounded memory.

mod checkpoint_common;

use std::fs;
use std::path::Path;

use checkpoint_common::{entry, op, open, pickle_refusal, refusal, safetensors, torch_file, zip, Entry, Pickle};
use emotion_llama_core::checkpoint::Object;
use proptest::prelude::*;

fn fixture(name: &str) -> Vec<u8> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoint");
    fs::read(data.join(name)).expect("the fixture is there")
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

/// The writers themselves make what is accepted.
#[test]
fn the_writers_are_right() {
    let pickle = Pickle::new().op(op::EMPTY_DICT).text("w").tensor("0", 16, 2, &[2, 3], &[3, 1]).op(op::SETITEM).stop();
    let values = (0..16).flat_map(|i| (i as f32).to_le_bytes()).collect::<Vec<u8>>();
    let plain = [entry("any name/data.pkl", &pickle), entry("any name/data/0", &values)];
    let padded = plain.clone().map(|e| Entry { padding: 53, ..e });
    let wide = plain.clone().map(|e| Entry { zip64: true, ..e });
    for entries in [plain, padded, wide] {
        let bytes = zip(&entries);
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), &bytes).expect("written");
        let checkpoint = emotion_llama_core::checkpoint::Checkpoint::open(file.path()).expect("right");
        assert_eq!(checkpoint.read("w").expect("right"), [2., 3., 4., 5., 6., 7.]);
    }
}

#[test]
fn code_is_never_run_but_named() {
    let command = |p: Pickle| p.text("echo").op(op::TUPLE1);
    let system = || Pickle::new().global("os", "system");
    let ways = [
        command(system()).op(op::REDUCE),
        command(system()).op(op::NEWOBJ),
        command(system()).op(op::EMPTY_DICT).op(op::NEWOBJ_EX),
        Pickle::new().op(op::MARK).global("os", "system").text("echo").op(op::OBJ),
        Pickle::new().op(op::MARK).text("echo").raw(b"ios\nsystem\n"),
        system().op(op::EMPTY_DICT).op(op::BUILD),
        command(Pickle::new().text("os").text("system").op(op::STACK_GLOBAL)).op(op::REDUCE),
        Pickle::new()
            .global("copy_reg", "_reconstructor")
            .op(op::MARK)
            .global("os", "system")
            .global("__builtin__", "object")
            .raw(&[op::NONE, op::TUPLE, op::REDUCE]),
        Pickle::new()
            .global("torch._tensor", "_rebuild_from_type_v2")
            .op(op::MARK)
            .global("os", "system")
            .global("torch", "Tensor")
            .text("echo")
            .raw(&[op::TUPLE1, op::NONE, op::TUPLE, op::REDUCE]),
    ];
    for way in ways {
        assert_says(&pickle_refusal(&way.stop()), &["asks for os.system", "no code runs", "refuse the file"]);
    }
    for (module, name) in [("builtins", "eval"), ("builtins", "getattr"), ("torch", "load"), ("omegaconfx", "A")] {
        let message = pickle_refusal(&command(Pickle::new().global(module, name)).op(op::REDUCE).stop());
        assert_says(&message, &[&format!("{module}.{name}")]);
    }
    let model = Pickle::new().global("__main__", "Net").raw(&[op::EMPTY_TUPLE, op::NEWOBJ]).stop();
    assert_says(&pickle_refusal(&model), &["__main__.Net", "state_dict()"]);
    let sparse = Pickle::new().global("torch._utils", "_rebuild_sparse_tensor").raw(&[op::EMPTY_TUPLE, op::REDUCE]);
    assert_says(&pickle_refusal(&sparse.stop()), &["_rebuild_sparse_tensor", "plain floats"]);
    // Only to name a function is harmless: nothing is called.
    let named = open(&torch_file(&system().stop(), 4)).expect("data");
    assert_eq!(named.objects(), &Object::Other("os.system".into(), Box::new(Object::None)));
}

#[test]
fn shared_values_that_grow_without_end() {
    // 10^40 values in 1 kB.
    let mut bomb = Pickle::new().op(op::EMPTY_LIST).put(0);
    for level in 0..40 {
        bomb = bomb.raw(&[op::EMPTY_LIST, op::MARK]);
        bomb = (0..10).fold(bomb, |p, _| p.get(level)).op(op::APPENDS).put(level + 1);
    }
    assert_says(&pickle_refusal(&bomb.stop()), &["outgrow the file"]);
    // One text of 1 MB, a hundred thousand times.
    let mut texts = Pickle::new().raw(&[op::EMPTY_LIST, op::MARK]).text(&"x".repeat(1 << 20)).put(0);
    texts = (0..100_000).fold(texts, |p, _| p.get(0)).op(op::APPENDS);
    assert_says(&pickle_refusal(&texts.stop()), &["outgrow the file"]);
    // The same through a function that makes new bytes each time.
    let mut encoded = Pickle::new().text(&"x".repeat(1 << 20)).raw(&[op::TUPLE1]).put(0).op(op::POP);
    encoded = encoded.global("_codecs", "encode").put(1).op(op::POP);
    encoded = (0..100_000).fold(encoded, |p, _| p.get(1).get(0).op(op::REDUCE).op(op::POP));
    assert_says(&pickle_refusal(&encoded.op(op::NONE).stop()), &["outgrow the file"]);
}

#[test]
fn deep_and_self_containing_values() {
    let levels = 200_000;
    let nested = [
        Pickle::new().raw(&vec![op::EMPTY_LIST; levels]).raw(&vec![op::APPEND; levels - 1]),
        Pickle::new().op(op::NONE).raw(&vec![op::TUPLE1; levels]),
        Pickle::new().op(op::NONE).raw(&[op::NONE, op::MARK, op::NONE].repeat(1000)).raw(&vec![op::TUPLE; 1000]),
        (0..levels)
            .fold(Pickle::new(), |p, _| p.op(op::EMPTY_DICT).text(""))
            .op(op::NONE)
            .raw(&vec![op::SETITEM; levels]),
        Pickle::new().op(op::EMPTY_LIST).put(0).get(0).op(op::APPEND),
        Pickle::new().op(op::EMPTY_DICT).put(0).text("a").get(0).op(op::SETITEM),
        Pickle::new().global("argparse", "Namespace").raw(&[op::EMPTY_TUPLE, op::REDUCE]).put(0).get(0).op(op::BUILD),
    ];
    for pickle in nested {
        assert_says(&pickle_refusal(&pickle.stop()), &["deep or within themselves"]);
    }
}

#[test]
fn lengths_that_lie() {
    let long = [
        [&b"X"[..], &[0xff; 4]].concat(),
        [&[0x8d][..], &[0xff; 8]].concat(),
        [&[0x8e][..], &[0xff; 8]].concat(),
        [&[0x96][..], &(1u64 << 40).to_le_bytes()].concat(),
        [&b"B"[..], &0x7fff_ffffu32.to_le_bytes()].concat(),
        [&[0x8b][..], &i32::MAX.to_le_bytes()].concat(),
        vec![b'U', 200],
        b"cos".to_vec(),
        b"G1234".to_vec(),
        vec![],
        vec![op::NONE],
    ];
    for bytes in long {
        assert_says(&pickle_refusal(&Pickle::new().raw(&bytes).0), &["cut short"]);
    }
    let frame = Pickle::new().raw(&[0x95]).raw(&[0xff; 8]).op(op::NONE).stop();
    assert_says(&pickle_refusal(&frame), &["frame that is longer"]);
    let negative = Pickle::new().raw(&[0x8b]).raw(&(-1i32).to_le_bytes()).stop();
    assert_says(&pickle_refusal(&negative), &["negative length"]);
}

#[test]
fn opcodes_out_of_place() {
    let cases: [(&[u8], &str); 22] = [
        (b"", "empty stack"),
        (b"0", "empty stack"),
        (b"2", "empty stack"),
        (b"R", "empty stack"),
        (b"(.", "empty stack"),
        (b"N(s", "empty stack"),
        (b"N(R", "empty stack"),
        (b"t", "mark that was never set"),
        (b"1", "mark that was never set"),
        (b"h\x07", "memo entry 7"),
        (b"gx\n", "memo number"),
        (b"}(Nu", "key without a value"),
        (b"NNa", "not a list"),
        (b"NNNs", "not a dictionary"),
        (b"NN\x81", "not a class or function"),
        (b"NNb", "not an object"),
        (b"NN\x93", "not text"),
        (b"(o", "without a class"),
        (b"\x82\x01", "extension registry"),
        (b"\x97", "out of band"),
        (b"\xfe", "not a pickle opcode"),
        (b"\x80\x09", "protocol 9"),
    ];
    for (bytes, says) in cases {
        assert_says(&pickle_refusal(&Pickle::new().raw(bytes).stop()), &[says]);
    }
    let long_name = Pickle::new().global(&"x".repeat(600), "y").stop();
    assert_says(&pickle_refusal(&long_name), &["more than 512 bytes"]);
    let twice = Pickle::new().raw(&[op::EMPTY_DICT, op::MARK]).text("a").op(op::NONE).text("a").op(op::NONE);
    assert_says(&pickle_refusal(&twice.op(op::SETITEMS).stop()), &["\"a\" twice"]);
}

#[test]
fn old_protocols_are_read() {
    // Python: pickle.dumps({..}, 0), and a few opcodes that only old versions write.
    let text = b"(dp0\nVtext\np1\nVa\\u00e9\\u005c\np2\nsS'bytes'\nS'a\\'\\x41\\n'\nsVint\nI-7\nsVlong\nL12L\nsVyes\nI01\nsVfloat\nF0.5\nsVlist\n(lp3\nI1\naNas.";
    let checkpoint = open(&torch_file(text, 4)).expect("protocol 0");
    let value = |path: &str| checkpoint.value(path).unwrap_or_else(|| panic!("{path}"));
    assert_eq!(value("text").as_text(), Some("aé\\"));
    assert_eq!(value("bytes").as_text(), Some("a'A\n"));
    assert_eq!(value("int").as_int(), Some(-7));
    assert_eq!(value("long").as_int(), Some(12));
    assert_eq!(value("yes"), &Object::Bool(true));
    assert_eq!(value("float").as_float(), Some(0.5));
    assert_eq!(value("list"), &Object::List(vec![Object::Int(1), Object::None]));
    // Python 2's OrderedDict: made of a list of pairs.
    let pairs = Pickle::new()
        .global("collections", "OrderedDict")
        .raw(&[op::EMPTY_LIST, op::EMPTY_LIST])
        .text("k")
        .op(op::APPEND)
        .int(-1)
        .raw(&[op::APPEND, op::APPEND, op::TUPLE1, op::REDUCE])
        .stop();
    assert_eq!(open(&torch_file(&pairs, 4)).expect("pairs").value("k"), Some(&Object::Int(-1)));
}

#[test]
fn persistent_ids_that_are_wrong() {
    let tuple = |p: Pickle| pickle_refusal(&p.op(op::TUPLE).op(op::BINPERSID).stop());
    let begin = || Pickle::new().op(op::MARK);
    let outside = "not a tensor's storage";
    assert_says(&pickle_refusal(&Pickle::new().text("storage").op(op::BINPERSID).stop()), &[outside]);
    assert_says(&tuple(begin()), &[outside]);
    let storage = || begin().text("storage").global("torch", "FloatStorage");
    assert_says(
        &tuple(begin().text("module").global("torch", "FloatStorage").text("0").text("cpu").int(1)),
        &[outside],
    );
    assert_says(&tuple(begin().text("storage").text("FloatStorage").text("0").text("cpu").int(1)), &[outside]);
    assert_says(&tuple(storage().op(op::NONE).text("cpu").int(1)), &[outside]);
    assert_says(&tuple(storage().text("0").text("cpu").int(-1)), &["negative length"]);
    assert_says(&tuple(storage().text("0").text("cpu").int(1).text("view")), &["before 0.4"]);
    let complex = begin().text("storage").global("torch", "ComplexFloatStorage").text("0").text("cpu").int(1);
    assert_says(&tuple(complex), &["ComplexFloatStorage", "another dtype"]);
    assert_says(&pickle_refusal(b"\x80\x02Pstorage\n."), &["text form"]);
}

#[test]
fn tensors_that_do_not_fit_their_storage() {
    let refused = |length: i64, offset: i64, shape: &[i64], strides: &[i64]| {
        let pickle = Pickle::new().op(op::EMPTY_DICT).text("w").tensor("0", length, offset, shape, strides);
        pickle_refusal(&pickle.op(op::SETITEM).stop())
    };
    // The storage has 64 bytes: 16 values.
    let beyond = ["tensor \"w\"", "beyond its storage"];
    assert_says(&refused(17, 0, &[1], &[1]), &beyond);
    assert_says(&refused(16, 0, &[17], &[1]), &beyond);
    assert_says(&refused(16, 1, &[16], &[1]), &beyond);
    assert_says(&refused(16, 16, &[], &[]), &beyond);
    assert_says(&refused(16, i64::MAX, &[1], &[1]), &beyond);
    assert_says(&refused(16, 0, &[2, 2], &[15, 2]), &beyond);
    assert_says(&refused(i64::MAX, 0, &[1], &[1]), &beyond);
    assert_says(&refused(16, 0, &[i64::MAX, i64::MAX], &[i64::MAX, 1]), &beyond);
    assert_says(&refused(16, 0, &[i64::MAX; 4], &[0; 4]), &["expanded"]);
    assert_says(&refused(16, 0, &[1 << 40], &[0]), &["expanded"]);
    assert_says(&refused(16, 0, &[-1], &[1]), &["extent -1"]);
    assert_says(&refused(16, 0, &[1], &[-1]), &["extent -1"]);
    assert_says(&refused(16, -1, &[1], &[1]), &["extent -1"]);
    assert_says(&refused(16, 0, &[1, 1], &[1]), &["2 axes with 1 strides"]);
    assert_says(&refused(16, 0, &[1; 17], &[1; 17]), &["17 axes"]);
    let missing = Pickle::new().tensor("9", 1, 0, &[1], &[1]).stop();
    assert_says(&pickle_refusal(&missing), &["archive/data/9"]);
    let parameter =
        Pickle::new().global("torch._utils", "_rebuild_parameter").op(op::NONE).raw(&[op::TUPLE1, op::REDUCE]);
    assert_says(&pickle_refusal(&parameter.stop()), &["not a tensor"]);
}

#[test]
fn two_tensors_of_one_name() {
    let w = |p: Pickle| p.tensor("0", 1, 0, &[1], &[1]);
    let pickle = w(Pickle::new().raw(&[op::EMPTY_DICT, op::MARK]).text("a.b")).text("a").op(op::EMPTY_DICT).text("b");
    let pickle = w(pickle).raw(&[op::SETITEM, op::SETITEMS]).stop();
    assert_says(&pickle_refusal(&pickle), &["two tensors", "\"a.b\""]);
}

#[test]
fn zip_files_that_are_wrong() {
    let pickle = Pickle::new().tensor("0", 1, 0, &[1], &[1]).stop();
    let files = || vec![entry("a/data.pkl", &pickle), entry("a/byteorder", b"little"), entry("a/data/0", &[0; 4])];
    open(&zip(&files())).expect("right so far");
    let with = |change: &dyn Fn(&mut Vec<Entry<'_>>)| {
        let mut files = files();
        change(&mut files);
        refusal(&zip(&files))
    };
    assert_says(&with(&|f| f[0].method = 8), &["a/data.pkl", "compressed"]);
    assert_says(&with(&|f| f[2].method = 8), &["a/data/0", "compressed"]);
    assert_says(&with(&|f| f[2].flags = 1), &["encrypted"]);
    assert_says(&with(&|f| f[1].bytes = b"big"), &["big-endian"]);
    assert_says(&with(&|f| f.retain(|e| e.name != "a/data.pkl")), &["no data.pkl"]);
    assert_says(&with(&|f| f.retain(|e| e.name != "a/data/0")), &["a/data/0"]);
    assert_says(&with(&|f| f.push(f[2].clone())), &["\"a/data/0\" twice"]);
    assert_says(&with(&|f| f.push(entry("b/data.pkl", b"N."))), &["two data.pkl"]);
    assert_says(&with(&|f| f.push(entry("a/code/__torch__.py", b""))), &["TorchScript"]);
    assert_says(&refusal(&zip(&[])), &["no data.pkl"]);
    let good = zip(&files());
    // The directory's place, its entries' places, the local header.
    let end = good.len() - 22;
    let wrong = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        refusal(&file)
    };
    assert_says(&wrong(end + 16, &[0xf0, 0xff, 0xff, 0x7f]), &["beyond the file"]);
    assert_says(&wrong(end + 12, &[0xf0, 0xff, 0xff, 0x7f]), &["beyond the file"]);
    assert_says(&wrong(end + 10, &[0xff, 0x7f]), &["damaged zip file"]);
    let second = good.windows(4).rposition(|w| w == b"PK\x03\x04").expect("a header");
    assert_says(&wrong(second, b"PK\x03\x05"), &["no header where the directory says"]);
    assert_says(&wrong(second + 28, &[0xff, 0xff]), &["lies beyond the data"]);
}

#[test]
fn files_that_are_cut_short() {
    for name in ["zip.pth", "legacy.pth", "protocol4.pth"] {
        let whole = fixture(name);
        open(&whole).expect("whole");
        for length in 0..whole.len() {
            refusal(&whole[..length]);
        }
        assert_says(&refusal(&whole[..whole.len() - 1]), &["cut short", "again"]);
    }
    let whole = safetensors(r#"{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#, 16);
    open(&whole).expect("whole");
    for length in 0..whole.len() {
        refusal(&whole[..length]);
    }
    assert_says(&refusal(&whole[..whole.len() - 1]), &["cut short", "again"]);
}

#[test]
fn old_format_that_is_wrong() {
    let whole = fixture("legacy.pth");
    let replaced = |from: &[u8], to: &[u8]| {
        let at = whole.windows(from.len()).position(|w| w == from).expect("in the file");
        refusal(&[&whole[..at], to, &whole[at + from.len()..]].concat())
    };
    assert_says(&replaced(b"M\xe9\x03.", b"M\xea\x03."), &["unknown version"]);
    assert_says(&replaced(b"little_endianq\x02\x88", b"little_endianq\x02\x89"), &["big-endian"]);
    assert_says(&replaced(b"HalfStorage", b"NoneStorage"), &["NoneStorage"]);
    assert_says(&refusal(&Pickle::new().op(op::EMPTY_DICT).stop()), &["not one that `torch.save` wrote"]);
}

#[test]
fn safetensors_that_are_wrong() {
    let w = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let cases = [
        (w("F32", "[2]", "[0,4]"), 4, "shape does not match"),
        (w("F32", "[2]", "[8,0]"), 8, "shape does not match"),
        (w("F32", "[4294967296,4294967296]", "[0,0]"), 0, "shape does not match"),
        (w("F32", "[0,18446744073709551615,2]", "[0,0]"), 0, "shape does not match"),
        (w("F32", "[-1]", "[0,4]"), 4, "its header"),
        (w("F8_E4M3", "[4]", "[0,4]"), 4, "F8_E4M3"),
        (w("F32", "[1]", "[4,8]"), 8, "gaps"),
        (w("F32", "[1]", "[0,4]"), 9, "belong to no tensor"),
        (w("F32", "[2]", "[0,8]"), 4, "cut short"),
        (r#"{"w":1}"#.into(), 0, "its header"),
        (r#"{"w""#.into(), 0, "its header"),
        (format!("{{\"w\":{}", "[".repeat(100_000)), 0, "its header"),
        (
            r#"{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#.into(),
            2,
            "twice",
        ),
        (
            r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#.into(),
            3,
            "overlap",
        ),
    ];
    for (header, data, says) in cases {
        assert_says(&refusal(&safetensors(&header, data)), &[says]);
    }
    let mut long = safetensors(&w("F32", "[1]", "[0,4]"), 4);
    long[..4].copy_from_slice(&[0xff; 4]);
    assert_says(&refusal(&long), &["cut short"]);
    // A header whose length begins like another kind of file is still safetensors.
    for length in [usize::from(b'<'), 0x4b50] {
        let header = w("U8", "[1]", "[0,1]");
        let checkpoint = open(&safetensors(&format!("{header:length$}"), 1)).expect("right");
        assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["w"]);
    }
}

#[test]
fn other_kinds_of_file() {
    let tar = [&[b'x'; 257][..], b"ustar", &[b'y'; 300]].concat();
    let cases: [(&[u8], &str); 11] = [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html><head>", "web page"),
        (b"\r\n  <html lang=\"en\">", "web page"),
        (&[0; 4096], "unfinished download"),
        (b"GGUF\x03\0\0\0", "already converted"),
        (b"\x93NUMPY\x01\0", "NumPy"),
        (b"\x1f\x8b\x08\0", "packed archive"),
        (&tar, "tar archive"),
        (b"{\"error\": \"not found\"}", "neither"),
        (b"PK", "neither"),
    ];
    for (bytes, says) in cases {
        assert_says(&refusal(bytes), &[says]);
    }
}

/// Neither a panic nor an untyped end; what opens can be read.
fn survives(bytes: &[u8]) {
    if let Err(error) = open(bytes) {
        assert!(!error.message.is_empty());
    }
}

/// A piece of a program that is right by itself: random ones meet in more states than random bytes do.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let bare = |p: Pickle| p.0[2..].to_vec();
    let globals = ["collections.OrderedDict", "argparse.Namespace", "torch._utils._rebuild_parameter", "torch.Size"]
        .map(|name| name.rsplit_once('.').expect("dotted"))
        .map(|(module, name)| bare(Pickle::new().global(module, name)));
    let opcodes = [
        op::MARK,
        op::POP,
        op::POP_MARK,
        op::DUP,
        op::NONE,
        op::REDUCE,
        op::BUILD,
        op::APPEND,
        op::APPENDS,
        op::SETITEM,
        op::SETITEMS,
        op::EMPTY_LIST,
        op::EMPTY_DICT,
        op::EMPTY_TUPLE,
        op::TUPLE,
        op::LIST,
        op::DICT,
        op::OBJ,
        op::BINPERSID,
        op::NEWOBJ,
        op::TUPLE1,
        op::TUPLE2,
        op::MEMOIZE,
        op::STACK_GLOBAL,
    ];
    prop_oneof![
        6 => prop::sample::select(opcodes.map(|opcode| vec![opcode]).to_vec()),
        2 => prop::sample::select(globals.to_vec()),
        2 => (0..4u8).prop_map(move |slot| bare(Pickle::new().get(slot))),
        1 => (0..4u8).prop_map(move |slot| bare(Pickle::new().put(slot))),
        1 => (-2..20i64).prop_map(move |value| bare(Pickle::new().int(value))),
        1 => "[a-c.]{0,2}".prop_map(move |text| bare(Pickle::new().text(&text))),
        1 => (0..20i64, 0..5i64, 0..4i64, 0..4i64, 0..6i64)
            .prop_map(move |(length, offset, a, b, stride)| {
                bare(Pickle::new().tensor("0", length, offset, &[a, b], &[stride, 1]))
            }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn random_pickles(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        survives(&torch_file(&Pickle::new().raw(&body).stop(), 64));
        survives(&[&[0x80, 2][..], &body].concat());
    }

    #[test]
    fn random_programs(parts in proptest::collection::vec(part(), 0..60)) {
        let body = parts.concat();
        survives(&torch_file(&Pickle::new().raw(&body).stop(), 64));
        survives(&torch_file(&Pickle::new().op(op::EMPTY_DICT).text("w").raw(&body).op(op::SETITEM).stop(), 64));
    }

    #[test]
    fn random_headers(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        survives(&body);
        survives(&[b"PK\x03\x04", body.as_slice()].concat());
        survives(&[b"PK\x03\x04", body.as_slice(), b"PK\x05\x06", &[0; 18]].concat());
        survives(&safetensors(&format!("{{{}", String::from_utf8_lossy(&body)), 8));
    }

    #[test]
    fn mutations_of_real_files(
        which in 0..3usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of((any::<prop::sample::Index>(), 1..40usize)),
    ) {
        let mut bytes = fixture(["zip.pth", "legacy.pth", "protocol4.pth"][which]);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some((at, length)) = cut {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + length).min(bytes.len()));
        }
        survives(&bytes);
    }

    #[test]
    fn mutations_of_a_real_pickle(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        // In place, so that the zip around it stays right.
        let file = fixture("zip.pth");
        let start = file.windows(2).position(|w| w == [0x80, 2]).expect("a pickle");
        let end = file.windows(4).skip(start).position(|w| w == b"PK\x03\x04").expect("the next entry") + start;
        let mut bytes = file;
        for (at, value) in changes {
            bytes[start + at.index(end - start)] = value;
        }
        survives(&bytes);
    }
}
