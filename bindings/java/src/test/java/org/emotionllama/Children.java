package org.emotionllama;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Flow;

/** Programs that {@link ProcessTest} runs: each prints {@code ready} when calls are running. */
final class Children {
    private Children() {}

    private static final Request LONG = Request.videoPath(Places.clip()).task(Task.REASON);

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "exit" -> {
                run(Places.client());
                System.exit(3);
            }
            case "halt" -> {
                run(Places.client());
                Runtime.getRuntime().halt(3);
            }
            case "return" -> run(Places.client());
            case "exit-with-log" -> {
                EmotionLLaMA.setLog(LogLevel.TRACE, (level, target, message) -> System.err.println(target + message));
                run(Places.client());
                System.exit(3);
            }
            case "exit-while-loading" -> {
                EmotionLLaMA.builder().pack(Places.pack()).progress((done, total) -> true).openAsync();
                System.out.println("ready");
                System.exit(3);
            }
            case "wait" -> {
                run(Places.client());
                Thread.sleep(60_000);
            }
            case "throw" -> {
                run(Places.client());
                throw new IllegalStateException("mine");
            }
            case "garbage" -> garbage();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    /** An analysis, a stream that is being read, a stream that is not, a session and a subscriber. */
    private static void run(EmotionLLaMA client) throws Exception {
        client.analyzeAsync(LONG);
        EventStream read = client.stream(LONG);
        Thread reader = new Thread(() -> read.forEach(event -> {}));
        reader.setDaemon(true);
        reader.start();
        client.stream(LONG).next();
        client.sessionAsync(LONG);
        client.publisher(LONG).subscribe(new Flow.Subscriber<>() {
            @Override
            public void onSubscribe(Flow.Subscription subscription) {
                subscription.request(Long.MAX_VALUE);
            }

            @Override
            public void onNext(Event event) {}

            @Override
            public void onError(Throwable thrown) {}

            @Override
            public void onComplete() {}
        });
        System.out.println("ready");
        System.out.flush();
    }

    /** Nothing is closed and all is dropped while calls run; what is waited for is answered all the same. */
    private static void garbage() throws Exception {
        List<CompletableFuture<Analysis>> futures = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            EmotionLLaMA client = Places.client();
            futures.add(client.analyzeAsync(Places.quick()));
            run(client);
            new Live().push(new short[1600], 16000, 1, 0);
        }
        while (!futures.stream().allMatch(CompletableFuture::isDone)) {
            System.gc();
            Thread.sleep(5);
        }
        for (CompletableFuture<Analysis> future : futures) {
            System.out.println(future.join().emotion());
        }
    }
}
