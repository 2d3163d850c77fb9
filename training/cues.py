"""The closed vocabulary of measured cues, and the parser that finds them in a text.

The training texts are written with these phrases only, so `stated_cues` can read an answer back and the
agreement figure can be computed without a judge. `packs/mini/cue_phrases.json` is written from here
(`python training/cues.py`).
"""

import json
import pathlib
import re

FACE7 = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
VOICE7 = ["neutral", "angry", "happy", "sad", "fear", "disgust", "bored"]
LABELS8 = ["neutral", "angry", "happy", "sad", "worried", "surprise", "fear", "disgust"]
LABELS9 = LABELS8 + ["bored"]
GEOMETRY = ["brow_height", "brow_gap", "eye_open", "mouth_open", "mouth_corner", "mouth_width"]
PROSODY = ["pitch", "pitch_range", "energy", "rate", "brightness"]

# z-score at which a cue is worth telling, and at which a stated cue counts as agreeing.
NOTABLE = 0.8
AGREES = 0.5

# cue -> side -> (noun phrases, clauses)
PHRASES = {
    "brow_height": {
        "high": (["raised brows", "lifted eyebrows"],
                 ["the brows are raised", "the eyebrows are lifted", "the eyebrows go up"]),
        "low": (["lowered brows", "lowered eyebrows"],
                ["the brows are lowered", "the eyebrows are pulled down", "the brows sit low"]),
    },
    "brow_gap": {
        "high": ([], []),
        "low": (["knitted brows", "a furrowed brow"],
                ["the brows are drawn together", "the eyebrows are knitted", "the brow is furrowed"]),
    },
    "eye_open": {
        "high": (["wide eyes", "widened eyes"],
                 ["the eyes are wide", "the eyes are wide open"]),
        "low": (["narrowed eyes", "half-closed eyes"],
                ["the eyes are narrowed", "the eyes are half closed"]),
    },
    "mouth_open": {
        "high": (["an open mouth", "parted lips"],
                 ["the mouth is open", "the lips are parted", "the jaw drops"]),
        "low": (["a closed mouth", "pressed lips"],
                ["the mouth is closed", "the lips are pressed together"]),
    },
    "mouth_corner": {
        "high": (["raised mouth corners", "a mouth that curves upward"],
                 ["the corners of the mouth are up", "the mouth corners are lifted", "the mouth curves upward"]),
        "low": (["drooping mouth corners", "a mouth that turns down"],
                ["the corners of the mouth are down", "the mouth corners droop", "the mouth turns down"]),
    },
    "mouth_width": {
        "high": (["a stretched mouth", "a broad mouth"],
                 ["the mouth is stretched", "the lips are stretched wide"]),
        "low": (["a narrow mouth", "a small mouth"],
                ["the mouth is narrow", "the lips are drawn narrow"]),
    },
    "pitch": {
        "high": (["a high pitch", "a high-pitched voice"],
                 ["the pitch is high", "the voice is high", "the voice climbs high"]),
        "low": (["a low pitch", "a deep voice"],
                ["the pitch is low", "the voice is deep", "the voice stays low"]),
    },
    "pitch_range": {
        "high": (["a lively melody", "lively intonation"],
                 ["the intonation is lively", "the melody is lively", "the voice moves up and down"]),
        "low": (["a flat melody", "flat intonation"],
                ["the intonation is flat", "the melody is flat", "the voice stays flat"]),
    },
    "energy": {
        "high": (["a loud voice", "a strong voice"],
                 ["the voice is loud", "the voice is strong"]),
        "low": (["a soft voice", "a quiet voice"],
                ["the voice is soft", "the voice is quiet"]),
    },
    "rate": {
        "high": (["fast speech", "a hurried pace"],
                 ["the speech is fast", "the words come quickly", "the pace is hurried"]),
        "low": (["slow speech", "a slow pace"],
                ["the speech is slow", "the words come slowly", "the pace is slow"]),
    },
    "brightness": {
        "high": (["a bright tone", "a sharp tone"],
                 ["the tone is bright", "the tone is sharp", "the sound is bright"]),
        "low": (["a dark tone", "a muffled sound"],
                ["the tone is dark", "the sound is muffled"]),
    },
}

# class -> (adjectives for "looks …" / "sounds …", nouns for "shows …" / "carries …")
CLASS_WORDS = {
    "angry": (["angry", "cross"], ["anger"]),
    "disgust": (["disgusted"], ["disgust"]),
    "fear": (["afraid", "fearful"], ["fear"]),
    "happy": (["happy", "cheerful"], ["joy", "happiness"]),
    "sad": (["sad", "unhappy"], ["sadness"]),
    "surprise": (["surprised"], ["surprise"]),
    "neutral": (["calm", "neutral"], ["calm"]),
    "bored": (["bored"], ["boredom"]),
}
FACE_STEMS = (["the face looks", "the face appears", "the expression is"], ["the face shows", "the expression speaks of"])
VOICE_STEMS = (["the voice sounds", "the speaker sounds", "it sounds"], ["the voice carries", "the way of speaking tells of"])


def phrase_table():
    """{cue: {"high": [phrases], "low": [phrases]}}, flat lists for the parser."""
    return {cue: {side: nouns + clauses for side, (nouns, clauses) in sides.items()} for cue, sides in PHRASES.items()}


def class_table():
    """{"face"|"voice": {class: [phrases]}}: every way a text states what one modality suggests."""
    table = {}
    for modality, (adjective_stems, noun_stems), classes in (("face", FACE_STEMS, FACE7), ("voice", VOICE_STEMS, VOICE7)):
        table[modality] = {
            label: [f"{stem} {word}" for stem in adjective_stems for word in CLASS_WORDS[label][0]]
            + [f"{stem} {word}" for stem in noun_stems for word in CLASS_WORDS[label][1]]
            for label in classes
        }
    return table


def _patterns():
    rows = []
    for cue, sides in phrase_table().items():
        for side, phrases in sides.items():
            rows += [(p, (cue, side)) for p in phrases]
    for modality, classes in class_table().items():
        for label, phrases in classes.items():
            rows += [(p, (modality, label)) for p in phrases]
    rows.sort(key=lambda row: -len(row[0]))
    return rows


_ROWS = _patterns()
_MEANING = dict(_ROWS)
_SCAN = re.compile(r"(?<![\w-])(" + "|".join(re.escape(p) for p, _ in _ROWS) + r")(?![\w-])")
_QUOTED = re.compile(r"[\"“][^\"”]*[\"”]?")


def stated_cues(text):
    """Cues stated in `text`, in order: [(cue, "high"|"low")] and [("face"|"voice", class)].

    Quoted words of the person are skipped; the longest phrase wins where two overlap.
    """
    plain = re.sub(r"\s+", " ", _QUOTED.sub(" ", text).lower())
    # "the mouth is stretched and narrow" style ellipsis is never written, so a plain scan is exact.
    return [_MEANING[m.group(1)] for m in _SCAN.finditer(plain)]


def cue_spans(text):
    """[(begin, end)] of the stated cues in `text`."""
    masked = _QUOTED.sub(lambda m: " " * len(m.group(0)), text.lower())
    return [m.span() for m in _SCAN.finditer(masked)]


def quote_spans(text):
    """[(begin, end)] of the person's quoted words."""
    return [m.span() for m in _QUOTED.finditer(text)]


def agrees(statement, geometry, prosody, face, voice):
    """Whether one stated cue agrees with what was measured.

    `geometry` and `prosody` are z-scores (not divided by 3) or None; `face` is the mean of the peak and the
    time posterior [7] in FACE7 order, `voice` the posterior [7] in VOICE7 order, or None when absent.
    """
    name, value = statement
    if name in ("face", "voice"):
        q, order = (face, FACE7) if name == "face" else (voice, VOICE7)
        return q is not None and value in order and q[order.index(value)] >= max(q) - 0.1
    z, order = (geometry, GEOMETRY) if name in GEOMETRY else (prosody, PROSODY)
    if z is None:
        return False
    measured = z[order.index(name)]
    return measured >= AGREES if value == "high" else measured <= -AGREES


if __name__ == "__main__":
    out = pathlib.Path(__file__).resolve().parent.parent / "packs" / "mini" / "cue_phrases.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"cues": phrase_table(), "classes": class_table(),
                               "notable_z": NOTABLE, "agrees_z": AGREES}, indent=1) + "\n")
    print(out)
