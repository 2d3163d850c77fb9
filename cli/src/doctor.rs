//! `emotion-llama doctor`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use anstream::stdout;
use anstyle::{AnsiColor, Style};
use emotion_llama_core::engine::{Engine, EngineOptions};
use emotion_llama_core::kernels::{Isa, MAX_ISA_VARIABLE};
use emotion_llama_core::pack::{find, PackRef};
use emotion_llama_core::perceive::Observation;
use emotion_llama_core::placement::gpus;
use emotion_llama_core::request::Question;
use emotion_llama_core::{media, CancelToken};

use crate::args::{search_path, DoctorOptions};
use crate::FAILED;

/// The formats that people most often have, by the name of their decoder.
const DECODERS: [&str; 12] =
    ["h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "vp6f", "gif", "aac", "mp3", "opus", "flac"];

pub fn run(options: &DoctorOptions) -> io::Result<ExitCode> {
    let mut report = Report { sound: true };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let kernels = Isa::detect();
    let plain = if kernels == Isa::Portable { ": everything works, slowly" } else { "" };
    let text = format!("{}, {threads} threads, {} kernels{plain}", std::env::consts::ARCH, kernels.name());
    report.say(true, "processor", &text)?;
    if let Some(limit) = std::env::var_os(MAX_ISA_VARIABLE).filter(|limit| !limit.is_empty()) {
        line("note", AnsiColor::Cyan, "processor", &format!("{MAX_ISA_VARIABLE} is {}", limit.to_string_lossy()))?;
    }
    match gpus() {
        Ok(found) => {
            for gpu in found {
                let (major, minor) = gpu.capability;
                let memory = gpu.memory as f64 / f64::from(1 << 30);
                let text =
                    format!("cuda:{} {}, {memory:.0} GiB, compute capability {major}.{minor}", gpu.index, gpu.name);
                report.say(true, "GPU", &text)?;
            }
            match media::has_nvdec("h264") {
                true => report.say(true, "NVDEC", "FFmpeg can decode on the GPU")?,
                false => line("none", AnsiColor::Cyan, "NVDEC", "this FFmpeg decodes on the processor only")?,
            }
        }
        Err(reason) => line("none", AnsiColor::Cyan, "GPU", &reason)?,
    }
    report.say(true, "FFmpeg", &media::backend_version())?;
    let missing: Vec<&str> = DECODERS.into_iter().filter(|name| !media::has_decoder(name)).collect();
    if missing.is_empty() {
        report.say(true, "decoders", &DECODERS.join(", "))?;
    } else {
        report
            .hint("decoders", &format!("FFmpeg has none for {}; install a full build of FFmpeg", missing.join(", ")))?;
    }

    let wanted = PackRef::from(options.pack.as_str());
    let search = search_path();
    match find(&wanted, &search) {
        Ok(pack) => report.say(true, "pack", &format!("{} in {}", pack.manifest().name, pack.dir().display()))?,
        Err(error) => report.say(false, "pack", &error.to_string())?,
    }
    if report.sound {
        let began = Instant::now();
        match Engine::open(&wanted, &EngineOptions { search, ..EngineOptions::default() }) {
            Err(error) => report.say(false, "model", &error.to_string())?,
            Ok(engine) => {
                report.say(true, "model", &format!("loaded and checked in {:.2} s", began.elapsed().as_secs_f64()))?;
                let began = Instant::now();
                let answer =
                    engine.answer(&Observation::default(), &Question::default(), &CancelToken::new(), &mut |_| {});
                match answer {
                    Ok(answer) => {
                        let took = began.elapsed().as_secs_f64();
                        report.say(
                            true,
                            "answer",
                            &format!("{:?} to an empty clip, in {took:.2} s", answer.response),
                        )?;
                    }
                    Err(error) => report.say(false, "answer", &error.to_string())?,
                }
            }
        }
    }
    Ok(if report.sound { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

struct Report {
    sound: bool,
}

impl Report {
    fn say(&mut self, good: bool, name: &str, text: &str) -> io::Result<()> {
        self.sound &= good;
        let (mark, color) = if good { ("ok", AnsiColor::Green) } else { ("missing", AnsiColor::Red) };
        line(mark, color, name, text)
    }

    fn hint(&mut self, name: &str, text: &str) -> io::Result<()> {
        line("partly", AnsiColor::Yellow, name, text)
    }
}

fn line(mark: &str, color: AnsiColor, name: &str, text: &str) -> io::Result<()> {
    let style = Style::new().fg_color(Some(color.into()));
    writeln!(stdout(), "{style}{mark:<8}{style:#} {name:<10} {text}")
}
