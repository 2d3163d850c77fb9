//! Conversations about one clip.

mod common;
mod parity_stages;
mod reference;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use common::{clip, engine, pack_dir};
use emotion_llama_core::analysis::{Analysis, Timings};
use emotion_llama_core::answer::probabilities;
use emotion_llama_core::engine::{Engine, EngineOptions};
use emotion_llama_core::event::Event;
use emotion_llama_core::gguf::Gguf;
use emotion_llama_core::llama::{generate, KvCache, Llama, LoraWeights, Sampler, SamplingOptions, Tokenizer};
use emotion_llama_core::pack::{ModelSpec, Pack, PackRef};
use emotion_llama_core::perceive::Observation;
use emotion_llama_core::projector::CueProjector;
use emotion_llama_core::prompt::published::{follow_up, segments, PromptPath, FEATURES, PICTURE};
use emotion_llama_core::prompt::{template, PromptParts, Segment, Task};
use emotion_llama_core::request::{Question, Request, Transcript};
use emotion_llama_core::session::Session;
use emotion_llama_core::CancelToken;
use indexmap::IndexMap;
use parity_stages::converted;
use parity_stages::language::Language;
use reference::Reference;
use safetensors::SafeTensors;

/// Probabilities of the same prompt, read in other passes: the order of float32 sums differs, and with it now and then the last of an
/// activation's 16 bits.
const OTHER_PASSES: f32 = 1e-3;
const WHY: &str = "Why do you think so?";

/// Held by each test: texts that are written together differ from one that is written alone in the last digits, and answers are compared whole.
fn turn() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn request(code: &str) -> Request {
    Request { transcript: Transcript::Text("Don't forget a jacket.".into()), ..Request::new(clip(code)) }
}

fn observe(engine: &Engine, code: &str) -> Observation {
    engine.observe(&request(code), &CancelToken::new(), &mut |_| {}).unwrap().0
}

fn happy() -> &'static Observation {
    static HAPPY: OnceLock<Observation> = OnceLock::new();
    HAPPY.get_or_init(|| observe(engine(), "HAP"))
}

/// The tiny published model with the built-in pack's nets, and what it sees in a clip; None without the reference.
fn published() -> Option<&'static (Engine, Observation)> {
    static MADE: OnceLock<Option<(tempfile::TempDir, (Engine, Observation))>> = OnceLock::new();
    let make = || {
        let reference = Reference::find()?;
        let dir = tempfile::tempdir().unwrap();
        let pack = converted(&reference, dir.path(), "tiny", |options, _| {
            options.perception = Some(Pack::open(&pack_dir()).unwrap());
        });
        let engine = Engine::open(&PackRef::Dir(pack), &EngineOptions::default()).unwrap();
        let observation = observe(&engine, "SAD");
        Some((dir, (engine, observation)))
    };
    MADE.get_or_init(make).as_ref().map(|(_, made)| made)
}

/// The likeliest tokens, so that equal prompts give equal text.
fn question(task: Option<Task>, prompt: Option<&str>, max_new_tokens: usize) -> Question {
    let sampling = SamplingOptions { greedy: true, max_new_tokens, ..SamplingOptions::default() };
    Question { task, prompt: prompt.map(str::to_owned), sampling, ..Question::default() }
}

fn ask(session: &mut Session, question: &Question) -> Analysis {
    session.ask(question, &CancelToken::new(), &mut |_| {}).unwrap()
}

/// Without what depends on the clock, and on what was read before.
fn content(mut analysis: Analysis) -> Analysis {
    (analysis.timings_ms, analysis.time_to_label_ms) = (Timings::default(), 0.0);
    analysis.usage.cached_tokens = 0;
    analysis
}

fn check_near(a: &IndexMap<String, f32>, b: &IndexMap<String, f32>, name: &str) {
    assert!(a.keys().eq(b.keys()), "{name}");
    let largest = a.values().zip(b.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest <= OTHER_PASSES, "{name}: probabilities differ by {largest}");
}

fn check_first_answer(engine: &Engine, code: &str, observation: &Observation, question: &Question) {
    let request = Request { question: question.clone(), ..request(code) };
    let expected = engine.analyze(&request, &CancelToken::new(), &mut |_| {}).unwrap();
    let mut session = Session::new(engine, observation.clone());
    let first = ask(&mut session, question);
    let name = format!("{:?} {:?}", question.task, question.prompt_path);
    assert_eq!((&first.emotion, &first.response), (&expected.emotion, &expected.response), "{name}");
    assert_eq!(first.usage, expected.usage, "{name}");
    assert_eq!(first.usage.cached_tokens, 0, "{name}");
    check_near(&first.probabilities, &expected.probabilities, &name);
}

#[test]
fn the_first_answer_is_that_of_an_analysis() {
    let _turn = turn();
    for question in [
        question(None, None, 32),
        question(Some(Task::Reason), None, 32),
        Question {
            labels: Some(vec!["calm".into(), "happy".into()]),
            ..question(None, Some("Is this person glad?"), 8)
        },
    ] {
        check_first_answer(engine(), "HAP", happy(), &question);
    }
    let Some((engine, observation)) = published() else { return };
    for path in [PromptPath::Eval, PromptPath::Train, PromptPath::Demo] {
        for task in [Task::Emotion, Task::Reason] {
            let question = Question { prompt_path: Some(path), ..question(Some(task), None, 8) };
            check_first_answer(engine, "SAD", observation, &question);
        }
    }
}

fn check_asking_again(engine: &Engine, observation: &Observation) {
    let mut session = Session::new(engine, observation.clone());
    assert_eq!(session.positions(), 0);
    let first = ask(&mut session, &question(Some(Task::Reason), None, 12));
    let held = session.positions();
    session.reset();
    let of_clip = session.positions();
    assert!(0 < of_clip && of_clip < first.usage.prompt_tokens, "{of_clip} of {:?}", first.usage);
    let again = ask(&mut session, &question(Some(Task::Reason), None, 12));
    assert_eq!(again.usage.cached_tokens, of_clip);
    assert_eq!(content(again), content(first), "reset gives the first answer again");
    assert_eq!(session.positions(), held);

    let (mut stages, mut label, mut text) = (Vec::new(), None, String::new());
    let why = question(None, Some(WHY), 12);
    let second = session.ask(&why, &CancelToken::new(), &mut |event| match event {
        Event::Stage(stage) => stages.push(stage),
        Event::Label(told) => label = Some(told.clone()),
        Event::Text(piece) => text.push_str(piece),
    });
    let second = second.unwrap();
    assert_eq!(label.map(|label| label.probabilities), Some(second.probabilities.clone()));
    assert_eq!(second.usage.cached_tokens, held);
    assert!(held > of_clip && second.usage.prompt_tokens > held, "{:?}", second.usage);
    assert_eq!((stages.as_slice(), text.trim()), (&["respond"][..], second.response.as_str()));
    let Timings { decode, preprocess, encode, .. } = second.timings_ms;
    assert_eq!([decode, preprocess, encode], [0.0; 3]);
    assert_eq!(second.transcript, observation.transcript);
    println!("a follow-up: {:.0} ms, {:?}", second.timings_ms.total, second.usage);

    session.reset();
    let fresh = ask(&mut session, &why);
    assert!(
        second.probabilities != fresh.probabilities && second.response != fresh.response,
        "the turns before make no difference: {:?}",
        fresh.response
    );
}

#[test]
fn a_second_question_follows_the_first_and_reads_only_what_is_new() {
    let _turn = turn();
    check_asking_again(engine(), happy());
    let Some((engine, observation)) = published() else { return };
    check_asking_again(engine, observation);
}

/// The built-in pack's language model, taken apart.
fn mini() -> (Llama, Tokenizer, CueProjector, Pack) {
    let pack = Pack::open(&pack_dir()).unwrap();
    let ModelSpec::Cues(spec) = &pack.manifest().model else { panic!("a pack with cues") };
    let gguf = Gguf::open(&pack.path(&spec.llm.weights)).unwrap();
    let mut llama = Llama::load(&gguf).unwrap();
    let adapter = pack.path(&spec.llm.adapter);
    let bytes = std::fs::read(&adapter).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    llama
        .set_lora(Some(LoraWeights::from_safetensors(&tensors, llama.config(), spec.llm.lora_scale()).unwrap()))
        .unwrap();
    let projector = CueProjector::open(&adapter, &spec.features, llama.config().hidden).unwrap();
    (llama, Tokenizer::from_gguf(&gguf).unwrap(), projector, pack)
}

/// A follow-up's labels get the scores that they get when the whole conversation is one prompt.
#[test]
fn the_built_in_models_conversation_is_the_one_that_its_template_writes() {
    let _turn = turn();
    let (llama, tokenizer, projector, pack) = mini();
    let ModelSpec::Cues(spec) = &pack.manifest().model else { panic!("a pack with cues") };
    let spec = &spec.prompt;
    let labels = &pack.manifest().labels;
    let embed = |text: &str, special| llama.embed(&tokenizer.encode(text, special).unwrap()).unwrap();
    // A label alone, a text that is cut, and one that ends by itself.
    for (task, most) in [(Task::Emotion, 8), (Task::Reason, 9), (Task::Reason, 200)] {
        let mut session = Session::new(engine(), happy().clone());
        let first = ask(&mut session, &question(Some(task), None, most));
        assert_eq!(first.notes.iter().any(|note| note.name == "answer_cut"), most == 9, "{:?}", first.response);
        let second = ask(&mut session, &question(None, Some(WHY), 8));

        let transcript = happy().transcript.as_deref();
        let parts = PromptParts { task, question: None, transcript, labels: None };
        let mut rows = Vec::new();
        for segment in template::segments(spec, parts) {
            rows.extend(match segment {
                Segment::Text(text) => embed(&text, true),
                Segment::Soft(name) => projector.soft_tokens(&name, &happy().features).unwrap().unwrap(),
            });
        }
        let answer = match task {
            Task::Emotion => format!("{}{}", spec.label_prefix, first.emotion),
            _ => first.response.clone(),
        };
        rows.extend(embed(&answer, false));
        let turn = format!("<|im_end|>\n<|im_start|>user\n{WHY}<|im_end|>\n<|im_start|>assistant\n");
        rows.extend(embed(&turn, true));
        let positions = rows.len() / llama.config().hidden;
        assert_eq!(second.usage.prompt_tokens, positions, "{answer:?}");
        rows.extend(embed(&spec.reason.lead_in, false));
        let mut cache = KvCache::new(llama.config());
        let cancel = CancelToken::new();
        let logits = llama.prefill(&rows, &mut cache, &cancel).unwrap();
        let ids: Vec<Vec<u32>> = labels
            .iter()
            .map(|label| tokenizer.encode(&format!("{}{label}", spec.label_prefix), false).unwrap())
            .collect();
        let scores = llama.score(&cache, &logits, &ids, &cancel).unwrap();
        check_near(&second.probabilities, &probabilities(labels, &scores), &answer);
    }
}

/// A follow-up's text is what the published model writes when the whole conversation is one prompt.
#[test]
fn the_published_models_conversation_is_llamas_chat_format() {
    let _turn = turn();
    let Some((engine, observation)) = published() else { return };
    let Language { llama, tokenizer, projector } = Language::open(Path::new(engine.pack().dir()));
    let encoded = observation.features.encoded.as_ref().unwrap();
    let write = |rows: &[f32], most: usize| {
        let cancel = CancelToken::new();
        let mut cache = KvCache::new(llama.config());
        let logits = llama.prefill(rows, &mut cache, &cancel).unwrap();
        let mut sampler = Sampler::new(question(None, None, most).sampling).unwrap();
        sampler.record(tokenizer.bos_id().unwrap());
        let mut stream = tokenizer.stream();
        let mut text = String::new();
        let stop = tokenizer.stop_ids();
        let written = generate(&llama, &mut cache, &logits, &mut sampler, stop, &cancel, &mut |id| {
            text.push_str(&stream.push(id));
            ControlFlow::Continue(())
        });
        text.push_str(&stream.finish());
        (written.unwrap().ids, text.trim().to_owned())
    };
    let mut session = Session::new(engine, observation.clone());
    let first = ask(&mut session, &question(Some(Task::Emotion), None, 10));
    let second = ask(&mut session, &question(None, Some(WHY), 10));

    let parts = PromptParts {
        task: Task::Emotion,
        question: None,
        transcript: observation.transcript.as_deref(),
        labels: None,
    };
    let mut rows = Vec::new();
    for segment in segments(PromptPath::Eval, parts).iter().chain([&follow_up(WHY)]) {
        if *segment == follow_up(WHY) {
            let (ids, text) = write(&rows, 10);
            assert_eq!(text, first.response);
            rows.extend(llama.embed(&ids).unwrap());
        }
        rows.extend(match segment {
            Segment::Text(text) => llama.embed(&tokenizer.encode(text, true).unwrap()).unwrap(),
            Segment::Soft(name) if name == PICTURE => projector.picture(&encoded.picture).unwrap(),
            Segment::Soft(name) => {
                assert_eq!(name, FEATURES);
                projector.features(&encoded.clip, &encoded.picture).unwrap()
            }
        });
    }
    assert_eq!(second.usage.prompt_tokens, rows.len() / llama.config().hidden);
    assert_eq!(second.response, write(&rows, 10).1);
}

/// Cancels at each of the first events, before and after there are turns, and goes on as if nothing had been asked.
fn check_cancelling(engine: &Engine, observation: &Observation) {
    let questions = [question(Some(Task::Reason), None, 12), question(None, Some(WHY), 12), question(None, None, 12)];
    let mut undisturbed = Session::new(engine, observation.clone());
    let expected = questions.each_ref().map(|question| content(ask(&mut undisturbed, question)));
    let mut session = Session::new(engine, observation.clone());
    for (question, expected) in questions.iter().zip(expected) {
        for stop_at in 0..4 {
            let cancel = CancelToken::new();
            let mut seen = 0;
            let stopped = session.ask(&questions[0], &cancel, &mut |_| {
                if seen == stop_at {
                    cancel.cancel();
                }
                seen += 1;
            });
            assert_eq!(stopped.unwrap_err().name(), "cancelled", "at event {stop_at}");
        }
        let bad = Question { labels: Some(vec!["one".into()]), ..Question::default() };
        assert_eq!(session.ask(&bad, &CancelToken::new(), &mut |_| {}).unwrap_err().name(), "invalid_argument");
        assert_eq!(content(ask(&mut session, question)), expected);
    }
    assert_eq!(session.positions(), undisturbed.positions());
}

#[test]
fn a_cancelled_or_refused_question_leaves_no_trace() {
    let _turn = turn();
    check_cancelling(engine(), happy());
    let Some((engine, observation)) = published() else { return };
    check_cancelling(engine, observation);
}

#[test]
fn a_full_context_is_refused_until_the_session_is_reset() {
    let _turn = turn();
    let ModelSpec::Cues(spec) = &engine().pack().manifest().model else { panic!("a pack with cues") };
    let gguf = Gguf::open(&engine().pack().path(&spec.llm.weights)).unwrap();
    let context = Llama::load(&gguf).unwrap().config().context;
    let mut session = Session::new(engine(), happy().clone());
    let prompt = ask(&mut session, &question(None, None, 8)).usage.prompt_tokens;
    session.reset();
    // As long as the context allows; the label alone is said.
    let longest = question(None, None, context - prompt);
    let first = ask(&mut session, &longest);
    let held = session.positions();
    let error = session.ask(&longest, &CancelToken::new(), &mut |_| {}).unwrap_err();
    assert_eq!(error.name(), "invalid_argument");
    assert!(error.message.contains("reset the session"), "{error}");
    let longer = question(None, None, usize::MAX);
    assert_eq!(session.ask(&longer, &CancelToken::new(), &mut |_| {}).unwrap_err().name(), "invalid_argument");
    assert_eq!(session.positions(), held);
    ask(&mut session, &question(None, None, 8));
    session.reset();
    assert_eq!(content(ask(&mut session, &longest)), content(first));
}

#[test]
fn a_conversation_stays_on_its_prompt_path() {
    let _turn = turn();
    let Some((engine, observation)) = published() else { return };
    let on = |path| Question { prompt_path: path, ..question(None, None, 4) };
    let mut session = Session::new(engine, observation.clone());
    let demo = ask(&mut session, &on(Some(PromptPath::Demo)));
    let error = session.ask(&on(Some(PromptPath::Eval)), &CancelToken::new(), &mut |_| {}).unwrap_err();
    assert_eq!(error.name(), "invalid_argument");
    ask(&mut session, &on(None));
    ask(&mut session, &on(Some(PromptPath::Demo)));
    session.reset();
    // Another path reads the clip anew, and none is the default one.
    let eval = ask(&mut session, &on(None));
    assert_eq!(eval.usage.cached_tokens, 0);
    assert_eq!(content(eval), content(ask(&mut Session::new(engine, observation.clone()), &on(None))));
    session.reset();
    assert_eq!(content(ask(&mut session, &on(Some(PromptPath::Demo)))), content(demo));
}

#[test]
fn two_sessions_of_one_engine_do_not_meet() {
    let _turn = turn();
    fn sendable<T: Send>(value: T) -> T {
        value
    }
    let angry = observe(engine(), "ANG");
    let questions = [question(Some(Task::Reason), None, 16), question(None, Some(WHY), 16)];
    let talk = |mut session: Session| questions.each_ref().map(|question| content(ask(&mut session, question)));
    let session = |observation: &Observation| sendable(Session::new(engine(), observation.clone()));
    let alone = [happy(), &angry].map(|observation| talk(session(observation)));
    assert_ne!(alone[0], alone[1]);
    let talk = &talk;
    std::thread::scope(|scope| {
        let runs = [happy(), &angry].map(|observation| {
            let session = session(observation);
            scope.spawn(move || talk(session))
        });
        for (run, alone) in runs.into_iter().zip(alone) {
            for (together, alone) in run.join().unwrap().into_iter().zip(alone) {
                // The texts were written together, whose sums are added up in another order.
                check_near(&together.probabilities, &alone.probabilities, "together");
                assert_eq!(
                    (together.emotion, together.response, together.usage),
                    (alone.emotion, alone.response, alone.usage)
                );
            }
        }
    });
}
