//! The program of `core/kernels/host`: compiled once, spoken to over pipes.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// In the order of `KERNELS` in `run_kernels.cpp`.
#[derive(Debug, Clone, Copy)]
pub enum Kernel {
    PictureBatch,
    FaceBatch,
    DifferenceSums,
    DifferenceScores,
    SoundSums,
    SoundSquares,
    SoundNormalise,
    LogMelFrames,
    LogMelLoudest,
    LogMelClamp,
}

/// What `DELIBERATE_BUG` is when the kernels are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    None,
    /// A neighbour's column.
    WrongIndex,
    /// The row after the last.
    OutOfBounds,
}

/// Threads of a block.
const THREADS: u32 = 256;

/// The compiled program, or `None`, with a printed note, where there is no compiler.
fn compiled(bug: Bug) -> Option<&'static Path> {
    static PROGRAMS: [OnceLock<Option<PathBuf>>; 3] = [const { OnceLock::new() }; 3];
    PROGRAMS[bug as usize].get_or_init(|| compile(bug)).as_deref()
}

fn compile(bug: Bug) -> Option<PathBuf> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    // Names of sections, contexts and the sanitizer's sections are those of Linux.
    let works = cfg!(target_os = "linux") && accepts(&compiler, &["-fsanitize=address,undefined"]);
    if !works {
        // Written past the test harness, which holds back what passing tests print.
        let _ = writeln!(
            std::io::stderr(),
            "\n==== SKIPPED: the CUDA kernels on the CPU: {} is no C++ compiler with AddressSanitizer on Linux ====\n",
            compiler.to_string_lossy()
        );
        return None;
    }
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cuda_kernels_{}", bug as usize));
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/host");
    let mut command = Command::new(&compiler);
    command.args(["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]);
    command.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
    // Shared memory is a section of its own, which GCC guards only when told to and Clang always.
    let guard = "-fsanitize-sections=cuda_shared";
    if accepts(&compiler, &["-fsanitize=address", guard]) {
        command.arg(guard);
    }
    command.arg(format!("-DDELIBERATE_BUG={}", bug as usize));
    command.arg("-o").arg(&program).args(["run_kernels.cpp", "cuda_on_cpu.cpp"].map(|file| host.join(file)));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    Some(program)
}

/// Whether the compiler exists and can make a program with these flags.
fn accepts(compiler: &std::ffi::OsStr, flags: &[&str]) -> bool {
    let mut command = Command::new(compiler);
    command.args(flags).args(["-Werror", "-x", "c++", "-", "-o", "/dev/null"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let _ = child.stdin.take().map(|mut input| input.write_all(b"int main() { return 0; }\n"));
    child.wait().is_ok_and(|status| status.success())
}

/// Bytes with places for addresses.
#[derive(Debug, Default, Clone)]
pub struct Structure {
    bytes: Vec<u8>,
    /// Offset, buffer, offset in that.
    addresses: Vec<(usize, usize, usize)>,
}

impl Structure {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn ints(mut self, values: &[i32]) -> Self {
        self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }

    pub fn longs(mut self, values: &[i64]) -> Self {
        self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }

    pub fn floats(mut self, values: &[f32]) -> Self {
        self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }

    /// The address of a buffer.
    pub fn address(self, buffer: usize) -> Self {
        self.address_at(buffer, 0)
    }

    /// The address of the byte at `offset` of a buffer.
    pub fn address_at(mut self, buffer: usize, offset: usize) -> Self {
        self.addresses.push((self.bytes.len(), buffer, offset));
        self.null()
    }

    pub fn null(mut self) -> Self {
        self.bytes.extend([0; 8]);
        self
    }

    /// Both, one after the other.
    pub fn then(mut self, other: Structure) -> Self {
        let start = self.bytes.len();
        self.bytes.extend(other.bytes);
        self.addresses.extend(other.addresses.into_iter().map(|(at, buffer, offset)| (start + at, buffer, offset)));
        self
    }
}

struct Buffer {
    bytes: Vec<u8>,
    misalignment: u32,
    is_sent_back: bool,
}

/// One launch. Buffer 0 holds the kernel's parameters.
pub struct Launch {
    kernel: Kernel,
    grid: [u32; 3],
    buffers: Vec<Buffer>,
    addresses: Vec<[u32; 4]>,
}

impl Launch {
    pub fn new(kernel: Kernel, grid: [usize; 3]) -> Self {
        let parameters = Buffer { bytes: Vec::new(), misalignment: 0, is_sent_back: false };
        Self { kernel, grid: grid.map(|n| n as u32), buffers: vec![parameters], addresses: Vec::new() }
    }

    fn push(&mut self, bytes: Vec<u8>, misalignment: u32, is_sent_back: bool) -> usize {
        self.buffers.push(Buffer { bytes, misalignment, is_sent_back });
        self.buffers.len() - 1
    }

    /// A buffer that the kernel reads; its number.
    pub fn input(&mut self, bytes: Vec<u8>) -> usize {
        self.push(bytes, 0, false)
    }

    /// The same, that many bytes behind an aligned address.
    pub fn misaligned(&mut self, bytes: Vec<u8>, misalignment: usize) -> usize {
        self.push(bytes, misalignment as u32, false)
    }

    /// A buffer that comes back, filled with what no kernel leaves.
    pub fn output(&mut self, length: usize) -> usize {
        self.push(vec![0xcd; length], 0, true)
    }

    /// A buffer that goes both ways.
    pub fn changed(&mut self, bytes: Vec<u8>) -> usize {
        self.push(bytes, 0, true)
    }

    /// Structures that the kernel reads.
    pub fn structures(&mut self, structures: impl IntoIterator<Item = Structure>) -> usize {
        let whole = structures.into_iter().fold(Structure::new(), Structure::then);
        let buffer = self.push(whole.bytes, 0, false);
        self.note(buffer, &whole.addresses);
        buffer
    }

    pub fn parameters(&mut self, parameters: Structure) {
        self.note(0, &parameters.addresses);
        self.buffers[0].bytes = parameters.bytes;
    }

    fn note(&mut self, buffer: usize, addresses: &[(usize, usize, usize)]) {
        let words = |&(at, target, offset): &(usize, usize, usize)| [buffer, at, target, offset].map(|n| n as u32);
        self.addresses.extend(addresses.iter().map(words));
    }

    fn message(&self) -> Vec<u8> {
        let [x, y, z] = self.grid;
        let counts = [self.buffers.len() as u32, self.addresses.len() as u32];
        let header = [self.kernel as u32, x, y, z, THREADS, counts[0], counts[1]];
        let mut message: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
        for buffer in &self.buffers {
            message.extend((buffer.bytes.len() as u64).to_le_bytes());
            message.extend(buffer.misalignment.to_le_bytes());
            message.extend(u32::from(buffer.is_sent_back).to_le_bytes());
            message.extend(&buffer.bytes);
        }
        message.extend(self.addresses.iter().flatten().flat_map(|word| word.to_le_bytes()));
        message
    }
}

/// A running program.
pub struct Program {
    child: Child,
}

impl Program {
    /// The kernels as they are; `None` without a compiler.
    pub fn start() -> Option<Self> {
        Self::with_bug(Bug::None)
    }

    pub fn with_bug(bug: Bug) -> Option<Self> {
        let mut command = Command::new(compiled(bug)?);
        // What it leaks while it is ended is no matter, and looking for it needs rights that containers lack.
        command.env("ASAN_OPTIONS", "detect_leaks=0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Some(Self { child: command.spawn().unwrap() })
    }

    /// Launches and returns the buffers that come back.
    ///
    /// # Errors
    /// What the program said when it died.
    pub fn try_run(&mut self, launch: &Launch) -> Result<Vec<Vec<u8>>, String> {
        let input = self.child.stdin.as_mut().unwrap();
        let sent = input.write_all(&launch.message()).and_then(|()| input.flush());
        let mut answers = Vec::new();
        for buffer in launch.buffers.iter().filter(|buffer| buffer.is_sent_back) {
            let mut bytes = vec![0; buffer.bytes.len()];
            if sent.is_err() || self.child.stdout.as_mut().unwrap().read_exact(&mut bytes).is_err() {
                let mut said = String::new();
                self.child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
                return Err(said);
            }
            answers.push(bytes);
        }
        Ok(answers)
    }

    /// As [`Program::try_run`].
    ///
    /// # Panics
    /// When the program dies.
    pub fn run(&mut self, launch: &Launch) -> Vec<Vec<u8>> {
        self.try_run(launch).unwrap_or_else(|said| panic!("{:?}:\n{said}", launch.kernel))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The f32 values of a buffer.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}
