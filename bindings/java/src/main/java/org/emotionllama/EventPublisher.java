package org.emotionllama;

import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;
import java.util.function.Supplier;

/** Events for as many as subscribe: each has an analysis of its own, which waits where its subscriber asks for no more events. */
final class EventPublisher implements Flow.Publisher<Event> {
    private final Supplier<CompletableFuture<EventStream>> open;

    EventPublisher(Supplier<CompletableFuture<EventStream>> open) {
        this.open = open;
    }

    @Override
    public void subscribe(Flow.Subscriber<? super Event> subscriber) {
        Subscription subscription = new Subscription(subscriber);
        subscriber.onSubscribe(subscription);
        Calls.execute(() -> subscription.run(open));
    }

    private static final class Subscription implements Flow.Subscription {
        private final Flow.Subscriber<? super Event> subscriber;
        private long demand;
        private boolean done;
        private RuntimeException wrong;
        private EventStream stream;

        Subscription(Flow.Subscriber<? super Event> subscriber) {
            this.subscriber = subscriber;
        }

        @Override
        public synchronized void request(long count) {
            if (count <= 0) {
                wrong = new IllegalArgumentException("request(" + count + "): give 1 or more");
            } else {
                demand = demand + count < 0 ? Long.MAX_VALUE : demand + count;
            }
            notifyAll();
        }

        @Override
        public void cancel() {
            EventStream running;
            synchronized (this) {
                done = true;
                running = stream;
                notifyAll();
            }
            if (running != null) {
                running.cancel();
            }
        }

        void run(Supplier<CompletableFuture<EventStream>> open) {
            try (EventStream events = Calls.await(open.get())) {
                synchronized (this) {
                    stream = events;
                }
                while (demanded()) {
                    Optional<Event> event = events.fetch();
                    if (event.isPresent() && !cancelled()) {
                        subscriber.onNext(event.get());
                    }
                    // The end is told without being asked for.
                    if (event.isEmpty() || event.get() instanceof Event.Result) {
                        if (end()) {
                            subscriber.onComplete();
                        }
                        return;
                    }
                }
            } catch (Throwable error) {
                if (end()) {
                    subscriber.onError(error);
                }
            }
        }

        /** Waits until an event is asked for; false when none will be. */
        private synchronized boolean demanded() throws InterruptedException {
            while (!done && wrong == null && demand == 0) {
                wait();
            }
            if (wrong != null && !done) {
                throw wrong;
            }
            if (done) {
                return false;
            }
            if (demand != Long.MAX_VALUE) {
                demand--;
            }
            return true;
        }

        private synchronized boolean cancelled() {
            return done;
        }

        /** Whether this is the first end. */
        private synchronized boolean end() {
            boolean first = !done;
            done = true;
            return first;
        }
    }
}
