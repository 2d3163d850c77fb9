package org.emotionllama;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(300)
class ClientTest {
    private static EmotionLLaMA client;

    @BeforeAll
    static void open() {
        client = Places.client();
    }

    @AfterAll
    static void close() {
        client.close();
    }

    @Test
    void aFileGivesATypedResult() {
        Analysis result = client.analyze(Request.videoPath(Places.clip()).task(Task.EMOTION));
        assertEquals("angry", result.emotion());
        assertEquals(result.probabilities().get("angry"), result.confidence());
        assertEquals(1, result.probabilities().values().stream().mapToDouble(p -> p).sum(), 1e-3);
        assertTrue(result.faces().get(0).box().width() > 0);
        assertNotNull(result.frame().face());
        assertFalse(result.cues().isEmpty());
        assertTrue(result.timingsMs().total() > 0);
        assertTrue(result.usage().promptTokens() > 0);
        assertEquals("emotion-llama-mini", result.model().name());
        assertEquals(result, Analysis.fromJson(result.json()));
    }

    @Test
    void bytesBuffersAndStreamsGiveWhatTheFileGives() throws IOException {
        byte[] bytes = Files.readAllBytes(Places.clip());
        ByteBuffer direct = ByteBuffer.allocateDirect(bytes.length + 7).position(7).put(bytes).position(7);
        ByteBuffer padded = ByteBuffer.allocate(bytes.length + 9).position(5).put(bytes).position(5).limit(bytes.length + 5);
        var expected = client.analyze(Places.quick()).probabilities();
        for (Request request : List.of(Request.video(bytes), Request.video(direct), Request.video(padded.asReadOnlyBuffer()),
                Request.video(new ByteArrayInputStream(bytes)))) {
            assertEquals(expected, client.analyze(Places.quick(request)).probabilities());
        }
        assertEquals(7, direct.position());
    }

    @Test
    void failuresHaveCodesAndNames() throws IOException {
        var missing = assertThrows(EmotionLLaMAException.class, () -> client.analyze("/nowhere/clip.mp4"));
        assertEquals(ErrorCode.NOT_FOUND, missing.errorCode());
        assertEquals(4, missing.code());
        assertEquals("not_found", missing.name());
        assertTrue(missing.getMessage().contains("/nowhere/clip.mp4"), missing.getMessage());
        var noMedia = assertThrows(EmotionLLaMAException.class, () -> client.analyze(Request.video(new byte[] {1, 2, 3})));
        assertEquals(ErrorCode.MEDIA_UNDECODABLE, noMedia.errorCode());
        var empty = assertThrows(EmotionLLaMAException.class, () -> client.analyze(Request.video(new byte[0])));
        assertEquals(ErrorCode.MEDIA_UNDECODABLE, empty.errorCode());
        var wrong = assertThrows(EmotionLLaMAException.class, () -> client.analyze(Places.quick().field("tsk", "1")));
        assertEquals(ErrorCode.INVALID_ARGUMENT, wrong.errorCode());
        var async = assertThrows(CompletionException.class, () -> client.analyzeAsync(Request.videoPath("/nowhere")).join());
        assertEquals("not_found", assertInstanceOf(EmotionLLaMAException.class, async.getCause()).name());
        assertThrows(EmotionLLaMAException.class, () -> Places.quick().temperature(Double.NaN));
        assertEquals(ErrorCode.UNKNOWN, new EmotionLLaMAException(99, "later", "", null).errorCode());
    }

    @Test
    void aStreamGivesStagesThenTextThenTheResult() {
        List<Event> events = new ArrayList<>();
        try (EventStream stream = client.stream(Places.quick().task("reason").maxNewTokens(24))) {
            stream.forEach(events::add);
            assertFalse(stream.hasNext());
        }
        assertEquals(new Event.Stage("decode"), events.get(0));
        StringBuilder text = new StringBuilder();
        events.forEach(event -> {
            if (event instanceof Event.Text piece) {
                text.append(piece.text());
            }
        });
        Analysis result = assertInstanceOf(Event.Result.class, events.get(events.size() - 1)).analysis();
        assertEquals(result.response(), text.toString());
        Event.Label label = new Event.Label(result.emotion(), result.confidence(), result.probabilities());
        assertEquals(label, events.get(3));
        assertEquals(1, events.stream().filter(Event.Result.class::isInstance).count());
    }

    @Test
    void aStreamThatFailsThrowsOnceAndEnds() {
        try (EventStream stream = client.stream(Request.videoPath("/nowhere"))) {
            var error = assertThrows(EmotionLLaMAException.class, () -> stream.forEach(event -> {}));
            assertEquals("not_found", error.name());
            assertFalse(stream.hasNext());
        }
    }

    @Test
    void anEventThatIsNotKnownIsPassedOn() {
        assertInstanceOf(Event.Other.class, Event.fromJson("{\"type\": \"later\", \"x\": 1}"));
        assertInstanceOf(Event.Other.class, Event.fromJson("{}"));
        Analysis later = Analysis.fromJson("{\"emotion\": \"happy\", \"confidence\": null, \"later\": {\"a\": [1]}}");
        assertNull(later.confidence());
        assertTrue(later.json().contains("later") && later.faces().isEmpty() && later.probabilities().isEmpty());
        assertEquals(ErrorCode.INTERNAL, assertThrows(EmotionLLaMAException.class, () -> Analysis.fromJson("[]")).errorCode());
    }

    @Test
    void cancellingTheFutureStopsTheLibrary() throws Exception {
        for (int i = 0; i < 3; i++) {
            CompletableFuture<Analysis> future = client.analyzeAsync(Request.videoPath(Places.clip()).task(Task.REASON));
            TimeUnit.MILLISECONDS.sleep(20L * i);
            assertTrue(future.cancel(true));
            assertTrue(future.isCancelled());
        }
        CompletableFuture<Analysis> timed =
                client.analyzeAsync(Request.videoPath(Places.clip()).task(Task.REASON)).orTimeout(5, TimeUnit.MILLISECONDS);
        assertInstanceOf(TimeoutException.class, assertThrows(ExecutionException.class, timed::get).getCause());
        assertIdle();
    }

    @Test
    void aStreamThatIsCancelledOrClosedEnds() throws Exception {
        try (EventStream stream = client.stream(Request.videoPath(Places.clip()).task(Task.REASON))) {
            assertEquals(new Event.Stage("decode"), stream.next());
            stream.cancel();
            assertEquals("cancelled", assertThrows(EmotionLLaMAException.class, () -> stream.forEach(event -> {})).name());
        }
        EventStream closed = client.stream(Request.videoPath(Places.clip()).task(Task.REASON));
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        Thread reader = new Thread(() -> {
            try {
                closed.forEach(event -> {});
            } catch (RuntimeException error) {
                thrown.set(error);
            }
        });
        reader.start();
        TimeUnit.MILLISECONDS.sleep(50);
        closed.close();
        closed.close();
        reader.join();
        assertTrue(thrown.get() instanceof EmotionLLaMAException error && error.name().equals("cancelled")
                || thrown.get() instanceof IllegalStateException, String.valueOf(thrown.get()));
        assertIdle();
    }

    @Test
    void anInterruptStopsACall() throws Exception {
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        AtomicBoolean interrupted = new AtomicBoolean();
        Thread thread = new Thread(() -> {
            thrown.set(assertThrows(EmotionLLaMAException.class, () -> client.analyze(Request.videoPath(Places.clip()).task(Task.REASON))));
            interrupted.set(Thread.currentThread().isInterrupted());
        });
        thread.start();
        thread.interrupt();
        thread.join();
        assertEquals("cancelled", assertInstanceOf(EmotionLLaMAException.class, thrown.get()).name());
        assertTrue(interrupted.get());
        assertIdle();
    }

    @Test
    void callsOfSeveralThreadsGiveTheSame() {
        List<CompletableFuture<Analysis>> futures = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            futures.add(client.analyzeAsync(Places.quick()));
        }
        assertEquals(1, futures.stream().map(CompletableFuture::join).map(Analysis::probabilities).distinct().count());
    }

    @Test
    void aSessionAnswersQuestionsAboutOneClip() {
        try (Session session = client.session(Request.videoPath(Places.clip()).transcript("none"))) {
            Analysis first = session.ask(Request.question().task(Task.EMOTION).maxNewTokens(8).greedy(true));
            assertEquals("angry", first.emotion());
            assertEquals(0, first.usage().cachedTokens());
            Analysis second = session.ask(Request.question("Why?").maxNewTokens(8).greedy(true));
            assertTrue(second.usage().cachedTokens() > 0);
            List<Event> events = new ArrayList<>();
            try (EventStream stream = session.stream(Request.question("[emotion] And now?").maxNewTokens(8))) {
                stream.forEach(events::add);
            }
            assertInstanceOf(Event.Result.class, events.get(events.size() - 1));
            session.reset();
            assertEquals(first.probabilities(),
                    session.ask(Request.question().task(Task.EMOTION).maxNewTokens(8).greedy(true)).probabilities());
            assertEquals("invalid_argument",
                    assertThrows(EmotionLLaMAException.class, () -> session.ask(Places.quick())).name());
            assertEquals("invalid_argument",
                    assertThrows(EmotionLLaMAException.class, () -> session.ask(Request.video(new byte[1]))).name());
            CompletableFuture<Analysis> cancelled = session.askAsync(Request.question("Why?").maxNewTokens(200));
            cancelled.cancel(true);
            assertTrue(cancelled.isCancelled());
        }
    }

    @Test
    void infoSaysWhatTheEngineIs() {
        EngineInfo info = client.info();
        assertEquals(Ffi.ABI_VERSION, info.abiVersion());
        assertEquals(EmotionLLaMA.version(), info.version());
        assertEquals("emotion-llama-mini", info.pack().name());
        assertTrue(info.labels().contains("angry") && info.tasks().contains("emotion") && !info.devices().isEmpty());
    }

    @Test
    void aLoadTellsHowFarItIsAndCanBeStopped() {
        List<Long> told = new CopyOnWriteArrayList<>();
        AtomicReference<Long> all = new AtomicReference<>();
        EmotionLLaMA.builder().pack(Places.pack()).threads(1).progress((done, total) -> {
            told.add(done);
            all.set(total);
            return true;
        }).open().close();
        assertEquals(all.get(), told.get(told.size() - 1));
        assertEquals(told.stream().sorted().toList(), told);
        var stopped = assertThrows(EmotionLLaMAException.class,
                () -> EmotionLLaMA.builder().pack(Places.pack()).progress((done, total) -> false).open());
        assertEquals("cancelled", stopped.name());
        var thrown = assertThrows(ArithmeticException.class, () -> EmotionLLaMA.builder().pack(Places.pack()).progress((done, total) -> {
            throw new ArithmeticException("mine");
        }).open());
        assertEquals("mine", thrown.getMessage());
    }

    @Test
    void theLogGoesToItsListenerUntilItIsTurnedOff() {
        List<String> messages = new CopyOnWriteArrayList<>();
        AtomicReference<String> fromListener = new AtomicReference<>();
        EmotionLLaMA.setLog(LogLevel.TRACE, (level, target, message) -> {
            messages.add(level + " " + target + " " + message);
            if (fromListener.get() == null) {
                try {
                    EmotionLLaMA.clearLog();
                    fromListener.set("no failure");
                } catch (EmotionLLaMAException error) {
                    fromListener.set(error.name());
                }
            }
            System.gc();
        });
        client.analyze(Places.quick());
        EmotionLLaMA.clearLog();
        int count = messages.size();
        assertTrue(count > 0);
        assertEquals("invalid_argument", fromListener.get());
        client.analyze(Places.quick());
        assertEquals(count, messages.size());
    }

    @Test
    void toCloseIsSafeTwiceAndWhileACallRuns() {
        EmotionLLaMA own = Places.client();
        CompletableFuture<Analysis> running = own.analyzeAsync(Places.quick());
        EventStream stream = own.stream(Places.quick());
        own.close();
        own.close();
        List<Event> events = new ArrayList<>();
        stream.forEach(events::add);
        assertInstanceOf(Event.Result.class, events.get(events.size() - 1));
        stream.close();
        // It began before the close, or it came too late for the handle; it did not use one that was freed.
        try {
            assertEquals("angry", running.join().emotion());
        } catch (CompletionException late) {
            assertInstanceOf(IllegalStateException.class, late.getCause());
        }
        assertThrows(IllegalStateException.class, () -> own.analyze(Places.quick()));
        assertThrows(IllegalStateException.class, own::info);
    }

    @Test
    void theThreadCountIsThatOfEnginesOpenedLater() {
        EmotionLLaMA.setThreadCount(1);
        try (EmotionLLaMA one = Places.client()) {
            assertEquals(1, one.info().threads());
        } finally {
            EmotionLLaMA.setThreadCount(0);
        }
        assertEquals(2, assertDoesNotThrow(() -> {
            try (EmotionLLaMA two = EmotionLLaMA.builder().pack(Places.pack()).threads(2).open()) {
                return two.info().threads();
            }
        }));
    }

    @Test
    void aPackIsFoundByItsName() {
        try (EmotionLLaMA named = EmotionLLaMA.builder().pack("emotion-llama-mini").search(List.of(Places.pack().getParent())).open()) {
            assertEquals("emotion-llama-mini", named.info().pack().name());
        }
        var missing = assertThrows(EmotionLLaMAException.class, () -> EmotionLLaMA.builder().pack("no-such-pack").open());
        assertEquals("not_found", missing.name());
    }

    @Test
    void theBuiltInModelIsLookedForBesideTheLibraryAndInTheEnvironment(@TempDir Path directory) throws IOException {
        Path lib = Files.createDirectories(directory.resolve("lib"));
        var library = java.util.Optional.of(lib.resolve(NativeFiles.libraryName()));
        var none = assertThrows(EmotionLLaMAException.class, () -> Packs.builtIn(library, name -> null));
        assertEquals("not_found", none.name());
        assertTrue(none.getMessage().contains("emotion-llama-model-mini"));
        assertEquals(Path.of("/my/pack"), Packs.builtIn(library, name -> "/my/pack"));
        Path pack = Files.createDirectories(directory.resolve("share/emotion-llama/packs/emotion-llama-mini"));
        Files.createFile(pack.resolve("pack.json"));
        assertEquals(pack, Packs.builtIn(library, name -> "/my/pack"));
    }

    /** Whatever was cancelled is over: a later call is answered. */
    private static void assertIdle() {
        assertEquals("angry", client.analyze(Places.quick()).emotion());
    }
}
