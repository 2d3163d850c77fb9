"""Tests of the sampled data; they need numpy only: `python training/test_recipe.py`."""

import json
import pathlib
import sys
import unittest

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import wording
from cues import FACE7, LABELS8, VOICE7, agrees, class_table, phrase_table, stated_cues
from evidence import Evidence, encode_posterior, fuse, sample_evidence


def peaked(order, **shares):
    rest = (1 - sum(shares.values())) / (len(order) - len(shares))
    return np.array([shares.get(c, rest) for c in order])


class Texts(unittest.TestCase):
    def test_every_stated_cue_agrees_with_the_evidence(self):
        rng = np.random.default_rng(3)
        stated = 0
        for _ in range(500):
            e = sample_evidence(rng, wording.words)
            p = fuse(e, LABELS8)
            label = LABELS8[int(p.argmax())]
            for text in (wording.explain(rng, e, label, p, LABELS8), wording.one_sentence(rng, e, label), wording.cue_list(e)):
                for statement in stated_cues(text):
                    stated += 1
                    self.assertTrue(agrees(statement, e.geometry, e.prosody, e.face, e.voice), (statement, text))
        self.assertGreater(stated, 1500)

    def test_a_wrong_statement_is_seen(self):
        e = Evidence(voice=peaked(VOICE7, angry=0.9), prosody=np.array([0, 0, 2.0, 0, 0]))
        found = stated_cues("The voice is quiet. The voice sounds sad. No face is visible.")
        self.assertEqual(found, [("energy", "low"), ("voice", "sad")])
        self.assertEqual([agrees(s, None, e.prosody, None, e.voice) for s in found], [False, False])

    def test_the_persons_words_state_nothing(self):
        self.assertEqual(stated_cues('The words, "the voice is loud", add little.'), [])

    def test_each_phrase_reads_as_itself(self):
        for cue, sides in phrase_table().items():
            for side, phrases in sides.items():
                for phrase in phrases:
                    self.assertEqual(stated_cues(f"One finds {phrase}."), [(cue, side)])
        for modality, classes in class_table().items():
            for label, phrases in classes.items():
                for phrase in phrases:
                    self.assertEqual(stated_cues(phrase), [(modality, label)])

    def test_the_committed_phrases_are_these(self):
        path = pathlib.Path(__file__).resolve().parent.parent / "packs" / "mini" / "cue_phrases.json"
        told = json.loads(path.read_text())
        self.assertEqual(told["cues"], phrase_table())
        self.assertEqual(told["classes"], class_table())


class Fusion(unittest.TestCase):
    def test_the_voice_alone_keeps_its_order(self):
        q = peaked(VOICE7, fear=0.5, sad=0.3)
        p = fuse(Evidence(voice=q, prosody=np.zeros(5)), VOICE7)
        self.assertEqual(list(np.argsort(p))[-2:], list(np.argsort(q))[-2:])
        self.assertAlmostEqual(p.sum(), 1.0)

    def test_a_sharp_face_leads_and_the_voice_moves_the_confidence(self):
        face = peaked(FACE7, happy=0.9)
        happy = [fuse(Evidence(face_peak=face, face_time=face, geometry=np.zeros(6), voice=peaked(VOICE7, **{v: 0.8}), prosody=np.zeros(5)),
                      LABELS8)[LABELS8.index("happy")] for v in ("happy", "neutral", "sad")]
        self.assertGreater(min(happy), 0.5)
        self.assertGreater(happy[0], happy[1])

    def test_without_evidence_neutral_leads_but_is_unsure(self):
        p = fuse(Evidence(), LABELS8)
        self.assertEqual(LABELS8[int(p.argmax())], "neutral")
        self.assertLess(p.max(), 0.5)

    def test_an_absent_modality_is_zeros(self):
        self.assertFalse(encode_posterior(None).any())
        self.assertEqual(encode_posterior(peaked(FACE7, sad=0.9))[-1], 1.0)


if __name__ == "__main__":
    unittest.main()
