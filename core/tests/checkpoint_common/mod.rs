//! Writers of checkpoints, right and wrong: an assembler of pickles, zip files, safetensors.
#![allow(dead_code, reason = "each test program uses a part")]

use std::io::Write;

use emotion_llama_core::checkpoint::Checkpoint;
use emotion_llama_core::{ErrorKind, Result};

/// Pickle opcodes by their names in `pickletools`.
pub mod op {
    pub const MARK: u8 = b'(';
    pub const STOP: u8 = b'.';
    pub const POP: u8 = b'0';
    pub const POP_MARK: u8 = b'1';
    pub const DUP: u8 = b'2';
    pub const NONE: u8 = b'N';
    pub const REDUCE: u8 = b'R';
    pub const BUILD: u8 = b'b';
    pub const APPEND: u8 = b'a';
    pub const APPENDS: u8 = b'e';
    pub const SETITEM: u8 = b's';
    pub const SETITEMS: u8 = b'u';
    pub const EMPTY_LIST: u8 = b']';
    pub const EMPTY_DICT: u8 = b'}';
    pub const EMPTY_TUPLE: u8 = b')';
    pub const TUPLE: u8 = b't';
    pub const LIST: u8 = b'l';
    pub const DICT: u8 = b'd';
    pub const OBJ: u8 = b'o';
    pub const BINPERSID: u8 = b'Q';
    pub const NEWOBJ: u8 = 0x81;
    pub const TUPLE1: u8 = 0x85;
    pub const TUPLE2: u8 = 0x86;
    pub const NEWOBJ_EX: u8 = 0x92;
    pub const STACK_GLOBAL: u8 = 0x93;
    pub const MEMOIZE: u8 = 0x94;
}

/// A pickle in the making.
#[derive(Debug, Clone, Default)]
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub fn op(mut self, opcode: u8) -> Self {
        self.0.push(opcode);
        self
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn text(self, text: &str) -> Self {
        self.op(b'X').raw(&u32::try_from(text.len()).expect("short").to_le_bytes()).raw(text.as_bytes())
    }

    pub fn int(self, value: i64) -> Self {
        self.raw(&[0x8a, 8]).raw(&value.to_le_bytes())
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    pub fn put(self, slot: u8) -> Self {
        self.raw(&[b'q', slot])
    }

    pub fn get(self, slot: u8) -> Self {
        self.raw(&[b'h', slot])
    }

    pub fn ints(self, values: &[i64]) -> Self {
        values.iter().fold(self.op(op::MARK), |p, &value| p.int(value)).op(op::TUPLE)
    }

    /// A storage by its persistent id.
    pub fn storage(self, class: &str, key: &str, length: i64) -> Self {
        self.op(op::MARK)
            .text("storage")
            .global("torch", class)
            .text(key)
            .text("cpu")
            .int(length)
            .op(op::TUPLE)
            .op(op::BINPERSID)
    }

    /// A tensor in storage `key` of `length` values of f32.
    pub fn tensor(self, key: &str, length: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Self {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .op(op::MARK)
            .storage("FloatStorage", key, length)
            .int(offset)
            .ints(shape)
            .ints(strides)
            .raw(&[0x89, op::NONE, op::TUPLE, op::REDUCE])
    }

    pub fn stop(self) -> Vec<u8> {
        self.op(op::STOP).0
    }
}

/// One entry of a zip file; the defaults are what torch writes.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    pub name: &'a str,
    pub bytes: &'a [u8],
    pub method: u16,
    pub flags: u16,
    /// Extra field of the local header, as torch's padding.
    pub padding: usize,
    pub zip64: bool,
}

pub fn entry<'a>(name: &'a str, bytes: &'a [u8]) -> Entry<'a> {
    Entry { name, bytes, method: 0, flags: 0, padding: 0, zip64: false }
}

/// A zip file of stored entries.
pub fn zip(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    let mut zip64 = false;
    for e in entries {
        zip64 |= e.zip64;
        let at = out.len() as u64;
        let name_length = u16::try_from(e.name.len()).expect("short").to_le_bytes();
        let size = u32::try_from(e.bytes.len()).expect("short").to_le_bytes();
        let padding = u16::try_from(e.padding).expect("short").to_le_bytes();
        let fixed = [&[20, 0][..], &e.flags.to_le_bytes(), &e.method.to_le_bytes(), &[0; 8]].concat();
        out.extend([&b"PK\x03\x04"[..], &fixed, &size, &size, &name_length, &padding, e.name.as_bytes()].concat());
        out.resize(out.len() + e.padding, b'Z');
        out.extend_from_slice(e.bytes);
        let (size32, at32, extra) = if e.zip64 {
            let size = (e.bytes.len() as u64).to_le_bytes();
            ([0xff; 4], [0xff; 4], [&[1, 0, 24, 0][..], &size, &size, &at.to_le_bytes()].concat())
        } else {
            (size, u32::try_from(at).expect("short").to_le_bytes(), Vec::new())
        };
        let extra_length = u16::try_from(extra.len()).expect("short").to_le_bytes();
        directory.extend([&b"PK\x01\x02\x14\x00"[..], &fixed, &size32, &size32, &name_length, &extra_length].concat());
        directory.extend([&[0; 10][..], &at32, e.name.as_bytes(), &extra].concat());
    }
    let (start, size, count) = (out.len() as u64, directory.len() as u64, entries.len() as u64);
    out.extend(directory);
    let mut end =
        [&(count as u16).to_le_bytes()[..], &(size as u32).to_le_bytes(), &(start as u32).to_le_bytes()].concat();
    if zip64 {
        let at = out.len() as u64;
        out.extend([&b"PK\x06\x06"[..], &44u64.to_le_bytes(), &[45, 0, 45, 0], &[0; 8]].concat());
        out.extend([count, count, size, start].map(u64::to_le_bytes).concat());
        out.extend([&b"PK\x06\x07"[..], &[0; 4], &at.to_le_bytes(), &[1, 0, 0, 0]].concat());
        end.fill(0xff);
    }
    let count16 = end[..2].to_vec();
    out.extend([&b"PK\x05\x06"[..], &[0; 4], &count16, &end, &[0; 2]].concat());
    out
}

/// A checkpoint of `torch.save` around `pickle`, with storage "0" of `storage` bytes.
pub fn torch_file(pickle: &[u8], storage: usize) -> Vec<u8> {
    let values = vec![0; storage];
    zip(&[entry("archive/data.pkl", pickle), entry("archive/byteorder", b"little"), entry("archive/data/0", &values)])
}

/// A safetensors file: header and data.
pub fn safetensors(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

/// Opens a file of `bytes` and reads every tensor.
pub fn open(bytes: &[u8]) -> Result<Checkpoint> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("written");
    let checkpoint = Checkpoint::open(file.path())?;
    for name in checkpoint.names() {
        let entry = checkpoint.tensor(name).expect("named");
        let count: usize = entry.shape.iter().product();
        assert_eq!(checkpoint.read(name)?.len(), count, "{name}");
    }
    Ok(checkpoint)
}

/// The message with which a file of `bytes` is refused; it names the file.
pub fn refusal(bytes: &[u8]) -> String {
    let error = open(bytes).err().unwrap_or_else(|| panic!("accepted: {:02x?}", &bytes[..bytes.len().min(200)]));
    assert_eq!(error.kind, ErrorKind::PackInvalid, "{error}");
    assert!(error.message.contains(".tmp"), "{error}");
    error.message
}

/// As [`refusal`], of a zip file around `pickle`.
pub fn pickle_refusal(pickle: &[u8]) -> String {
    refusal(&torch_file(pickle, 64))
}
