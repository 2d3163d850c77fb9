package org.emotionllama;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** Many analyses in one process; how much memory it has is printed. {@code -Demotionllama.analyses=500} says how many. */
class MemoryTest {
    private static final int USUAL = 20;
    private static final int WARM_UP = 5;

    @Test
    void manyAnalysesGiveTheSame() throws IOException {
        int count = Integer.getInteger("emotionllama.analyses", USUAL);
        byte[] clip = java.util.Arrays.copyOf(Files.readAllBytes(Places.clip()), 20_000);
        try (EmotionLLaMA client = Places.client()) {
            Analysis expected = client.analyze(Places.quick(Request.video(clip)));
            for (int i = 0; i < WARM_UP; i++) {
                client.analyze(Places.quick(Request.video(clip)));
            }
            String first = resident();
            long began = System.nanoTime();
            for (int i = 0; i < count; i++) {
                assertEquals(expected.probabilities(), client.analyze(Places.quick(Request.video(clip))).probabilities());
            }
            System.out.printf("java: %d analyses in %.1f s; resident memory after %d: %s, at the end: %s%n", count,
                    (System.nanoTime() - began) / 1e9, WARM_UP, first, resident());
        }
    }

    private static String resident() throws IOException {
        Path status = Path.of("/proc/self/status");
        if (!Files.exists(status)) {
            return "unknown";
        }
        return Files.readString(status).lines().filter(line -> line.startsWith("VmRSS:")).findFirst().orElseThrow()
                .substring("VmRSS:".length()).trim();
    }
}
