//! `emotion-llama analyze`.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::backend::{Backend, BackendOptions};
use emotion_llama_core::engine::{Engine, EngineOptions};
use emotion_llama_core::event::Event;
use emotion_llama_core::features::ClipFeatures;
use emotion_llama_core::media::Source;
use emotion_llama_core::npy;
use emotion_llama_core::prompt::published::PromptPath;
use emotion_llama_core::prompt::Task;
use emotion_llama_core::remote::{Remote, RemoteOptions};
use emotion_llama_core::request::{Question, Request, Transcript};
use emotion_llama_core::{CancelToken, Error};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{search_path, AnalyzeOptions, TaskName, API_KEY_VARIABLE};
use crate::card::{self, Answer};
use crate::{FAILED, USAGE};

pub fn run(options: &AnalyzeOptions) -> io::Result<ExitCode> {
    let question = question(options);
    if let Err(error) = question.validate() {
        anstream::eprintln!("emotion-llama: {error}");
        return Ok(ExitCode::from(USAGE));
    }
    let progress = Progress::new();
    let model = open(options, &progress);
    progress.hide();

    let mut failed = false;
    match &model {
        Ok(model) if options.jobs > 1 && options.inputs.len() > 1 => {
            progress.show("analysing");
            in_order(
                options,
                |input| answer(model, options, &question, input, &mut |_| {}),
                |input, outcome| {
                    progress.hide();
                    if let (Ok(analysis), false) = (&outcome, options.json) {
                        card::title(input)?;
                        let mut answer = Answer::default();
                        answer.push(&analysis.response)?;
                        answer.finish()?;
                    }
                    failed |= outcome.is_err();
                    print(options, input, outcome)
                },
            )?;
        }
        _ => {
            for input in &options.inputs {
                let outcome = match &model {
                    Ok(model) => analyze(model, options, &question, input, &progress)?,
                    Err(error) => Err(Error::new(error.kind, error.message.clone())),
                };
                progress.hide();
                failed |= outcome.is_err();
                print(options, input, outcome)?;
            }
        }
    }
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// Runs `work` for every input, several at a time, and hands what it gives to `print` in the inputs' order.
fn in_order<T: Send>(
    options: &AnalyzeOptions,
    work: impl Fn(&Path) -> T + Sync,
    mut print: impl FnMut(&Path, T) -> io::Result<()>,
) -> io::Result<()> {
    let inputs = &options.inputs;
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..usize::from(options.jobs).min(inputs.len()) {
            let (next, work, sender) = (&next, &work, sender.clone());
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(input) = inputs.get(index) else { return };
                    // Nobody listens once printing has failed.
                    if sender.send((index, work(input))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early: BTreeMap<usize, T> = BTreeMap::new();
        let mut expected = inputs.iter().enumerate();
        let mut wanted = expected.next();
        for (index, outcome) in receiver {
            early.insert(index, outcome);
            while let Some((index, input)) = wanted {
                let Some(outcome) = early.remove(&index) else { break };
                print(input, outcome)?;
                wanted = expected.next();
            }
        }
        Ok(())
    })
}

/// Prints what is known of an input, after its text.
fn print(options: &AnalyzeOptions, input: &Path, outcome: Result<Analysis, Error>) -> io::Result<()> {
    match outcome {
        Ok(analysis) if options.json => print_json(&analysis),
        Ok(analysis) => card::print(&analysis),
        Err(error) => {
            anstream::eprintln!("emotion-llama: {} ({})", one_line(input, &error), error.name());
            if options.json {
                print_json(&failure(input, &error))?;
            }
            Ok(())
        }
    }
}

/// Opens what answers: a server where one is named, otherwise a pack.
fn open(options: &AnalyzeOptions, progress: &Progress) -> Result<Backend, Error> {
    progress.show(if options.api_url.is_some() { "asking the server" } else { "loading the model" });
    let api_key = match &options.api_key {
        Some(key) => Some(key.0.clone()),
        None => std::env::var(API_KEY_VARIABLE).ok().filter(|key| !key.is_empty()),
    };
    let backend_options = BackendOptions {
        engine: EngineOptions { search: search_path(), device: options.device.clone(), ..EngineOptions::default() },
        remote: RemoteOptions { api_key, ..RemoteOptions::default() },
    };
    let (cancel, source) = (CancelToken::new(), options.api_url.as_deref());
    match source {
        Some(url) => Remote::open(url, &backend_options.remote, &cancel).map(Backend::Hosted),
        None => Backend::open(&options.pack, &backend_options, &cancel, &|_| {}),
    }
}

/// Answers the question about one input.
fn answer(
    model: &Backend,
    options: &AnalyzeOptions,
    question: &Question,
    input: &Path,
    on_event: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<Analysis, Error> {
    let source = source(input)?;
    let features = match model {
        Backend::Embedded(engine) => features(engine, &options.features)?,
        Backend::Hosted(_) => ClipFeatures::default(),
    };
    let request = Request {
        question: question.clone(),
        features,
        transcript: Transcript::from(options.transcript.as_str()),
        frame: options.frame,
        ..Request::new(source)
    };
    model.analyze(&request, &CancelToken::new(), on_event)
}

/// As [`answer`]; prints the text as it comes.
fn analyze(
    model: &Backend,
    options: &AnalyzeOptions,
    question: &Question,
    input: &Path,
    progress: &Progress,
) -> io::Result<Result<Analysis, Error>> {
    let stream = !options.json;
    let mut written: io::Result<()> = Ok(());
    let mut streamed: Option<Answer> = None;
    let analysis = answer(model, options, question, input, &mut |event| match event {
        Event::Stage(stage) => progress.show(match stage {
            "upload" => "sending the clip",
            "decode" => "decoding",
            "observe" => "reading face, voice and words",
            _ => "thinking",
        }),
        Event::Text(piece) if stream => {
            progress.hide();
            if streamed.is_none() {
                written = card::title(input);
            }
            let streamed = streamed.get_or_insert_default();
            if written.is_ok() {
                written = streamed.push(piece);
            }
        }
        Event::Label(_) | Event::Text(_) => {}
    });
    written?;
    if let Some(streamed) = streamed {
        streamed.finish()?;
    }
    Ok(analysis)
}

fn question(options: &AnalyzeOptions) -> Question {
    let mut question = Question {
        task: options.task.map(|task| match task {
            TaskName::Emotion => Task::Emotion,
            TaskName::Reason => Task::Reason,
        }),
        prompt: options.prompt.clone(),
        labels: options.labels.as_ref().map(|labels| labels.iter().map(|label| label.trim().to_owned()).collect()),
        prompt_path: options.prompt_path.map(PromptPath::from),
        ..Question::default()
    };
    question.sampling.greedy = options.greedy;
    if let Some(seed) = options.seed {
        question.sampling.seed = seed;
    }
    if let Some(count) = options.max_new_tokens {
        question.sampling.max_new_tokens = count;
    }
    question
}

/// The features that were given as `ENCODER=FILE`.
fn features(engine: &Engine, given: &[String]) -> Result<ClipFeatures, Error> {
    let mut features = ClipFeatures::default();
    for given in given {
        let Some((encoder, file)) = given.split_once('=') else {
            return Err(Error::invalid_argument(format!(
                "--features {given:?} names no encoder; write mae=FILE, videomae=FILE or hubert=FILE"
            )));
        };
        let values = npy::read(Path::new(file), engine.feature_width(encoder)?)?;
        match encoder {
            "mae" => features.mae = Some(values),
            "videomae" => features.videomae = Some(values),
            _ => features.hubert = Some(values),
        }
    }
    Ok(features)
}

fn source(input: &Path) -> Result<Source, Error> {
    if input != Path::new("-") {
        return Ok(Source::from(input));
    }
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .map_err(|error| Error::invalid_argument(format!("standard input cannot be read: {error}")))?;
    Ok(Source::from(bytes))
}

fn failure(input: &Path, error: &Error) -> serde_json::Value {
    serde_json::json!({
        "input": input.display().to_string(),
        "error": {"name": error.name(), "code": error.code(), "message": error.message},
    })
}

fn print_json(value: &impl serde::Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    writeln!(out)?;
    out.flush()
}

/// The message on one line, with the input's name in front where it is not there already.
fn one_line(input: &Path, error: &Error) -> String {
    let message = error.message.split_whitespace().collect::<Vec<_>>().join(" ");
    let name = input.display().to_string();
    if message.starts_with(&name) {
        message
    } else {
        format!("{name}: {message}")
    }
}

/// A line on standard error that says what is going on; nothing where that is no terminal.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self(bar)
    }

    fn show(&self, message: &'static str) {
        if let Some(bar) = &self.0 {
            bar.reset();
            bar.set_message(message);
            bar.enable_steady_tick(Duration::from_millis(100));
        }
    }

    fn hide(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
