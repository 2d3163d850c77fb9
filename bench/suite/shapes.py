"""The extents of the built-in pack's nets: what they take at least on this machine."""

# SmolLM2-135M's matrices inside of the layers, and its output; one token is multiplied with both, of a prompt the last one only with the output.
LAYERS_MINI, OUTPUT_MINI = 30 * (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536), 49152 * 576

# Whisper-tiny for English: both its nets, and what the encoder makes of a window of 30 s.
WIDTH, LAYERS, POSITIONS, BANDS, VOCABULARY = 384, 4, 1500, 80, 51864
# What it makes of a second, and how recognition shortens the silence that fills a window: half a second is encoded in full, of the rest one in so many.
A_SECOND, SILENCE_S, SILENCE_STRIDE = 50, 0.5, 8


def prefill_limit(i16, layers, output, n):
    """Tokens a second if every product ran at the measured peak of 16-bit products, which ours are made of."""
    return i16 * 1e9 * n / (2 * (n * layers + output))


def heard(seconds):
    """The encoder's positions for a clip whose words are recognised."""
    full = int((seconds + SILENCE_S) * A_SECOND)
    return full + max(0, POSITIONS - full) // SILENCE_STRIDE


def encoder_seconds(machine, positions=POSITIONS):
    """At least: two convolutions, then in each layer products with the weights and attention, at the peak of f32."""
    convolutions = 2 * 3 * WIDTH * (2 * positions * BANDS + positions * WIDTH)
    operations = convolutions + LAYERS * (2 * 12 * WIDTH**2 * positions + 4 * positions**2 * WIDTH)
    return operations / (1e9 * machine.f32_gflop_s)


def decoder_seconds(machine, tokens, positions=POSITIONS):
    """At least: keys and values of the sound are computed, then the prompt and each token read all weights (f16) and them (f32)."""
    sound = 2 * LAYERS * positions * WIDTH
    weights = LAYERS * 14 * WIDTH**2 + VOCABULARY * WIDTH
    return 2 * WIDTH * sound / (1e9 * machine.f32_gflop_s) + (1 + tokens) * (2 * weights + 4 * sound) / (1e9 * machine.read_gb_s)
