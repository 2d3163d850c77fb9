package org.emotionllama;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(300)
class PublisherTest {
    private static EmotionLLaMA client;

    @BeforeAll
    static void open() {
        client = Places.client();
    }

    @AfterAll
    static void close() {
        client.close();
    }

    /** Asks for {@code at once} events, and for one more after each. */
    private static class Collector implements Flow.Subscriber<Event> {
        final List<Event> events = new CopyOnWriteArrayList<>();
        final CountDownLatch end = new CountDownLatch(1);
        final Consumer<Collector> onEach;
        final long first;
        volatile Flow.Subscription subscription;
        volatile Throwable error;
        volatile boolean complete;

        Collector(long first, Consumer<Collector> onEach) {
            this.first = first;
            this.onEach = onEach;
        }

        @Override
        public void onSubscribe(Flow.Subscription given) {
            subscription = given;
            if (first > 0) {
                given.request(first);
            }
        }

        @Override
        public void onNext(Event event) {
            events.add(event);
            onEach.accept(this);
        }

        @Override
        public void onError(Throwable thrown) {
            error = thrown;
            end.countDown();
        }

        @Override
        public void onComplete() {
            complete = true;
            end.countDown();
        }
    }

    @Test
    void eachSubscriberGetsAllEvents() throws InterruptedException {
        Flow.Publisher<Event> publisher = client.publisher(Places.quick());
        Collector oneByOne = new Collector(1, collector -> collector.subscription.request(1));
        Collector all = new Collector(Long.MAX_VALUE, collector -> {});
        publisher.subscribe(oneByOne);
        publisher.subscribe(all);
        oneByOne.end.await();
        all.end.await();
        assertTrue(oneByOne.complete && all.complete);
        for (Collector collector : List.of(oneByOne, all)) {
            assertEquals(new Event.Stage("decode"), collector.events.get(0));
            var last = assertInstanceOf(Event.Result.class, collector.events.get(collector.events.size() - 1));
            assertEquals("angry", last.analysis().emotion());
        }
        assertEquals(oneByOne.events.size(), all.events.size());
    }

    @Test
    void theEndIsToldWithoutBeingAskedFor() throws InterruptedException {
        Collector counted = new Collector(Long.MAX_VALUE, collector -> {});
        client.publisher(Places.quick()).subscribe(counted);
        counted.end.await();
        Collector exact = new Collector(counted.events.size(), collector -> {});
        client.publisher(Places.quick()).subscribe(exact);
        exact.end.await();
        assertTrue(exact.complete);
    }

    @Test
    void failuresGoToOnError() throws InterruptedException {
        Collector missing = new Collector(10, collector -> {});
        client.publisher(Request.videoPath("/nowhere")).subscribe(missing);
        missing.end.await();
        assertEquals("not_found", assertInstanceOf(EmotionLLaMAException.class, missing.error).name());
        Collector wrong = new Collector(0, collector -> {});
        client.publisher(Places.quick()).subscribe(wrong);
        wrong.subscription.request(0);
        wrong.end.await();
        assertInstanceOf(IllegalArgumentException.class, wrong.error);
        Collector thrower = new Collector(10, collector -> {
            throw new ArithmeticException("mine");
        });
        client.publisher(Places.quick()).subscribe(thrower);
        thrower.end.await();
        assertInstanceOf(ArithmeticException.class, thrower.error);
        assertEquals(1, thrower.events.size());
    }

    @Test
    void aCancelledSubscriptionIsToldNothingMore() throws InterruptedException {
        CountDownLatch cancelled = new CountDownLatch(1);
        Collector collector = new Collector(Long.MAX_VALUE, each -> {
            each.subscription.cancel();
            cancelled.countDown();
        });
        client.publisher(Request.videoPath(Places.clip()).task(Task.REASON)).subscribe(collector);
        cancelled.await();
        assertTrue(!collector.end.await(500, TimeUnit.MILLISECONDS));
        assertEquals(1, collector.events.size());
        assertEquals("angry", client.analyze(Places.quick()).emotion());
    }

    @Test
    void aSessionPublishesToo() throws InterruptedException {
        try (Session session = client.session(Request.videoPath(Places.clip()).transcript("none"))) {
            Collector collector = new Collector(Long.MAX_VALUE, each -> {});
            session.publisher(Request.question("[emotion] What is felt?").maxNewTokens(8)).subscribe(collector);
            collector.end.await();
            assertTrue(collector.complete);
        }
    }
}
