"""Training samples: evidence, question and answer as segments of token ids and soft rows.

A label stands alone as one token with a leading space, after the task's lead-in. Its target is the whole fused
distribution, not one drawn word: that is what makes the confidence honest.
"""

from dataclasses import dataclass

import numpy as np

import wording
from cues import LABELS8, LABELS9, VOICE7
from evidence import Evidence, fuse, sample_evidence, vectors

# Text and {feature} slots; each run of text is tokenised on its own.
PROMPT = ["<|im_start|>user\nFace:", "{face_peak}", "{face_time}", "{geometry}", " Voice:", "{voice}", "{prosody}", "\n"]
SAYS = 'The person says: "{transcript}"\n'
ASK = "{question}<|im_end|>\n<|im_start|>assistant\n"
LEAD_IN = {"emotion": "", "reason": "The person feels"}
END = "<|im_end|>"
WORDINGS = {"reason": 3, "sentence": 2, "cues": 1, "states": 1}  # answers per prompt in training
UPSTREAM6 = ["happy", "sad", "neutral", "angry", "worried", "surprise"]


@dataclass
class Sample:
    """One prompt with its answer. `ids` holds -1-slot markers where soft rows stand (see `SLOTS`)."""

    evidence: Evidence
    labels: list
    target: np.ndarray  # [len(labels)] the fused distribution
    prompt: list  # token ids; a slot's rows are negative numbers (-1 - index of the feature)
    answers: list  # of token ids after the label, the end token last: one answer, or several wordings of it
    label: str
    lead_in: list  # token ids between the prompt and the label
    task: str


SLOTS = ["face_peak", "face_time", "geometry", "voice", "prosody"]
SLOT_ROWS = {"face_peak": 2, "face_time": 1, "geometry": 3, "voice": 2, "prosody": 3}


class Encoder:
    """Token ids of prompts, with the constant pieces tokenised once."""

    def __init__(self, tokenizer):
        self._tok = tokenizer
        self._memo = {}
        self.label_ids = {label: self._one(" " + label) for label in LABELS9}
        self.end = self._one(END)

    def _one(self, text):
        ids = self.ids(text)
        assert len(ids) == 1, (text, ids)
        return ids[0]

    def ids(self, text):
        if text not in self._memo:
            if len(self._memo) > 5000:
                self._memo.clear()
            self._memo[text] = self._tok.encode(text, add_special_tokens=False).ids
        return list(self._memo[text])

    def piece(self, token):
        """A token in the byte-level alphabet: one character per byte."""
        return self._tok.id_to_token(token)

    def bytes(self, tokens):
        """Text of `tokens` with one character per byte (Latin-1), so that spans count bytes."""
        return self._tok.decode(tokens).encode().decode("latin-1")

    def prompt(self, transcript, question):
        out = []
        for piece in PROMPT[:-1]:
            if piece.startswith("{"):
                out += [-1 - SLOTS.index(piece[1:-1])] * SLOT_ROWS[piece[1:-1]]
            else:
                out += self.ids(piece)
        tail = PROMPT[-1] + (SAYS.replace("{transcript}", transcript) if transcript else "")
        return out + self.ids(tail + ASK.replace("{question}", question))


def allowed_labels(rng):
    """(labels, whether they are the default ones)."""
    kind = rng.random()
    if kind < 0.6:
        return list(LABELS8), True
    if kind < 0.78:
        labels = list(VOICE7)
    elif kind < 0.82:
        labels = list(UPSTREAM6)
    elif kind < 0.87:
        labels = list(LABELS9)
    else:
        labels = list(rng.choice(LABELS9, size=int(rng.integers(3, 8)), replace=False))
    if rng.random() < 0.5:
        rng.shuffle(labels)
    return [str(label) for label in labels], False


def make(rng, encoder, task, evidence=None, labels=None):
    """One sample of `task`: emotion, reason, sentence, cues or states."""
    e = evidence or sample_evidence(rng, wording.words)
    if labels is None:
        labels, default = allowed_labels(rng)
    else:
        default = labels == LABELS8
    p = fuse(e, labels)
    drawn = rng.random() < 0.15
    label = labels[rng.choice(len(labels), p=p) if drawn else int(p.argmax())]
    if task == "emotion":
        lead, rest = LEAD_IN["emotion"], [""]
    else:
        lead = LEAD_IN["reason"]
        write = {"reason": lambda: ". " + wording.explain(rng, e, label, p, labels),
                 "sentence": lambda: wording.one_sentence(rng, e, label),
                 "cues": lambda: "." + wording.cue_list(e), "states": lambda: "." + wording.states(e)}[task]
        rest = list(dict.fromkeys(write() for _ in range(WORDINGS[task])))
    question = wording.question(rng, task, labels, default)
    return Sample(e, labels, p, encoder.prompt(e.transcript, question), [encoder.ids(text) + [encoder.end] for text in rest],
                  label, encoder.ids(lead), task)


def stream(seed, encoder, count, mix):
    """`count` samples; `mix` = {task: share}."""
    rng = np.random.default_rng(seed)
    tasks, shares = list(mix), np.array(list(mix.values()))
    return [make(rng, encoder, tasks[rng.choice(len(tasks), p=shares / shares.sum())]) for _ in range(count)]


def feature_vectors(sample):
    """Feature name -> vector of the sample."""
    return vectors(sample.evidence)


if __name__ == "__main__":  # a look at the data
    import sys

    from model import Base

    encoder = Encoder(Base(sys.argv[1]).tokenizer)
    rng = np.random.default_rng(1)
    for task in ["emotion", "reason", "reason", "reason", "sentence", "cues"] * 3:
        s = make(rng, encoder, task)
        text = encoder._tok.decode([i for i in s.prompt if i >= 0], skip_special_tokens=False)
        answer = encoder._tok.decode(s.lead_in + [encoder.label_ids[s.label]] + s.answers[0], skip_special_tokens=False)
        shown = {label: round(float(v), 2) for label, v in zip(s.labels, s.target) if v >= 0.05}
        print(len(s.prompt), len(s.answers[0]), repr(text[text.index("Voice:") + 7:]), shown, "\n   ->", answer)
