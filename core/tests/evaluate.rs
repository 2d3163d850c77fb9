//! Figures against scikit-learn's, and arrays that numpy wrote.
//!
//! `data/evaluate/metrics.json` says itself how it was made. The `.npy` files hold the same 12 values, `numpy.save`d (numpy 2) as
//! their names say; `f32_v2.npy` was written with `numpy.lib.format.write_array(version=(2, 0))`.

use std::path::PathBuf;

use emotion_llama_core::evaluate::Metrics;
use emotion_llama_core::npy;
use serde::Deserialize;

const TOLERANCE: f64 = 1e-12;
/// Relative error of rounding to half precision.
const F16_TOLERANCE: f32 = 1.0 / 2048.0;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    labels: Vec<String>,
    truth: Vec<String>,
    answers: Vec<String>,
    accuracy: f64,
    weighted_f1: f64,
    macro_f1: f64,
    uar: f64,
    war: f64,
    precision: Vec<f64>,
    recall: Vec<f64>,
    f1: Vec<f64>,
    support: Vec<u64>,
    confusion: Vec<Vec<u64>>,
}

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/evaluate").join(name)
}

#[test]
fn figures_equal_those_of_scikit_learn() {
    let text = std::fs::read(data("metrics.json")).unwrap();
    let fixture: Fixture = serde_json::from_slice(&text).unwrap();
    assert_eq!(fixture.cases.len(), 20);
    for (number, case) in fixture.cases.iter().enumerate() {
        let pairs = case.truth.iter().zip(&case.answers).map(|(truth, answer)| (truth.as_str(), answer.as_str()));
        let metrics = Metrics::of(&case.labels, pairs).unwrap();
        let mut figures = vec![
            ("accuracy", metrics.accuracy, case.accuracy),
            ("weighted F1", metrics.weighted_f1, case.weighted_f1),
            ("macro F1", metrics.macro_f1, case.macro_f1),
            ("UAR", metrics.uar, case.uar),
            ("WAR", metrics.war, case.war),
        ];
        assert_eq!(metrics.classes.len(), case.labels.len());
        for (at, class) in metrics.classes.iter().enumerate() {
            assert_eq!((class.label.as_str(), class.support), (case.labels[at].as_str(), case.support[at]));
            figures.push(("precision", class.precision, case.precision[at]));
            figures.push(("recall", class.recall, case.recall[at]));
            figures.push(("F1", class.f1, case.f1[at]));
        }
        for (name, figure, expected) in figures {
            assert!((figure - expected).abs() <= TOLERANCE, "case {number}, {name}: {figure}, expected {expected}");
        }
        assert_eq!(metrics.confusion, case.confusion, "case {number}");
        assert_eq!(metrics.count, case.truth.len() as u64);
    }
}

#[test]
fn arrays_that_numpy_wrote_are_read() {
    let values = npy::read(&data("f32_12.npy"), 12).unwrap();
    assert_eq!(values[..2], [0.345_584_18, 0.821_618_14]);
    assert_eq!(npy::read(&data("f32_v2.npy"), 12).unwrap(), values);
    assert_eq!(npy::read(&data("f64_1x12.npy"), 12).unwrap(), values);
    for (half, value) in npy::read(&data("f16_12.npy"), 12).unwrap().iter().zip(&values) {
        assert!((half - value).abs() <= value.abs() * F16_TOLERANCE, "{half} for {value}");
    }
    let error = npy::read(&data("f32_12.npy"), 1024).unwrap_err();
    assert!(error.message.ends_with("f32_12.npy: has 12 values, the projector wants 1024"), "{error}");
}
