//! Whisper against transformers and CTranslate2 on real sounds, and on what is no speech at all.
//!
//! `data/speech/` is made by `tools/reference/speech_reference.py`, which says what the sounds are.

use std::path::{Path, PathBuf};

use emotion_llama_core::encoders::whisper::{
    pool_statistics, LogMel, Matrix, TranscribeOptions, Transcript, Whisper, POOLED,
};
use emotion_llama_core::media::Waveform;
use emotion_llama_core::{CancelToken, ErrorKind};
use safetensors::SafeTensors;

/// Largest difference, relative to the largest value, that the ports may have from their originals.
const MEL_BUDGET: f32 = 1e-4;
const STATES_BUDGET: f32 = 1e-3;
const LOGITS_BUDGET: f32 = 1e-3;
const PROBABILITY_BUDGET: f32 = 1e-2;

/// As in `speech_reference.py`.
const KEEP_FRAMES: usize = 5;
const KEEP_LOGITS: usize = 64;

fn pack() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/packs/emotion-llama-mini");
    let pack = std::env::var_os("EMOTION_LLAMA_PACK").map_or(default, PathBuf::from);
    assert!(pack.join("speech.safetensors").is_file(), "no pack at {}: run `make pack` first", pack.display());
    pack
}

fn whisper() -> &'static Whisper {
    static SHARED: std::sync::OnceLock<Whisper> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| Whisper::open(&pack()).unwrap())
}

fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/speech").join(name)).unwrap()
}

/// Samples of a WAV file with the plain 44-byte header.
fn sound(name: &str) -> Waveform {
    let bytes = data(name);
    assert_eq!(&bytes[36..40], b"data");
    let samples = bytes[44..].chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32768.0);
    Waveform { samples: samples.collect() }
}

fn floats(name: &str) -> Vec<f32> {
    let bytes = data("reference.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let data = tensors.tensor(name).unwrap().data().to_vec();
    data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn tokens(name: &str) -> Vec<u32> {
    let bytes = data("reference.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let data = tensors.tensor(name).unwrap().data().to_vec();
    data.chunks_exact(8).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn assert_close(what: &str, ours: &[f32], theirs: &[f32], budget: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}: length");
    let largest = theirs.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    let difference = ours.iter().zip(theirs).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
    println!("{what}: {:.1e} relative", difference / largest);
    assert!(difference <= budget * largest, "{what}: differs by {difference}, largest value {largest}");
}

fn every(matrix: &Matrix, step: usize) -> Vec<f32> {
    matrix.iter_rows().step_by(step).flatten().copied().collect()
}

fn transcribe(audio: &Waveform) -> Transcript {
    whisper().transcribe(audio, &TranscribeOptions::default(), &CancelToken::new()).unwrap()
}

/// Noise that is the same each time: xorshift.
fn noise(samples: usize, amplitude: f32) -> Waveform {
    let mut state = 0x9e37_79b9u32;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        amplitude * (state as f32 / u32::MAX as f32 * 2.0 - 1.0)
    };
    Waveform { samples: (0..samples).map(next).collect() }
}

#[test]
fn log_mel_agrees_with_transformers() {
    let mel = LogMel::new().compute(&sound("german.wav").samples, &CancelToken::new()).unwrap();
    assert_close("log-mel", &mel.data, &floats("mel"), MEL_BUDGET);
}

#[test]
fn hidden_states_agree_with_transformers_on_the_own_length() {
    let states = whisper().hidden_states(&sound("german.wav"), &CancelToken::new()).unwrap();
    let theirs = floats("states");
    for (layer, theirs) in theirs.chunks_exact(theirs.len() / 4).enumerate() {
        assert_close(&format!("layer {layer}"), &every(&states.layers[layer], KEEP_FRAMES), theirs, STATES_BUDGET);
    }
    assert_close("pooled", &pool_statistics(&states), &floats("pooled"), STATES_BUDGET);
}

#[test]
fn encoder_agrees_with_ctranslate2_on_30_s() {
    let encoded = whisper().encoded(&sound("english.wav"), 1, &CancelToken::new()).unwrap();
    assert_eq!(encoded.rows, 1500);
    let theirs = floats("english.encoded");
    let ours = every(&encoded, KEEP_FRAMES);
    assert_close("encoder", &ours[..theirs.len()], &theirs, STATES_BUDGET);
}

#[test]
fn decoder_agrees_with_transformers_and_sparse_silence_keeps_its_choices() {
    let (given, best) = (tokens("english.tokens"), tokens("english.best"));
    let theirs = floats("english.logits");
    for stride in [1, Whisper::SILENCE_STRIDE] {
        let logits = whisper().logits(&sound("english.wav"), stride, &given, &CancelToken::new()).unwrap();
        let ours: Vec<f32> = logits.iter_rows().flat_map(|row| row.iter().step_by(KEEP_LOGITS).copied()).collect();
        if stride == 1 {
            assert_close("logits", &ours, &theirs, LOGITS_BUDGET);
        }
        // The first position only tells whether there is speech.
        for (row, &expected) in logits.iter_rows().zip(&best).skip(1) {
            let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(row[expected as usize], highest, "stride {stride}");
        }
    }
}

#[test]
fn text_is_that_of_ctranslate2() {
    let texts: serde_json::Value = serde_json::from_slice(&data("texts.json")).unwrap();
    for name in ["english", "german"] {
        let audio = sound(&format!("{name}.wav"));
        let (text, _, no_speech) = whisper().window_text(&audio, 1, &CancelToken::new()).unwrap();
        assert_eq!(Some(text.as_str()), texts[name].as_str(), "{name}");
        let theirs = floats(&format!("{name}.no_speech"))[0];
        assert!((no_speech - theirs).abs() < PROBABILITY_BUDGET, "{name}: no-speech {no_speech}, theirs {theirs}");
    }
}

#[test]
fn an_english_sentence_is_transcribed_twice_the_same() {
    let first = transcribe(&sound("english.wav"));
    assert_eq!(first.text, "She opened the window and looked at the garden.");
    assert_eq!(first.language, "en");
    assert!(first.avg_logprob > -0.3 && first.no_speech_prob < 0.3, "{first:?}");
    assert_eq!(transcribe(&sound("english.wav")), first);
}

#[test]
fn loudness_does_not_change_the_words() {
    for gain in [0.03, 0.3, 3.0] {
        let mut audio = sound("english.wav");
        audio.samples.iter_mut().for_each(|sample| *sample *= gain);
        assert_eq!(transcribe(&audio).text, "She opened the window and looked at the garden.", "gain {gain}");
    }
}

#[test]
fn another_language_is_not_put_into_english_words() {
    let options = TranscribeOptions { language: Some("de".into()) };
    let stated = whisper().transcribe(&sound("german.wav"), &options, &CancelToken::new()).unwrap();
    assert_eq!(stated, Transcript::default());
    let options = TranscribeOptions { language: Some("en-GB".into()) };
    let english = whisper().transcribe(&sound("english.wav"), &options, &CancelToken::new()).unwrap();
    assert_eq!(english.language, "en");
}

#[test]
fn silence_and_noise_say_nothing() {
    let hum = (0..48_000).map(|i| 0.1 * (i as f32 * 0.02).sin()).collect();
    let click = (0..32_000).map(|i| f32::from(u8::from(i % 8000 == 100))).collect();
    for (name, audio) in [
        ("silence", Waveform { samples: vec![0.0; 48_000] }),
        ("constant", Waveform { samples: vec![0.25; 48_000] }),
        ("faint noise", noise(48_000, 1e-4)),
        ("noise", noise(48_000, 0.05)),
        ("loud noise", noise(80_000, 0.9)),
        ("hum", Waveform { samples: hum }),
        ("clicks", Waveform { samples: click }),
    ] {
        let heard = transcribe(&audio);
        assert_eq!(heard.text, "", "{name}: {heard:?}");
    }
}

#[test]
fn odd_samples_do_no_harm() {
    let cancel = CancelToken::new();
    let mut broken = sound("english.wav");
    for (index, value) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().enumerate() {
        broken.samples.iter_mut().skip(index).step_by(997).for_each(|sample| *sample = value);
    }
    let huge = Waveform { samples: vec![f32::MAX; 3200] };
    let nothing = Waveform { samples: vec![f32::NAN; 32_000] };
    let mut cases = vec![broken, huge, nothing];
    cases.extend([0, 1, 2, 159, 160, 200, 399, 1599, 1600, 1601, 3333].map(|count| noise(count, 0.3)));
    for audio in cases {
        let count = audio.samples.len();
        let states = whisper().hidden_states(&audio, &cancel).unwrap();
        let pooled = pool_statistics(&states);
        assert_eq!(pooled.len(), POOLED);
        assert!(pooled.iter().all(|value| value.is_finite()), "{count} samples");
        assert_eq!(
            states.frames(),
            if count == 0 { 0 } else { (count.max(1600) / 160).div_ceil(2) },
            "{count} samples"
        );
        let heard = transcribe(&audio);
        assert!(heard.avg_logprob.is_finite() && heard.no_speech_prob.is_finite(), "{count} samples: {heard:?}");
    }
    assert_eq!(pool_statistics(&whisper().hidden_states(&noise(0, 0.0), &cancel).unwrap()), vec![0.0; POOLED]);
}

#[test]
fn long_sound_is_read_to_its_end() {
    let sentence = sound("english.wav");
    let mut samples = Vec::new();
    for start_s in [0, 20, 33, 61] {
        samples.resize(start_s * 16_000, 0.0);
        samples.extend_from_slice(&sentence.samples);
    }
    let audio = Waveform { samples };
    let text = transcribe(&audio).text.to_lowercase();
    let count = text.matches("opened the window and looked at the garden").count();
    assert!(count >= 3, "{text}");
    let states = whisper().hidden_states(&audio, &CancelToken::new()).unwrap();
    assert_eq!(states.frames(), (audio.samples.len() / 160).div_ceil(2));
}

#[test]
fn cancelling_stops_the_work() {
    let cancelled = CancelToken::new();
    cancelled.cancel();
    let audio = noise(10 * 16_000, 0.3);
    assert_eq!(whisper().hidden_states(&audio, &cancelled).unwrap_err().kind, ErrorKind::Cancelled);
    let options = TranscribeOptions::default();
    assert_eq!(whisper().transcribe(&audio, &options, &cancelled).unwrap_err().kind, ErrorKind::Cancelled);

    // Ten minutes of sound take far longer than the 50 ms after which another thread cancels.
    let long = noise(600 * 16_000, 0.3);
    let cancel = CancelToken::new();
    let other = cancel.clone();
    let cancelling = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        other.cancel();
    });
    let began = std::time::Instant::now();
    assert_eq!(whisper().hidden_states(&long, &cancel).unwrap_err().kind, ErrorKind::Cancelled);
    println!("stopped {:?} after the start, cancelled at 50 ms", began.elapsed());
    cancelling.join().unwrap();
}

/// Writes the pack's speech files to a new folder, the weights changed by `change`, and opens it.
fn open_damaged(change: impl FnOnce(&mut Vec<u8>)) -> emotion_llama_core::Error {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(pack().join("speech.safetensors")).unwrap();
    change(&mut bytes);
    std::fs::write(folder.path().join("speech.safetensors"), bytes).unwrap();
    std::fs::copy(pack().join("speech_tokenizer.json"), folder.path().join("speech_tokenizer.json")).unwrap();
    let Err(error) = Whisper::open(folder.path()) else { panic!("damaged weights were accepted") };
    error
}

fn replace(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
}

#[test]
fn damaged_weights_are_named() {
    let empty = tempfile::tempdir().unwrap();
    let Err(missing) = Whisper::open(empty.path()) else { panic!("an empty folder was accepted") };
    let infinite = open_damaged(|bytes| {
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let names: serde_json::Value = serde_json::from_slice(&bytes[8..header]).unwrap();
        let at = header + names["encoder.norm.bias"]["data_offsets"][0].as_u64().unwrap() as usize;
        bytes[at..at + 2].copy_from_slice(&0x7c00u16.to_le_bytes());
    });
    for (error, name) in [
        (missing, "speech.safetensors"),
        (infinite, "encoder.norm.bias"),
        (open_damaged(|bytes| bytes.truncate(1_000_000)), "speech.safetensors"),
        (open_damaged(|bytes| bytes.truncate(5)), "speech.safetensors"),
        (open_damaged(|bytes| bytes.clear()), "speech.safetensors"),
        (open_damaged(|bytes| bytes[..8].fill(0xff)), "speech.safetensors"),
        (open_damaged(|bytes| replace(bytes, "encoder.conv2.bias", "encoder.conv9.bias")), "encoder.conv2.bias"),
        (open_damaged(|bytes| replace(bytes, "[1152,384]", "[384,1152]")), "attention.qkv.weight"),
        (open_damaged(|bytes| replace(bytes, "suppress_ids_begin", "suppress_ids_other")), "suppress_ids_begin"),
    ] {
        assert_eq!(error.kind, ErrorKind::PackInvalid, "{error}");
        assert!(error.message.contains(name) && error.message.contains("speech.safetensors"), "{error}");
    }
}

#[test]
fn damaged_tokenizers_are_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(pack().join("speech.safetensors"), folder.path().join("speech.safetensors")).unwrap();
    let whole = std::fs::read_to_string(pack().join("speech_tokenizer.json")).unwrap();
    for text in ["", "{}", &whole[..whole.len() / 2], &whole.replace("<|notimestamps|>", "<|other|>")] {
        std::fs::write(folder.path().join("speech_tokenizer.json"), text).unwrap();
        let Err(error) = Whisper::open(folder.path()) else { panic!("a damaged tokenizer was accepted") };
        assert_eq!(error.kind, ErrorKind::PackInvalid, "{error}");
        assert!(error.message.contains("speech_tokenizer.json"), "{error}");
    }
}

#[test]
fn tokens_turn_back_into_text() {
    let tokenizer = tokenizers::Tokenizer::from_file(pack().join("speech_tokenizer.json")).unwrap();
    for text in [
        "Don't forget a jacket.",
        " She said: \"no\" – twice…",
        "Grüße aus Köln, naïve façade",
        "Привет, как дела?",
        "Καλημέρα κόσμε",
        "你好，世界",
        "こんにちは世界",
        "안녕하세요 세계",
        "مرحبا بالعالم",
        "שלום עולם",
        "नमस्ते दुनिया",
        "สวัสดีชาวโลก",
        "🙂👩‍👩‍👧 \u{1f1e9}\u{1f1ea}",
        "tabs\tand\nlines  and   spaces",
    ] {
        let encoding = tokenizer.encode(text, false).unwrap();
        assert_eq!(whisper().decode_tokens(encoding.get_ids()), text);
        let with_control: Vec<u32> = [50_257, 50_362].iter().chain(encoding.get_ids()).copied().collect();
        assert_eq!(whisper().decode_tokens(&with_control), text, "control tokens are no text");
    }
    assert_eq!(whisper().decode_tokens(&[u32::MAX, 60_000]), "");
}

#[test]
fn a_vocabulary_beyond_memory_is_refused_before_room_is_made_for_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("speech_tokenizer.json"), r#"{"model":{"vocab":{}},"added_tokens":[]}"#).unwrap();
    // A tensor with an extent of 0 takes no bytes, whatever its other extents are.
    for tokens in [1u64 << 34, 1 << 60] {
        let header = format!(r#"{{"decoder.embedding":{{"dtype":"F16","shape":[{tokens},0],"data_offsets":[0,0]}}}}"#);
        let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
        std::fs::write(folder.path().join("speech.safetensors"), file).unwrap();
        let error = Whisper::open(folder.path()).err().expect("refused");
        assert_eq!(error.kind, ErrorKind::PackInvalid);
        assert!(error.message.contains(&format!("vocabulary of {tokens} tokens")), "{error}");
    }
}
