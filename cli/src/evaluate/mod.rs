//! `emotion-llama evaluate`: answers for a whole list of clips, and how good they are.

mod answers;
mod clips;
mod features;
mod report;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::engine::{Engine, EngineOptions};
use emotion_llama_core::evaluate::{annotations, answer_word, Annotation, Transcripts};
use emotion_llama_core::face::FramePick;
use emotion_llama_core::features::ClipFeatures;
use emotion_llama_core::llama::SamplingOptions;
use emotion_llama_core::pack::{find, ModelSpec, Pack, PackRef};
use emotion_llama_core::prompt::published::PromptPath;
use emotion_llama_core::prompt::Task;
use emotion_llama_core::request::{Question, Request, Transcript};
use emotion_llama_core::{CancelToken, Error, ErrorKind};
use indicatif::{ProgressBar, ProgressStyle};

use self::answers::{AnswerLine, AnswersFile, Failure, Run};
use self::clips::Folder;
use self::features::FeatureFolders;
use self::report::Report;
use crate::args::{search_path, EvaluateOptions};
use crate::{FAILED, USAGE};

/// Longest answer in tokens, as upstream's evaluation has it.
const MAX_NEW_TOKENS: usize = 500;
/// What is added to the name of the list, without its extension, for the file with the answers.
const ANSWERS_SUFFIX: &str = ".answers.jsonl";
/// Names that a message about several clips lists.
const MOST_NAMED: usize = 3;

pub fn run(options: &EvaluateOptions) -> io::Result<ExitCode> {
    let (plan, mut file) = match prepare(options) {
        Ok(prepared) => prepared,
        Err(error) => {
            anstream::eprintln!("emotion-llama: {error} ({})", error.name());
            return Ok(ExitCode::from(if error.kind == ErrorKind::InvalidArgument { USAGE } else { FAILED }));
        }
    };
    if let Err(error) = answer_all(&plan, &mut file)? {
        anstream::eprintln!("emotion-llama: {error} ({})", error.name());
        return Ok(ExitCode::from(FAILED));
    }
    let lines = plan.clips.iter().filter_map(|clip| file.get(&clip.name));
    let report = Report::of(&plan.pack, &plan.labels, lines, options.skip_missing);
    if options.json {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &report.json(file.path()))?;
        writeln!(out)?;
        out.flush()?;
    } else {
        report.print(file.path())?;
    }
    report.list_failures()?;
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// All that is checked before the first clip is looked at.
struct Plan {
    clips: Vec<Annotation>,
    folder: Folder,
    transcripts: Option<Transcripts>,
    features: Option<FeatureFolders>,
    pack: Pack,
    /// The labels that are scored.
    labels: Vec<String>,
    question: Question,
    frame: FramePick,
    run: Run,
}

fn prepare(options: &EvaluateOptions) -> Result<(Plan, AnswersFile), Error> {
    let question = question(options);
    question.validate()?;
    let mut clips = annotations(&options.annotations)?;
    if let Some(limit) = options.limit {
        clips.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let pack = find(&PackRef::from(options.pack.as_str()), &search_path())?;
    let labels = question.labels.clone().unwrap_or_else(|| pack.manifest().labels.clone());
    check_labels(&options.annotations, &clips, &labels)?;
    check_published(options, &pack)?;
    let features = options.features.as_deref().map(FeatureFolders::open).transpose()?;
    let transcripts = options.transcripts.as_deref().map(Transcripts::open).transpose()?;
    if let Some(transcripts) = &transcripts {
        check_transcripts(transcripts, &clips)?;
    }
    let folder = Folder::open(&options.media)?;
    folder.check(clips.iter().map(|clip| clip.name.as_str()))?;
    let run = Run {
        pack: pack.digest().to_owned(),
        frame: frame_name(options.frame),
        transcripts: transcripts.is_some(),
        features: features.as_ref().map(FeatureFolders::encoders).unwrap_or_default(),
        prompt_path: question.prompt_path,
        labels: question.labels.clone(),
    };
    let out = options.out.clone().unwrap_or_else(|| default_out(&options.annotations));
    let file = AnswersFile::open(&out, &run, &clips)?;
    Ok((Plan { clips, folder, transcripts, features, pack, labels, question, frame: options.frame, run }, file))
}

/// The emotion task, decoded as upstream's evaluation does: greedily and without a penalty.
fn question(options: &EvaluateOptions) -> Question {
    Question {
        task: Some(Task::Emotion),
        labels: options.labels.as_ref().map(|labels| labels.iter().map(|label| label.trim().to_owned()).collect()),
        prompt_path: options.prompt_path.map(PromptPath::from),
        sampling: SamplingOptions {
            greedy: true,
            repetition_penalty: 1.0,
            max_new_tokens: MAX_NEW_TOKENS,
            ..SamplingOptions::default()
        },
        ..Question::default()
    }
}

fn check_labels(path: &Path, clips: &[Annotation], labels: &[String]) -> Result<(), Error> {
    match clips.iter().find(|clip| !labels.contains(&clip.label)) {
        None => Ok(()),
        Some(clip) => Err(Error::invalid_argument(format!(
            "{}: line {}: {:?} is none of the labels {}; give the list's own with --labels",
            path.display(),
            clip.line,
            clip.label,
            labels.join(", ")
        ))),
    }
}

/// Refuses what only the published model takes, for other packs.
fn check_published(options: &EvaluateOptions, pack: &Pack) -> Result<(), Error> {
    let given = [("--features", options.features.is_some()), ("--prompt-path", options.prompt_path.is_some())];
    match (&pack.manifest().model, given.iter().find(|(_, given)| *given)) {
        (ModelSpec::Cues(_), Some((option, _))) => Err(Error::invalid_argument(format!(
            "{option} is for packs of the published model; {} is none: leave it out",
            pack.manifest().name
        ))),
        _ => Ok(()),
    }
}

fn check_transcripts(transcripts: &Transcripts, clips: &[Annotation]) -> Result<(), Error> {
    let missing: Vec<&str> =
        clips.iter().map(|clip| clip.name.as_str()).filter(|name| transcripts.get(name).is_none()).collect();
    match missing.len() {
        0 => Ok(()),
        count => Err(Error::invalid_argument(format!(
            "{}: has no line for {count} of the {} clips ({}); add them, with an empty sentence where nothing is said",
            transcripts.path().display(),
            clips.len(),
            some_of(&missing)
        ))),
    }
}

/// The first few of `names`.
fn some_of(names: &[&str]) -> String {
    let mut text = names.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > MOST_NAMED {
        text.push_str(", …");
    }
    text
}

fn frame_name(frame: FramePick) -> String {
    match frame {
        FramePick::Peak => "peak".to_owned(),
        FramePick::First => "first".to_owned(),
        FramePick::Middle => "middle".to_owned(),
        FramePick::At(seconds) => seconds.to_string(),
    }
}

/// Beside the list, in the working directory's terms.
fn default_out(annotations: &Path) -> PathBuf {
    let mut name = annotations.file_stem().unwrap_or_default().to_os_string();
    name.push(ANSWERS_SUFFIX);
    annotations.with_file_name(name)
}

/// Answers the clips that have no answer yet, each one on disk before the next begins.
fn answer_all(plan: &Plan, file: &mut AnswersFile) -> io::Result<Result<(), Error>> {
    let open: Vec<&Annotation> = plan.clips.iter().filter(|clip| file.get(&clip.name).is_none()).collect();
    if open.is_empty() {
        return Ok(Ok(()));
    }
    let progress = progress(plan.clips.len(), plan.clips.len() - open.len());
    let engine_options = EngineOptions { search: search_path(), ..EngineOptions::default() };
    let engine = match Engine::open(&PackRef::Dir(plan.pack.dir().to_path_buf()), &engine_options) {
        Ok(engine) => engine,
        Err(error) => {
            progress.finish_and_clear();
            return Ok(Err(error));
        }
    };
    for clip in open {
        progress.set_message(clip.name.clone());
        let line = match answer(plan, &engine, clip) {
            Ok(analysis) => {
                AnswerLine::answered(clip, &plan.run, &answer_word(&analysis.response, &plan.labels), analysis)
            }
            Err(error) => AnswerLine::failed(clip, &plan.run, Failure::from(&error)),
        };
        file.append(line)?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(Ok(()))
}

fn answer(plan: &Plan, engine: &Engine, clip: &Annotation) -> Result<Analysis, Error> {
    let source = plan.folder.find(&clip.name)?;
    let transcript = match plan.transcripts.as_ref().map(|transcripts| transcripts.get(&clip.name)) {
        None => Transcript::Auto,
        Some(None | Some("")) => Transcript::None,
        Some(Some(sentence)) => Transcript::Text(sentence.to_owned()),
    };
    let features = match &plan.features {
        Some(folders) => folders.read(engine, &clip.name)?,
        None => ClipFeatures::default(),
    };
    let request =
        Request { question: plan.question.clone(), features, transcript, frame: plan.frame, ..Request::new(source) };
    engine.analyze(&request, &CancelToken::new(), &mut |_event| {})
}

/// A bar on standard error; nothing where that is no terminal.
fn progress(clips: usize, done: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(clips as u64).with_position(done as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {eta} left  {msg}") {
        bar.set_style(style);
    }
    // The time left goes by this run, not by what an earlier one has done.
    bar.reset_eta();
    bar.set_message("loading the model");
    bar.tick();
    bar
}
