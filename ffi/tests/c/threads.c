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

/* A session answers one at a time and refuses the others. */
static emotion_llama_session *session;
static int answered;

static void *ask(void *unused) {
    pthread_barrier_wait(&together);
    for (int i = 0; i < rounds; i++) {
        emotion_llama_text *text = NULL;
        emotion_llama_status *status = emotion_llama_session_ask(session, SHORT, NULL, &text);
        if (status == NULL) {
            pthread_mutex_lock(&counting);
            answered++;
            pthread_mutex_unlock(&counting);
            status = emotion_llama_session_reset(session);
        }
        if (status != NULL) EXPECT(status, 7, "overloaded", "another question");
        emotion_llama_text_free(text);
    }
    return unused;
}

static void *open_and_free(void *unused) {
    pthread_barrier_wait(&together);
    for (int i = 0; i < rounds; i++) emotion_llama_engine_free(open_engine());
    return unused;
}

/* A camera and a microphone push while others analyse what is there, and one turns the log on and off. */
static emotion_llama_live *live;
static int turn, messages;

static void count_message(void *counter, uint32_t level, const char *target, const char *message) {
    (void)level;
    CHECK(target[0] != 0 && message[0] != 0);
    pthread_mutex_lock(&counting);
    ++*(int *)counter;
    pthread_mutex_unlock(&counting);
}

static void *watch(void *unused) {
    int mine;
    pthread_mutex_lock(&counting);
    mine = turn++;
    pthread_mutex_unlock(&counting);
    pthread_barrier_wait(&together);
    for (int i = 0; i < 10 * rounds; i++) {
        emotion_llama_text *text = NULL;
        if (mine == 0) {
            emotion_llama_frame frame = grey_frame(i * 0.1);
            emotion_llama_samples samples = silence(i * 0.1);
            SUCCEED(emotion_llama_live_push_frame(live, &frame));
            SUCCEED(emotion_llama_live_push_samples(live, &samples));
        } else if (mine == 1) {
            SUCCEED(emotion_llama_set_log(i % 2 ? NULL : count_message, &messages, EMOTION_LLAMA_LOG_DEBUG));
            emotion_llama_set_thread_count(1 + (unsigned)i % 2);
        } else if (i % 10 == 0) {
            emotion_llama_media media = media_from(live);
            emotion_llama_status *status = emotion_llama_analyze(engine, "{\"max_new_tokens\": 1}", &media, NULL, &text);
            /* Nothing is there before the first push. */
            if (status != NULL) INVALID(status, "push some first");
        } else {
            SUCCEED(emotion_llama_live_info(live, &text));
        }
        emotion_llama_text_free(text);
    }
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

    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, NULL, &stream));
    for (;; single++) {
        SUCCEED(emotion_llama_stream_next(stream, &text));
        if (text == NULL) break;
        emotion_llama_text_free(text);
    }
    emotion_llama_stream_free(stream);
    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, NULL, &stream));
    at_once(threads, fetch);
    CHECK(ends == threads && events == single);
    emotion_llama_stream_free(stream);

    SUCCEED(emotion_llama_cancel_new(&cancel));
    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, cancel, &stream));
    at_once(threads, stop);
    emotion_llama_cancel_free(cancel);
    emotion_llama_stream_free(stream);

    SUCCEED(emotion_llama_live_new("{\"seconds\": 1}", &live));
    at_once(threads, watch);
    SUCCEED(emotion_llama_set_log(NULL, NULL, 0));
    emotion_llama_set_thread_count(0);
    emotion_llama_live_free(live);

    session = begin_session(engine);
    at_once(threads, ask);
    CHECK(answered >= 1);
    emotion_llama_session_free(session);

    at_once(threads, open_and_free);
    emotion_llama_engine_free(engine);
    free(expected);
    printf("%d threads gave %d equal answers each\n", threads, rounds);
    return 0;
}
