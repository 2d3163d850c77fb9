"""Sampled evidence: class posteriors of a face and a voice, cue vectors, and what they say together.

Nothing here comes from a person. `Evidence` holds what the encoders would measure in a clip; `fuse` is the Bayes
rule that the language model has to learn. The generative story, per sample: an emotion y; the face shows a class
c ~ K_FACE[y] and the voice a class ~ K_VOICE[y]; each encoder reports a posterior of varied sharpness round the
class it sees; the geometry and the prosody are drawn given that report, so they add words, not evidence.
"""

from dataclasses import dataclass, field

import numpy as np

from cues import FACE7, GEOMETRY, LABELS9, PROSODY, VOICE7

# How an emotion shows itself: rows LABELS9, a distribution over the classes that the face nets know.
K_FACE = {
    "neutral": {"neutral": 1.0}, "angry": {"angry": 1.0}, "happy": {"happy": 1.0}, "sad": {"sad": 1.0},
    "worried": {"fear": 0.4, "sad": 0.35, "neutral": 0.25}, "surprise": {"surprise": 1.0}, "fear": {"fear": 1.0},
    "disgust": {"disgust": 1.0}, "bored": {"neutral": 0.6, "sad": 0.3, "angry": 0.1},
}
K_VOICE = {
    "neutral": {"neutral": 1.0}, "angry": {"angry": 1.0}, "happy": {"happy": 1.0}, "sad": {"sad": 1.0},
    "worried": {"fear": 0.45, "sad": 0.3, "neutral": 0.25}, "surprise": {"happy": 0.45, "fear": 0.35, "angry": 0.2},
    "fear": {"fear": 1.0}, "disgust": {"disgust": 1.0}, "bored": {"bored": 1.0},
}
# Where the voice class "bored" goes when the allowed labels do not contain it.
BORED_AS = {"neutral": 0.85, "sad": 0.12, "disgust": 0.03}

# Which classes the nets mix up (not normalised, the diagonal is added by the sharpness).
CONFUSED_FACE = {
    "angry": {"disgust": 3, "sad": 2, "neutral": 2, "fear": 1}, "disgust": {"angry": 4, "sad": 2, "neutral": 1},
    "fear": {"surprise": 4, "sad": 2, "angry": 1, "neutral": 1}, "happy": {"neutral": 2, "surprise": 2, "disgust": 1},
    "sad": {"neutral": 4, "fear": 2, "angry": 1}, "surprise": {"fear": 4, "happy": 2, "neutral": 1},
    "neutral": {"sad": 4, "angry": 2, "happy": 2},
}
CONFUSED_VOICE = {
    "neutral": {"bored": 4, "sad": 2, "disgust": 1}, "angry": {"happy": 4, "disgust": 2, "fear": 1},
    "happy": {"angry": 4, "fear": 2, "neutral": 1}, "sad": {"bored": 3, "neutral": 2, "fear": 1},
    "fear": {"happy": 2, "sad": 2, "angry": 2}, "disgust": {"neutral": 2, "angry": 2, "bored": 2},
    "bored": {"neutral": 5, "sad": 3, "disgust": 1},
}

# Class-conditional means of the cues, in z.
GEOMETRY_MEAN = {  # brow_height, brow_gap, eye_open, mouth_open, mouth_corner, mouth_width
    "angry": [-1.1, -1.2, -0.2, -0.2, -0.6, 0.0], "disgust": [-0.9, -0.5, -1.1, 0.1, -0.5, 0.1],
    "fear": [1.0, -0.3, 1.2, 0.5, -0.3, 0.4], "happy": [0.1, 0.1, -0.4, 0.7, 1.4, 1.3],
    "sad": [0.2, -0.5, -0.6, -0.3, -1.2, -0.4], "surprise": [1.3, 0.3, 1.3, 1.4, 0.0, -0.3],
    "neutral": [0.0, 0.0, 0.0, -0.2, 0.0, 0.0],
}
PROSODY_MEAN = {  # pitch, pitch_range, energy, rate, brightness
    "neutral": [-0.2, -0.3, -0.1, 0.0, -0.1], "angry": [0.9, 0.7, 1.4, 0.6, 1.2], "happy": [1.0, 1.2, 0.8, 0.4, 0.6],
    "sad": [-0.5, -0.9, -1.1, -1.0, -0.9], "fear": [1.3, 0.2, 0.2, 1.0, 0.4], "disgust": [-0.5, 0.2, 0.2, -1.0, -0.1],
    "bored": [-0.6, -0.9, -0.6, -0.8, -0.5],
}

# A voice judges less surely than a face across people and studios, so beside a face it counts for less.
VOICE_WEIGHT_BESIDE_FACE = 0.45
# The language model answers a little less surely than its targets, which this makes up for.
VOICE_WEIGHT_ALONE = 1.2
FLOOR = 0.004


def _matrix(table, classes):
    return np.array([[table[label].get(c, 0.0) for c in classes] for label in LABELS9])


_FACE_MATRIX = _matrix(K_FACE, FACE7)
_VOICE_MATRIX = _matrix(K_VOICE, VOICE7)


@dataclass
class Evidence:
    """What is measured in one clip; None where a modality is absent."""

    face_peak: np.ndarray | None = None  # [7], FACE7, sums to 1
    face_time: np.ndarray | None = None  # [7]
    geometry: np.ndarray | None = None  # [6] z-scores, GEOMETRY order
    voice: np.ndarray | None = None  # [7], VOICE7
    prosody: np.ndarray | None = None  # [5] z-scores, PROSODY order
    transcript: str | None = None
    words: dict = field(default_factory=dict)  # label -> likelihood of the words, empty where they say nothing

    @property
    def face(self):
        """The face's posterior: the mean of the peak frame's and of the time average's."""
        return None if self.face_peak is None else 0.5 * (self.face_peak + self.face_time)


def encode_posterior(p):
    """[p, max(ln p, -8)/8, presence]: 15 values; zeros where absent."""
    if p is None:
        return np.zeros(15, np.float32)
    p = np.asarray(p, np.float64)
    logs = np.maximum(np.log(np.maximum(p, 1e-30)), -8.0) / 8.0
    return np.concatenate([p, logs, [1.0]]).astype(np.float32)


def encode_z(z, size):
    """[clamp(z, -3, 3)/3, presence]: `size` values and presence; zeros where absent."""
    if z is None:
        return np.zeros(size + 1, np.float32)
    return np.concatenate([np.clip(z, -3, 3) / 3.0, [1.0]]).astype(np.float32)


def vectors(e):
    """Feature name -> vector, as the projectors read them."""
    return {
        "face_peak": encode_posterior(e.face_peak), "face_time": encode_posterior(e.face_time),
        "geometry": encode_z(e.geometry, len(GEOMETRY)), "voice": encode_posterior(e.voice),
        "prosody": encode_z(e.prosody, len(PROSODY)),
    }


def prior(e):
    """Prior over LABELS9. Surprise and worry are classes that only a face, or words, can bring up with certainty."""
    p = {label: 1.0 for label in LABELS9}
    p["surprise"] = 0.8 if e.face_peak is not None else 0.04
    p["worried"] = 0.12 if e.face_peak is not None else 0.05
    if e.face_peak is None and e.voice is None:
        p.update(surprise=0.6, worried=0.6)
        if not e.words:
            p["neutral"] = 5.0 if e.transcript else 4.0
    if e.voice is None:
        p["bored"] = 0.3
    return np.array([p[label] for label in LABELS9])


def fuse(e, labels):
    """P(label | everything measured) over `labels` (a subset of LABELS9), float64 [len(labels)]."""
    logp = np.log(prior(e))
    if e.face_peak is not None:
        logp += np.log(_FACE_MATRIX @ (e.face * (1 - 7 * FLOOR) + FLOOR))
    if e.voice is not None:
        matrix = _VOICE_MATRIX
        q = e.voice * (1 - 7 * FLOOR / 5) + FLOOR / 5
        if "bored" not in labels:
            q = q.copy()
            bored, q[VOICE7.index("bored")] = q[VOICE7.index("bored")], 1e-6
            for label, share in BORED_AS.items():
                q[VOICE7.index(label)] += share * bored
        weight = VOICE_WEIGHT_BESIDE_FACE if e.face_peak is not None else VOICE_WEIGHT_ALONE
        logp += weight * np.log(matrix @ q)
    if e.words:
        logp += np.log([e.words.get(label, e.words["_"]) for label in LABELS9])
    picked = np.array([logp[LABELS9.index(label)] for label in labels])
    p = np.exp(picked - picked.max())
    return p / p.sum()


def _posterior(rng, seen, classes, confused):
    """A net's report on a class it sees: from a coin toss to near certainty."""
    if rng.random() < 0.12:
        return rng.dirichlet(np.full(len(classes), rng.choice([0.2, 0.5, 1.0, 3.0])))
    alpha = np.array([confused[seen].get(c, 0.4) for c in classes])
    alpha = 0.1 + alpha / alpha.sum() * rng.uniform(0.3, 2.5)
    alpha[classes.index(seen)] += np.exp(rng.uniform(np.log(0.6), np.log(25.0)))
    q = rng.dirichlet(alpha)
    sharpen = rng.uniform(1.5, 4.0) if rng.random() < 0.25 else np.exp(rng.normal(0.0, 0.35))
    q = np.maximum(q, 1e-9) ** sharpen
    q = q / q.sum()
    leak = np.exp(rng.uniform(np.log(1e-5), np.log(0.05)))
    return (1 - leak) * q + leak / len(classes)


def sample_face(rng, seen):
    """(peak, time, geometry) of a face that shows class `seen`."""
    peak = _posterior(rng, seen, FACE7, CONFUSED_FACE)
    kind = rng.random()
    if kind < 0.12:  # a still picture
        time = peak.copy()
    elif kind < 0.24:  # another read of the same face
        time = _posterior(rng, seen, FACE7, CONFUSED_FACE)
    else:
        base = rng.dirichlet(peak * np.exp(rng.uniform(np.log(4), np.log(80))) + 0.05)
        rest = rng.dirichlet(np.array([1, 0.6, 0.6, 0.8, 1.2, 0.5, 4.0]))
        mix = rng.beta(1.2, 2.5)
        time = (1 - mix) * base + mix * rest
    mean = 0.5 * (peak + time)
    return peak, time / time.sum(), _z(rng, GEOMETRY_MEAN[rng.choice(FACE7, p=mean / mean.sum())])


def sample_voice(rng, seen):
    """(posterior, prosody) of a voice of class `seen`."""
    q = _posterior(rng, seen, VOICE7, CONFUSED_VOICE)
    return q, _z(rng, PROSODY_MEAN[rng.choice(VOICE7, p=q / q.sum())])


def _z(rng, mean):
    kind = rng.random()
    size = len(mean)
    if kind < 0.2:  # cues that have nothing to do with the class
        return np.clip(rng.normal(0, 1.3, size), -3, 3)
    if kind < 0.3:
        return rng.uniform(-3, 3, size)
    if kind < 0.36:
        return rng.normal(0, 0.35, size)
    return np.clip(np.array(mean) * rng.uniform(0.3, 1.2) + rng.normal(0, 0.9, size), -3, 3)


PATTERNS = [  # (face, voice, words), share
    ((True, True, True), 0.27), ((True, True, False), 0.15), ((False, True, True), 0.09), ((False, True, False), 0.16),
    ((True, False, False), 0.15), ((True, False, True), 0.05), ((False, False, True), 0.05), ((False, False, False), 0.08),
]


def sample_evidence(rng, words, pattern=None):
    """One clip. `words(rng, label)` gives (transcript, likelihoods); `pattern` fixes which modalities are there."""
    weights = np.array([share for _, share in PATTERNS])
    if pattern is None:
        pattern = PATTERNS[rng.choice(len(PATTERNS), p=weights / weights.sum())][0]
    emotions = np.array([1.5, 1, 1, 1, 0.7, 1, 1, 1, 0.6])
    draw = lambda: LABELS9[rng.choice(9, p=emotions / emotions.sum())]
    y = draw()
    at_odds = rng.random() < 0.3
    e = Evidence()
    if pattern[0]:
        seen = rng.choice(FACE7, p=_FACE_MATRIX[LABELS9.index(y)])
        e.face_peak, e.face_time, e.geometry = sample_face(rng, seen)
    if pattern[1]:
        source = draw() if at_odds else y
        heard = rng.choice(VOICE7, p=_VOICE_MATRIX[LABELS9.index(source)])
        e.voice, e.prosody = sample_voice(rng, heard)
    if pattern[2]:
        e.transcript, e.words = words(rng, draw() if rng.random() < 0.3 else y)
    return e
