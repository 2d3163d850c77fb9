package org.emotionllama;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(300)
class LiveTest {
    private static final int WIDTH = 97;
    private static final int HEIGHT = 65;

    @Test
    void everyPixelFormatIsTakenFromTheHeapAndFromADirectBuffer() {
        try (Live live = new Live(new LiveOptions(60.0, 256, 240.0))) {
            double time = 0;
            for (PixelFormat format : PixelFormat.values()) {
                int bytes = 0;
                for (int[] plane : format.planes(WIDTH, HEIGHT)) {
                    bytes += plane[0] * plane[1];
                }
                ByteBuffer direct = ByteBuffer.allocateDirect(bytes + 3).position(3);
                live.push(Frame.of(format, WIDTH, HEIGHT, time++, direct));
                live.push(Frame.of(format, WIDTH, HEIGHT, time++, new byte[bytes]));
                double late = time;
                assertThrows(EmotionLLaMAException.class, () -> Frame.of(format, WIDTH, HEIGHT, late, new byte[direct.remaining() - 1]));
            }
            assertEquals(2 * PixelFormat.values().length, live.info().frames());
            live.clear();
            assertEquals(0, live.info().frames());
        }
    }

    @Test
    void rowsMayHaveGapsAndWrongPlanesAreRefused() {
        try (Live live = new Live()) {
            live.push(new Frame(PixelFormat.RGB, 4, 2, 0, List.of(new Frame.Plane(ByteBuffer.allocate(16 + 12), 16))));
            var small = assertThrows(EmotionLLaMAException.class, () -> live.push(
                    new Frame(PixelFormat.RGB, 4, 2, 1, List.of(new Frame.Plane(ByteBuffer.allocate(16 + 11), 16)))));
            assertEquals("invalid_argument", small.name());
            var missing = assertThrows(EmotionLLaMAException.class,
                    () -> live.push(new Frame(PixelFormat.NV12, 4, 2, 1, List.of(new Frame.Plane(ByteBuffer.allocate(8), 4)))));
            assertEquals("invalid_argument", missing.name());
            assertThrows(EmotionLLaMAException.class, () -> Frame.of(PixelFormat.RGB, 0, 1, 0, new byte[0]));
            assertThrows(EmotionLLaMAException.class, () -> Frame.of(PixelFormat.RGBA, 1 << 30, 1 << 30, 0, new byte[0]));
            assertEquals(1, live.info().frames());
        }
    }

    @Test
    void soundIsTakenInBothFormatsAndFromEveryKindOfBuffer() {
        try (Live live = new Live()) {
            live.push(new short[1600], 16000, 1, 0);
            live.push(new float[3200], 16000, 2, 0.1);
            live.push(SampleFormat.I16, ByteBuffer.allocateDirect(3200).order(ByteOrder.nativeOrder()), 16000, 1, 0.2);
            live.push(SampleFormat.F32, ByteBuffer.allocate(6400), 16000, 1, 0.3);
            assertEquals(0.4, live.info().durationS(), 1e-6);
            assertEquals("invalid_argument",
                    assertThrows(EmotionLLaMAException.class, () -> live.push(new short[3], 16000, 2, 1)).name());
            assertEquals("invalid_argument",
                    assertThrows(EmotionLLaMAException.class, () -> live.push(new short[3], 1, 1, 1)).name());
        }
    }

    @Test
    @SuppressWarnings("try") // The buffer is closed early, and again.
    void theLastSecondsAreAnalysedAndTheBufferMayBeClosedMeanwhile() {
        byte[] pixels = new byte[3 * WIDTH * HEIGHT];
        for (int i = 0; i < pixels.length; i++) {
            pixels[i] = (byte) (i * 7);
        }
        try (EmotionLLaMA client = Places.client(); Live live = new Live()) {
            for (int i = 0; i < 10; i++) {
                live.push(Frame.of(PixelFormat.RGB, WIDTH, HEIGHT, i / 10.0, pixels));
                live.push(new short[1600], 16000, 1, i / 10.0);
            }
            Analysis all = client.analyze(Places.quick(Request.live(live)));
            assertTrue(all.probabilities().containsKey(all.emotion()) && all.faces().isEmpty());
            try (Session session = client.session(Request.live(live, 0.5).transcript("none"))) {
                live.close();
                live.close();
                assertTrue(session.ask(Request.question().maxNewTokens(8)).confidence() > 0);
            }
            assertThrows(IllegalStateException.class, live::info);
            assertThrows(IllegalStateException.class, () -> client.analyze(Request.live(live)));
        }
    }

    @Test
    void optionsAreChecked() {
        assertEquals("invalid_argument",
                assertThrows(EmotionLLaMAException.class, () -> new Live(new LiveOptions(0.0, null, null))).name());
    }
}
