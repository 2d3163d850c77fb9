/* Uses every function of the library: PROGRAM PACK CLIP. Prints what it measured; exits with 1 at the first surprise. */
#define _POSIX_C_SOURCE 200809L
#include <emotion_llama.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECK(condition)                                                     \
    do {                                                                     \
        if (!(condition)) {                                                  \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);           \
            exit(1);                                                         \
        }                                                                    \
    } while (0)

static void expect(emotion_llama_status *status, unsigned code, const char *name, const char *words) {
    if (emotion_llama_status_code(status) != code || strcmp(emotion_llama_status_name(status), name) != 0 ||
        strstr(emotion_llama_status_message(status), words) == NULL) {
        printf("expected %u %s with \"%s\", got %u %s: %s\n", code, name, words, emotion_llama_status_code(status),
               emotion_llama_status_name(status), emotion_llama_status_message(status));
        exit(1);
    }
    emotion_llama_status_free(status);
}

static void succeed(emotion_llama_status *status) { expect(status, 0, "ok", ""); }

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static emotion_llama_engine *engine;
static char request[4096];

static void *analyse_in_thread(void *result) {
    emotion_llama_text *text = NULL;
    succeed(emotion_llama_analyze(engine, request, NULL, 0, NULL, &text));
    CHECK(strstr(emotion_llama_text_data(text), "\"emotion\":\"angry\"") != NULL);
    emotion_llama_text_free(text);
    return result;
}

static void *cancel_soon(void *cancel) {
    struct timespec pause = {0, 100 * 1000 * 1000};
    nanosleep(&pause, NULL);
    *(double *)((void **)cancel)[1] = milliseconds();
    emotion_llama_cancel_request(((void **)cancel)[0]);
    return NULL;
}

static void nothing_is_null(void) {
    emotion_llama_engine *none = NULL;
    emotion_llama_text *text = NULL;
    emotion_llama_stream *stream = NULL;
    expect(emotion_llama_engine_open(NULL, &none), 1, "invalid_argument", "options is NULL");
    expect(emotion_llama_engine_open("{}", NULL), 1, "invalid_argument", "out is NULL");
    expect(emotion_llama_engine_info(NULL, &text), 1, "invalid_argument", "engine is NULL");
    expect(emotion_llama_engine_info(engine, NULL), 1, "invalid_argument", "out is NULL");
    expect(emotion_llama_analyze(NULL, request, NULL, 0, NULL, &text), 1, "invalid_argument", "engine is NULL");
    expect(emotion_llama_analyze(engine, NULL, NULL, 0, NULL, &text), 1, "invalid_argument", "request is NULL");
    expect(emotion_llama_analyze(engine, request, NULL, 7, NULL, &text), 1, "invalid_argument", "media is NULL");
    expect(emotion_llama_analyze(engine, request, NULL, 0, NULL, NULL), 1, "invalid_argument", "out is NULL");
    expect(emotion_llama_analyze_stream(NULL, request, NULL, 0, NULL, &stream), 1, "invalid_argument", "engine is NULL");
    expect(emotion_llama_stream_next(NULL, &text), 1, "invalid_argument", "stream is NULL");
    expect(emotion_llama_cancel_new(NULL), 1, "invalid_argument", "out is NULL");
    emotion_llama_cancel_request(NULL);
    CHECK(!emotion_llama_cancel_requested(NULL));
    CHECK(emotion_llama_text_data(NULL) == NULL && emotion_llama_text_length(NULL) == 0);
    emotion_llama_status_free(NULL);
    emotion_llama_text_free(NULL);
    emotion_llama_cancel_free(NULL);
    emotion_llama_engine_free(NULL);
    emotion_llama_stream_free(NULL);
    CHECK(none == NULL && text == NULL && stream == NULL);
}

static void mistakes_are_told(void) {
    emotion_llama_engine *none = NULL;
    emotion_llama_text *text = NULL;
    expect(emotion_llama_engine_open("{\"pack\": \"/nowhere/at/all\"}", &none), 4, "not_found", "/nowhere");
    expect(emotion_llama_engine_open("{\"pakc\": \"x\"}", &none), 1, "invalid_argument", "pakc");
    expect(emotion_llama_engine_open("\xff", &none), 1, "invalid_argument", "options");
    expect(emotion_llama_analyze(engine, "{}", NULL, 0, NULL, &text), 1, "invalid_argument", "clip");
    expect(emotion_llama_analyze(engine, "{\"path\": \"/nowhere.mp4\"}", NULL, 0, NULL, &text), 4, "not_found", "/nowhere.mp4");
    expect(emotion_llama_analyze(engine, "{}", (const uint8_t *)"noise", 5, NULL, &text), 2, "media_undecodable", "");
    expect(emotion_llama_analyze(engine, "{\"limits\": {\"max_bytes\": 2}}", (const uint8_t *)"noise", 5, NULL, &text), 3,
           "media_too_large", "max_bytes");
    CHECK(none == NULL && text == NULL);
}

static void events_come_one_by_one(void) {
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *text = NULL;
    int stages = 0, pieces = 0, results = 0;
    succeed(emotion_llama_analyze_stream(engine, request, NULL, 0, NULL, &stream));
    for (;;) {
        succeed(emotion_llama_stream_next(stream, &text));
        if (text == NULL) break;
        stages += strstr(emotion_llama_text_data(text), "\"type\":\"stage\"") != NULL;
        pieces += strstr(emotion_llama_text_data(text), "\"type\":\"text\"") != NULL;
        results += strstr(emotion_llama_text_data(text), "\"type\":\"result\"") != NULL;
        CHECK(strlen(emotion_llama_text_data(text)) == emotion_llama_text_length(text));
        emotion_llama_text_free(text);
    }
    CHECK(stages == 3 && pieces >= 1 && results == 1);
    succeed(emotion_llama_stream_next(stream, &text));
    CHECK(text == NULL);
    emotion_llama_stream_free(stream);
    /* Left in the middle. */
    succeed(emotion_llama_analyze_stream(engine, request, NULL, 0, NULL, &stream));
    emotion_llama_stream_free(stream);
}

static void a_token_stops_the_work(void) {
    emotion_llama_cancel *cancel = NULL;
    emotion_llama_text *text = NULL;
    pthread_t thread;
    double asked = 0;
    void *argument[2];
    succeed(emotion_llama_cancel_new(&cancel));
    CHECK(!emotion_llama_cancel_requested(cancel));
    argument[0] = cancel;
    argument[1] = &asked;
    CHECK(pthread_create(&thread, NULL, cancel_soon, argument) == 0);
    expect(emotion_llama_analyze(engine, request, NULL, 0, cancel, &text), 8, "cancelled", "");
    printf("cancelled after %.1f ms\n", milliseconds() - asked);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(emotion_llama_cancel_requested(cancel) && text == NULL);
    emotion_llama_cancel_free(cancel);
}

int main(int count, char **arguments) {
    char options[4096];
    emotion_llama_text *text = NULL;
    pthread_t threads[2];
    CHECK(count == 3);
    CHECK(emotion_llama_abi_version() == EMOTION_LLAMA_ABI_VERSION);
    CHECK(strlen(emotion_llama_version()) >= 5);
    snprintf(options, sizeof options, "{\"pack\": \"%s\"}", arguments[1]);
    snprintf(request, sizeof request, "{\"path\": \"%s\", \"greedy\": true}", arguments[2]);
    succeed(emotion_llama_engine_open(options, &engine));
    succeed(emotion_llama_engine_info(engine, &text));
    printf("%s\n", emotion_llama_text_data(text));
    CHECK(strstr(emotion_llama_text_data(text), "\"architecture\":\"cues\"") != NULL);
    emotion_llama_text_free(text);

    nothing_is_null();
    mistakes_are_told();
    events_come_one_by_one();
    a_token_stops_the_work();
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, analyse_in_thread, NULL) == 0);
    for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);

    /* Freed while a stream still runs on it. */
    {
        emotion_llama_stream *stream = NULL;
        succeed(emotion_llama_analyze_stream(engine, request, NULL, 0, NULL, &stream));
        emotion_llama_engine_free(engine);
        for (text = NULL;; emotion_llama_text_free(text)) {
            succeed(emotion_llama_stream_next(stream, &text));
            if (text == NULL) break;
        }
        emotion_llama_stream_free(stream);
    }
    printf("every function was used\n");
    return 0;
}
