/* Many threads on one engine, one stream and one token: PROGRAM PACK CLIP THREADS ROUNDS. */
#include "check.h"

static emotion_llama_engine *engine;
static emotion_llama_stream *stream;
static emotion_llama_cancel *cancel;
static char *expected;
static int rounds;
static pthread_barrier_t together;
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static int events, ends;

/* The same clip gives the same answer on every thread, whatever the others do. */
static void *analyze_and_ask(void *unused) {
    pthread_barrier_wait(&together);
    for (int i = 0; i < rounds; i++) {
        emotion_llama_text *info = NULL;
        char *answer = analyze_clip(engine);
        if (strcmp(answer, expected) != 0) printf("expected %s\ngot      %s\n", expected, answer);
        CHECK(strcmp(answer, expected) == 0);
        free(answer);
        SUCCEED(emotion_llama_engine_info(engine, &info));
        emotion_llama_text_free(info);
    }
    return unused;
}

/* Each event goes to one thread, the end to all. */
static void *fetch(void *unused) {
    pthread_barrier_wait(&together);
    for (;;) {
        emotion_llama_text *text = NULL;
        SUCCEED(emotion_llama_stream_next(stream, &text));
        pthread_mutex_lock(&counting);
        if (text == NULL) ends++;
        else events++;
        pthread_mutex_unlock(&counting);
        if (text == NULL) return unused;
        emotion_llama_text_free(text);
    }
}

/* A token is asked and read by all; the call that was given it ends. */
static void *stop(void *unused) {
    pthread_barrier_wait(&together);
    while (!emotion_llama_cancel_requested(cancel)) emotion_llama_cancel_request(cancel);
    return unused;
}

static void *open_and_free(void *unused) {
    pthread_barrier_wait(&together);
    for (int i = 0; i < rounds; i++) emotion_llama_engine_free(open_engine());
    return unused;
}

static void at_once(int count, void *(*work)(void *)) {
    pthread_t threads[64];
    CHECK(count >= 1 && count <= 64 && pthread_barrier_init(&together, NULL, (unsigned)count) == 0);
    for (int i = 0; i < count; i++) CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
    for (int i = 0; i < count; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    pthread_barrier_destroy(&together);
}

int main(int count, char **arguments) {
    emotion_llama_text *text = NULL;
    int threads, single = 0;
    take_arguments(count, arguments);
    CHECK(count == 5);
    threads = atoi(arguments[3]);
    rounds = atoi(arguments[4]);
    engine = open_engine();
    expected = analyze_clip(engine);
    at_once(threads, analyze_and_ask);

    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, 0, NULL, &stream));
    for (;; single++) {
        SUCCEED(emotion_llama_stream_next(stream, &text));
        if (text == NULL) break;
        emotion_llama_text_free(text);
    }
    emotion_llama_stream_free(stream);
    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, 0, NULL, &stream));
    at_once(threads, fetch);
    CHECK(ends == threads && events == single);
    emotion_llama_stream_free(stream);

    SUCCEED(emotion_llama_cancel_new(&cancel));
    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, 0, cancel, &stream));
    at_once(threads, stop);
    emotion_llama_cancel_free(cancel);
    emotion_llama_stream_free(stream);

    at_once(threads, open_and_free);
    emotion_llama_engine_free(engine);
    free(expected);
    printf("%d threads gave %d equal answers each\n", threads, rounds);
    return 0;
}
