package org.emotionllama;

import java.nio.file.Files;
import java.nio.file.Path;

/** Where the tests find what they need. */
final class Places {
    private Places() {}

    /** A path of the repository, which is the working directory, one above it, or what the property {@code emotionllama.repository} says. */
    static Path repository(String path) {
        String said = System.getProperty("emotionllama.repository");
        if (said != null && !said.isEmpty()) {
            return Path.of(said).resolve(path);
        }
        for (Path directory = Path.of("").toAbsolutePath(); directory != null; directory = directory.getParent()) {
            if (Files.exists(directory.resolve("ffi/abi.json"))) {
                return directory.resolve(path);
            }
        }
        throw new IllegalStateException("the repository is not above " + Path.of("").toAbsolutePath());
    }

    static Path pack() {
        String said = System.getenv("EMOTION_LLAMA_PACK");
        return said == null || said.isEmpty() ? repository("build/packs/emotion-llama-mini") : Path.of(said);
    }

    static Path clip(String name) {
        String said = System.getenv("EMOTION_LLAMA_CLIPS");
        return (said == null || said.isEmpty() ? repository("build/clips") : Path.of(said)).resolve(name + ".flv");
    }

    static Path clip() {
        return clip("1001_DFA_ANG_XX");
    }

    /** A quick question about the clip: no speech, few words. */
    static Request quick(Request request) {
        return request.transcript("none").maxNewTokens(8).greedy(true);
    }

    static Request quick() {
        return quick(Request.videoPath(clip()));
    }

    /** A client of the pack. */
    static EmotionLLaMA client() {
        return EmotionLLaMA.builder().pack(pack()).open();
    }
}
