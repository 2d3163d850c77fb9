"""Words: transcripts, questions, and explanations written by program from what was measured."""

from cues import CLASS_WORDS, FACE7, FACE_STEMS, GEOMETRY, NOTABLE, PHRASES, PROSODY, VOICE7, VOICE_STEMS

# ---- transcripts -------------------------------------------------------------------------------------------------

_WHO = ["I", "we", "they", "you", "the others", "my brother", "the neighbours", "Anna", "the driver", "our teacher"]
_DID = ["put", "left", "found", "took", "brought", "moved", "carried", "packed", "placed", "saw"]
_WHAT = ["the keys", "the blue box", "two chairs", "the newspaper", "a green bag", "the old map", "some paper", "the bottles",
         "a wooden spoon", "the letter", "the bicycle", "three apples", "the camera", "a cup of tea", "the ladder"]
_WHERE = ["on the table", "in the kitchen", "behind the door", "at the station", "near the window", "in the car", "upstairs",
          "under the bench", "by the lake", "in the office", "on the second floor", "next to the shop"]
_WHEN = ["", " yesterday", " this morning", " on Monday", " before noon", " at six o'clock", " last week", " every evening", " again"]
_FIXED = ["The train leaves at nine.", "It is eleven o'clock.", "Tell me the number again.", "The door on the left is open.",
          "We meet in front of the library.", "Please hand me the pen.", "The meeting starts in ten minutes.", "Turn right after the bridge.",
          "There are four rooms in this flat.", "I think I have a doctor's appointment.", "Take the second exit.", "The report is on your desk.",
          "Say the word once more.", "That is what they told us.", "Don't leave the window open.", "Remember to bring an umbrella.",
          "Das Fenster steht offen.", "Wir treffen uns um acht Uhr.", "Die Tasche liegt unter dem Stuhl.", "Morgen fahre ich nach Hause.",
          "Er stellt die Gläser auf den Schrank.", "Am Dienstag kommt die Post.", "Kannst du mir den Stift geben?", "Der Zug hält hier nicht.",
          "Sie haben das Paket nach oben getragen.", "In einer Stunde ist es vorbei.", "Le train part à neuf heures.", "Je mets les clés sur la table.",
          "Nous habitons près de la gare.", "El coche está en la calle.", "Mañana vamos al mercado.", "La porta è aperta.", "O livro está na mesa.",
          "Книга лежит на столе.", "我们明天去图书馆。", "他把书放在桌子上。", "会議は九時に始まります。", "Okay.", "Yes.", "Hello.", "Well, let's see.", "Um, one, two, three."]
_EMOTIONAL = {
    "angry": ["Stop it right now!", "I have had enough of this!", "How dare you!", "Get out of here!", "You never listen to me!", "This is outrageous!",
              "Leave me alone!", "Who do you think you are?", "I told you a hundred times!", "Das ist eine Frechheit!", "Jetzt reicht es mir!", "Ça suffit !", "¡Basta ya!", "我受够了！"],
    "happy": ["This is wonderful!", "I am so happy to see you!", "We won the game!", "That is great news!", "What a lovely day!", "I got the job!",
              "Thank you so much, I love it!", "Yes, we did it!", "This is so much fun!", "Ich freue mich so!", "Das ist ja herrlich!", "C'est génial !", "¡Qué alegría!", "太好了！"],
    "sad": ["I miss her so much.", "He is gone and won't come back.", "I feel so alone.", "Everything is lost.", "I can't stop crying.", "She died last year.",
            "Nobody called me.", "It's over between us.", "I wish he were still here.", "Ich bin so traurig.", "Alles ist verloren.", "Elle me manque.", "Estoy muy triste.", "我很难过。"],
    "worried": ["I hope nothing happened to them.", "What if it goes wrong?", "He should have called by now.", "I don't know if we can pay this.", "Are you sure it is safe?",
                "I'm not sure this will work.", "What are we going to do?", "Hoffentlich geht das gut.", "Ich mache mir Sorgen.", "J'espère que ça ira.", "我有点担心。"],
    "surprise": ["What? I didn't expect that!", "Oh my, is that really you?", "No way!", "I can't believe it!", "Where did that come from?", "Wow, look at that!",
                 "You are already here?", "Das hätte ich nie gedacht!", "Wirklich? Unglaublich!", "Quoi ? Déjà ?", "¿De verdad?", "真的吗？"],
    "fear": ["Help, somebody help me!", "There is someone in the house.", "Please don't hurt me.", "Run, run!", "I'm so scared.", "Did you hear that noise?",
             "It's coming closer.", "Don't let go of me!", "Hilfe! Da ist jemand!", "Ich habe solche Angst.", "J'ai peur.", "¡Socorro!", "救命！"],
    "disgust": ["That is disgusting.", "Ew, what is that smell?", "I'm going to be sick.", "Take that rotten thing away.", "There's a hair in my soup.", "This tastes awful.",
                "That's revolting.", "Igitt, das ist ja eklig!", "Mir wird schlecht.", "C'est dégoûtant.", "¡Qué asco!", "真恶心。"],
    "bored": ["Are we done yet?", "Same thing every day.", "This takes forever.", "I've heard this a thousand times.", "Wie lange dauert das noch?"],
}


def words(rng, label):
    """(transcript, {label: likelihood, "_": the others'}), the latter empty for words that tell nothing."""
    kind = rng.random()
    if label != "neutral" and kind < 0.4:
        text = rng.choice(_EMOTIONAL[label])
        tells = {label: 1.0, "_": 0.2}
        if label in ("fear", "worried"):
            tells = {"fear": 0.6, "worried": 0.6, "_": 0.2, label: 1.0}
    elif kind < 0.65:
        text, tells = rng.choice(_FIXED), {}
    else:
        text = f"{rng.choice(_WHO)} {rng.choice(_DID)} {rng.choice(_WHAT)} {rng.choice(_WHERE)}{rng.choice(_WHEN)}."
        text, tells = text[0].upper() + text[1:], {}
    style = rng.random()
    if style < 0.08:
        text = text.rstrip(".!")
    elif style < 0.13:
        text = text.lower()
    return str(text), tells


# ---- questions ---------------------------------------------------------------------------------------------------

EMOTION_QUESTION = "What does the person feel?"
REASON_QUESTION = "What does the person feel, and what shows it?"
LABELS_CLAUSE = " Choose from: {labels}."
_EMOTION_QUESTIONS = ["[emotion] What emotion is shown?", "[emotion] Which emotion does the person show?", "[emotion] How does this person feel?",
                      "[emotion] What is the emotion?", "[emotion] Name the emotion.", "[emotion] What is the mood of the speaker?", "[emotion]"]
_UPSTREAM_EMOTION = "[emotion] Please determine which emotion label in the video represents: {labels}."
_REASON_QUESTIONS = ["[reason] Why does the person feel this way?", "[reason] Which signs show the emotion?", "[reason] Explain the emotion.",
                     "[reason] Please analyze all the clues in the video and reason out the emotional label of the person in the video.",
                     "What does this person feel and why?", "Why does the person feel like this?", "How is this person feeling? Explain.",
                     "Describe how the person feels.", "What is going on with this person?", "Please describe the emotion in this clip and what tells you.", "[reason]"]
_SENTENCE_QUESTIONS = ["Describe the emotion in one sentence.", "In one sentence, what does the person feel?", "[reason] Answer in one sentence.", "Give a short description of the emotion."]
_STATES_QUESTIONS = ["[reason] Give the state of every cue.", "What is the state of every cue?"]
_CUES_QUESTIONS = ["[reason] List the cues.", "Which cues are measured?", "List what the face and the voice show."]


def question(rng, task, labels, default):
    """The question's text with its task word. The labels are spelled out when they are not the default ones."""
    listed = ", ".join(labels)
    if task == "emotion":
        if rng.random() < 0.12:
            return _UPSTREAM_EMOTION.format(labels=listed)
        text = f"[emotion] {EMOTION_QUESTION}" if rng.random() < 0.6 else str(rng.choice(_EMOTION_QUESTIONS))
    elif task == "reason":
        text = f"[reason] {REASON_QUESTION}" if rng.random() < 0.55 else str(rng.choice(_REASON_QUESTIONS))
    else:
        text = str(rng.choice({"sentence": _SENTENCE_QUESTIONS, "cues": _CUES_QUESTIONS, "states": _STATES_QUESTIONS}[task]))
    if not default or rng.random() < 0.1:
        text += LABELS_CLAUSE.format(labels=listed)
    return text


# ---- explanations ------------------------------------------------------------------------------------------------

_OPEN_PAIR = ["{A} and {b}.", "{A}, and {b}.", "{A}; {b}."]
_FACE_NP = ["{N1} and {n2} stand out in the face.", "You can see {n1} and {n2}.", "The face has {n1} and {n2}.", "One sees {n1}, with {n2}.", "{N1} and {n2} give it away.", "It shows in {n1} and {n2}."]
_FACE_NP1 = ["You can see {n1}.", "{N1} can be seen.", "The clearest sign in the face: {n1}.", "One notices {n1}."]
_VOICE_NP = ["One hears {n1} and {n2}.", "{N1} and {n2} can be heard.", "There is {n1}, with {n2}.", "Listen for {n1} and {n2}.", "The words come with {n1} and {n2}."]
_VOICE_NP1 = ["One hears {n1}.", "{N1} can be heard.", "There is {n1} to hear.", "The words come with {n1}."]
_THREE = ["{A}, {b}, and {c}.", "{A}, {b} and {c}."]
_FACE_PLAIN = ["The face is close to its usual state.", "The face hardly moves.", "Nothing in the face stands out."]
_VOICE_PLAIN = ["The speech is close to its usual state.", "Nothing in the sound of the speech stands out.", "The speaker talks as usual."]
_NO_FACE = ["No face is visible.", "There is no face to read.", "The face cannot be seen."]
_NO_VOICE = ["No voice is heard.", "There is no voice to judge.", "Nothing is said aloud."]
_NOTHING = ["There is nothing to read here: no face, no voice, no words.", "No face is visible and no voice is heard, so this is only a guess.",
            "Neither a face nor a voice is present, so nothing can be read.", "There is no evidence to go by."]
_WORDS_EMPTY = ['The words, "{t}", add little.', 'The words "{t}" say nothing about it.', '"{t}" is said, which could mean anything.', "The words themselves add little."]
_WORDS_FIT = ['The words, "{t}", point the same way.', 'What is said fits: "{t}".', '"{t}" says it too.']
_WORDS_ODD = ['The words, "{t}", do not quite fit.', 'The words "{t}" would suggest something else.']
_WORDS_ONLY = ['All there is are the words: "{t}".', 'Only the words can be judged: "{t}".']
_UNSURE = ["The signs are mixed, so this is uncertain.", "It is a close call.", "It could also be {other}.", "This reading is not certain; {other} is possible too."]
_BOTH = ["{Face}, and {voice} too.", "{Face} and {voice} as well.", "{Face}. {Voice} too."]
_BUT = ["{Face}, but {voice}.", "{Face}, while {voice}.", "{Face}, although {voice}."]


CLEAR = 1.1  # |z| from which a second or third cue of one modality is told


def _cap(text):
    return text[0].upper() + text[1:]


def _class(rng, stems, label):
    adjective_stems, noun_stems = stems
    adjectives, nouns = CLASS_WORDS[label]
    if rng.random() < 0.75:
        return f"{rng.choice(adjective_stems)} {rng.choice(adjectives)}"
    return f"{rng.choice(noun_stems)} {rng.choice(nouns)}"


def notable(z, order):
    """[(cue, side, |z|)] beyond the notable threshold, most extreme first."""
    if z is None:
        return []
    rows = [(cue, "high" if v > 0 else "low", abs(v)) for cue, v in zip(order, z) if abs(v) >= NOTABLE and PHRASES[cue]["high" if v > 0 else "low"][0]]
    return sorted(rows, key=lambda row: -row[2])


def sharp(q, order):
    """The class that a posterior points to, or None when it is undecided."""
    if q is None:
        return None
    top = sorted(q)[::-1]
    return order[int(q.argmax())] if top[0] >= 0.45 and top[0] - top[1] >= 0.15 else None


def _cue_sentence(rng, rows, nps, np1s):
    """One sentence for one to three cues of one modality."""
    phrase = lambda row, form: str(rng.choice(PHRASES[row[0]][row[1]][form]))
    if len(rows) == 1:
        if rng.random() < 0.5:
            return _cap(phrase(rows[0], 1)) + "."
        n1 = phrase(rows[0], 0)
        return rng.choice(np1s).format(n1=n1, N1=_cap(n1))
    if len(rows) == 3:
        a, b, c = (phrase(r, 1) for r in rows)
        return rng.choice(_THREE).format(A=_cap(a), b=b, c=c)
    if rng.random() < 0.5:
        a, b = (phrase(r, 1) for r in rows)
        return rng.choice(_OPEN_PAIR).format(A=_cap(a), b=b)
    n1, n2 = (phrase(r, 0) for r in rows)
    return rng.choice(nps).format(n1=n1, n2=n2, N1=_cap(n1))


def _pick(rng, rows):
    """One to three cues, mostly two, the extreme ones preferred, mostly in order of strength.

    After the first only clear ones count: few and sure beats many and doubtful.
    """
    rows = [r for i, r in enumerate(rows) if i == 0 or r[2] >= CLEAR][:1 + rng.choice(3, p=[0.25, 0.65, 0.1])]
    if rng.random() < 0.2:
        rng.shuffle(rows)
    return [tuple(r) for r in rows]


def _cased(template, face, voice):
    return template.format(Face=_cap(face), face=face, voice=voice, Voice=_cap(voice))


def explain(rng, e, label, p, labels):
    """2 to 4 sentences that tell what was measured in `e` and stand behind `label` (P = `p` over `labels`)."""
    face_there, voice_there = e.face_peak is not None, e.voice is not None
    if not face_there and not voice_there and not e.transcript:
        return str(rng.choice(_NOTHING))
    face_says, voice_says = sharp(e.face, FACE7), sharp(e.voice, VOICE7)
    sentences = []
    if face_there:
        rows = _pick(rng, notable(e.geometry, GEOMETRY))
        sentences.append(_cue_sentence(rng, rows, _FACE_NP, _FACE_NP1) if rows else str(rng.choice(_FACE_PLAIN)))
    if voice_there:
        rows = _pick(rng, notable(e.prosody, PROSODY))
        sentences.append(_cue_sentence(rng, rows, _VOICE_NP, _VOICE_NP1) if rows else str(rng.choice(_VOICE_PLAIN)))
    if rng.random() < 0.15:
        sentences.reverse()
    if face_says and voice_says:
        face, voice = _class(rng, FACE_STEMS, face_says), _class(rng, VOICE_STEMS, voice_says)
        sentences.append(_cased(rng.choice(_BOTH if face_says == voice_says else _BUT), face, voice))
    elif face_says:
        sentences.append(_cap(_class(rng, FACE_STEMS, face_says)) + ".")
    elif voice_says:
        sentences.append(_cap(_class(rng, VOICE_STEMS, voice_says)) + ".")
    if len(sentences) > 2 and rng.random() < 0.25:
        sentences.insert(0, sentences.pop())  # the overall reading first
    if voice_there and not face_there and rng.random() < 0.4:
        sentences.insert(int(rng.integers(0, 2)) * len(sentences), str(rng.choice(_NO_FACE)))
    if face_there and not voice_there and rng.random() < 0.4:
        sentences.append(str(rng.choice(_NO_VOICE)))
    if e.transcript and len(sentences) < 4:
        tail = _words_sentence(rng, e, label, face_there or voice_there)
        if tail:
            sentences.append(tail)
    ranked = sorted(zip(p, labels), reverse=True)
    if ranked[0][0] < 0.5 and len(sentences) < 4 and len(labels) > 1:
        other = next(name for _, name in ranked if name != label)
        sentences.append(str(rng.choice(_UNSURE)).format(other=other))
    return " ".join(sentences)


def _words_sentence(rng, e, label, has_more):
    shown = e.transcript if len(e.transcript) <= 44 else None
    if not has_more:
        return str(rng.choice(_WORDS_ONLY)).format(t=shown) if shown else "Only the words can be judged."
    if not e.words:
        pool = _WORDS_EMPTY if shown else _WORDS_EMPTY[-1:]
        return str(rng.choice(pool)).format(t=shown) if rng.random() < 0.45 else None
    pool = _WORDS_FIT if e.words.get(label, e.words["_"]) > e.words["_"] else _WORDS_ODD
    return str(rng.choice(pool)).format(t=shown) if shown else None


def one_sentence(rng, e, label):
    """One sentence for the short free prompts; goes on after `The person feels {label}`."""
    rows = notable(e.geometry, GEOMETRY)[:2] + notable(e.prosody, PROSODY)[:2]
    rng.shuffle(rows)
    rows = [tuple(r) for r in rows][:2]
    if not rows:
        return "."
    a = [str(rng.choice(PHRASES[cue][side][1])) for cue, side, _ in rows]
    return f"{rng.choice([': ', ', since ', ', because '])}{' and '.join(a)}."


def cue_list(e):
    """Every notable cue in the order of the vectors; goes on after `The person feels {label}.`"""
    rows = []
    for z, order in ((e.geometry, GEOMETRY), (e.prosody, PROSODY)):
        found = {cue: side for cue, side, _ in notable(z, order)}
        rows += [PHRASES[cue][found[cue]][1][0] for cue in order if cue in found]
    face, voice = sharp(e.face, FACE7), sharp(e.voice, VOICE7)
    if face:
        rows.append(f"the face looks {CLASS_WORDS[face][0][0]}")
    if voice:
        rows.append(f"the voice sounds {CLASS_WORDS[voice][0][0]}")
    return " Cues: " + "; ".join(rows) + "." if rows else " No cue stands out."


# cue -> (name, word where high, word where low)
_STATES = {
    "brow_height": ("brows", "raised", "lowered"), "brow_gap": ("brow gap", "usual", "together"), "eye_open": ("eyes", "wide", "narrowed"),
    "mouth_open": ("mouth", "open", "closed"), "mouth_corner": ("corners", "up", "down"), "mouth_width": ("lips", "stretched", "narrow"),
    "pitch": ("pitch", "high", "low"), "pitch_range": ("melody", "lively", "flat"), "energy": ("voice", "loud", "soft"),
    "rate": ("speech", "fast", "slow"), "brightness": ("tone", "bright", "dark"),
}


def states(e):
    """The state of every cue in the order of the vectors: the plainest reading task, and the first to be learned."""
    parts = []
    for z, order in ((e.geometry, GEOMETRY), (e.prosody, PROSODY)):
        if z is not None:
            for cue, v in zip(order, z):
                name, high, low = _STATES[cue]
                parts.append(f"{name} {high if v >= NOTABLE else low if v <= -NOTABLE else 'usual'}")
    return " States: " + ", ".join(parts) + "." if parts else " No cue is measured."
