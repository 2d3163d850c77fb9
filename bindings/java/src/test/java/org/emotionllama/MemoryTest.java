package org.emotionllama;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/**
 * Many analyses in one process; how much memory it has is printed. {@code -Demotionllama.analyses=500} says how many. What is measured is the
 * binding, so {@code EMOTION_LLAMA_SMALL_PACK} may name a small model.
 */
class MemoryTest {
    private static final int USUAL = 20;
    private static final int WARM_UP = 11;

    @Test
    void manyAnalysesGiveTheSame() throws IOException {
        int count = Integer.getInteger("emotionllama.analyses", USUAL);
        byte[] clip = java.util.Arrays.copyOf(Files.readAllBytes(Places.clip()), 20_000);
        String small = System.getenv("EMOTION_LLAMA_SMALL_PACK");
        Path pack = small == null || small.isEmpty() ? Places.pack() : Path.of(small);
        try (EmotionLLaMA client = EmotionLLaMA.builder().pack(pack).open()) {
            Analysis expected = client.analyze(Places.quick(Request.video(clip)));
            String first = "";
            long began = System.nanoTime();
            for (int i = 1; i <= count; i++) {
                Request request = Places.quick(Request.video(clip));
                assertEquals(expected.probabilities(), (i % 2 == 0 ? streamed(client, request) : client.analyze(request)).probabilities());
                if (i == Math.min(count, WARM_UP)) {
                    first = resident();
                }
            }
            System.out.printf("java: %d analyses in %.1f s: %s resident after the eleventh, %s after the last%n", count,
                    (System.nanoTime() - began) / 1e9, first, resident());
        }
    }

    private static Analysis streamed(EmotionLLaMA client, Request request) {
        Analysis result = null;
        try (EventStream events = client.stream(request)) {
            for (Event event : events) {
                if (event instanceof Event.Result last) {
                    result = last.analysis();
                }
            }
        }
        return result;
    }

    private static String resident() throws IOException {
        System.gc();
        Path status = Path.of("/proc/self/status");
        if (!Files.exists(status)) {
            return "unknown";
        }
        return Files.readString(status).lines().filter(line -> line.startsWith("VmRSS:")).findFirst().orElseThrow()
                .substring("VmRSS:".length()).trim();
    }
}
