//! One posterior out of four nets.
//!
//! The nets err differently because they were trained on different pictures: `fer` and `human` on small pictures from the wild
//! (FER2013), `facex` on posed faces, `face_api` on both kinds. What a net is worth therefore depends on the kind of picture,
//! which is not known. Two readings are computed, one for each kind, and mixed by how well the nets agree under each:
//!
//! - In a kind `d`, net `k` is tempered (`softmax(ln p / T)`) until its mean confidence is its accuracy on that kind
//!   ([`KINDS`]). An overconfident net (`facex` on pictures from the wild: right in 41 %, sure in 92 %) becomes quiet.
//! - The tempered posteriors are multiplied with exponent [`EXPONENT`] (a logarithmic opinion pool): agreement makes surer, a
//!   lone dissenter cannot veto. The exponent is below 1 because the nets' errors are not independent.
//! - The sum over the classes of that product says how well the nets agree. Posed faces make them agree; when a sure `facex`
//!   contradicts the rest, the posed reading is unlikely, and with it `facex`'s weight goes.
//!
//! No labelled faces went into this: the accuracies are published figures, the temperatures come from 20 unlabelled faces.

use super::expression::{normalise, LogPosteriors};

/// A kind of picture, and what the nets are worth on it. The order is that of [`super::expression::NETS`].
struct Kind {
    /// Confidence of a net divided by this in the exponent equals its accuracy.
    temperature: [f32; 4],
    /// How far the class frequencies of FER2013, which `fer` and `human` have learned, are taken out: these faces are not
    /// distributed like that.
    prior_removed: f32,
    /// How likely the kind is before the nets are asked.
    weight: f32,
}

/// Pictures from the wild, then posed ones. Top-1 accuracies that the temperatures aim at: FER2013 private test 59.8, 58.5, 55.3,
/// 41.2 %; CK+ (six classes) 69.2, 58.4, 87.8, 88.5 %. Found by matching mean confidence to these on the 20 frontal faces of
/// face-api's demonstration pictures, each in five crops, one of them 48 × 48 and gray.
const KINDS: [Kind; 2] = [
    Kind { temperature: [1.7, 2.0, 4.7, 6.6], prior_removed: 0.0, weight: 0.5 },
    Kind { temperature: [1.2, 2.0, 1.3, 1.35], prior_removed: 0.5, weight: 0.5 },
];

/// Exponent of each net's posterior: four nets count like 1.8 independent ones.
const EXPONENT: f32 = 0.45;

/// Share of each class in FER2013's training set, in the order of FACE7.
const FER_PRIOR: [f32; 7] = [0.139, 0.015, 0.143, 0.251, 0.168, 0.111, 0.173];
/// Which nets were trained on FER2013 alone.
const FER_TRAINED: [bool; 4] = [true, true, false, false];

/// The fused posterior over FACE7.
pub(super) fn fuse(nets: &LogPosteriors) -> [f32; 7] {
    let mut out = [0.0f32; 7];
    let mut total = 0.0;
    for kind in &KINDS {
        let mut sum = [0.0f32; 7];
        for (k, logs) in nets.iter().enumerate() {
            let mut tempered = logs.map(|log| log / kind.temperature[k]);
            if FER_TRAINED[k] {
                tempered.iter_mut().zip(FER_PRIOR).for_each(|(log, prior)| *log -= kind.prior_removed * prior.ln());
            }
            normalise(&mut tempered);
            sum.iter_mut().zip(tempered).for_each(|(sum, log)| *sum += EXPONENT * log);
        }
        for (out, sum) in out.iter_mut().zip(sum) {
            *out += kind.weight * sum.exp();
            total += kind.weight * sum.exp();
        }
    }
    out.map(|value| value / total.max(f32::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ln p of a net that gives `p` to class `y` and the rest evenly to the others.
    fn says(y: usize, p: f32) -> [f32; 7] {
        std::array::from_fn(|i| if i == y { p.ln() } else { ((1.0 - p) / 6.0).ln() })
    }

    fn top(p: &[f32; 7]) -> (usize, f32) {
        let best = (0..7).max_by(|&a, &b| p[a].total_cmp(&p[b])).expect("seven classes");
        (best, p[best])
    }

    #[test]
    fn fused_posteriors_sum_to_one_and_follow_agreement() {
        let agreed = fuse(&[says(3, 0.9); 4]);
        assert!((agreed.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let (class, sure) = top(&agreed);
        assert_eq!(class, 3);
        let (class, unsure) = top(&fuse(&[says(3, 0.9), says(3, 0.9), says(4, 0.9), says(6, 0.9)]));
        assert_eq!(class, 3);
        assert!(unsure < sure, "{unsure} {sure}");
    }

    #[test]
    fn a_sure_net_of_posed_faces_cannot_overrule_the_rest_alone() {
        let p = fuse(&[says(3, 0.8), says(3, 0.8), says(3, 0.95), says(4, 0.9999)]);
        assert_eq!(top(&p).0, 3, "{p:?}");
    }

    #[test]
    fn the_two_nets_of_posed_faces_win_over_undecided_others() {
        let p = fuse(&[says(6, 0.35), says(6, 0.35), says(1, 0.97), says(1, 0.99)]);
        assert_eq!(top(&p).0, 1, "{p:?}");
    }
}
