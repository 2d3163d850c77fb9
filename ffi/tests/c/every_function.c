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
    succeed(emotion_llama_analyze(engine, request, NULL, NULL, &text));
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
    emotion_llama_media hollow = {sizeof hollow, NULL, 7, NULL, 0};
    emotion_llama_engine *none = NULL;
    emotion_llama_text *text = NULL;
    emotion_llama_stream *stream = NULL;
    expect(emotion_llama_engine_open(NULL, NULL, NULL, NULL, &none), 1, "invalid_argument", "options is NULL");
    expect(emotion_llama_engine_open("{}", NULL, NULL, NULL, NULL), 1, "invalid_argument", "out is NULL");
    expect(emotion_llama_engine_info(NULL, &text), 1, "invalid_argument", "engine is NULL");
    expect(emotion_llama_engine_info(engine, NULL), 1, "invalid_argument", "out is NULL");
    expect(emotion_llama_analyze(NULL, request, NULL, NULL, &text), 1, "invalid_argument", "engine is NULL");
    expect(emotion_llama_analyze(engine, NULL, NULL, NULL, &text), 1, "invalid_argument", "request is NULL");
    expect(emotion_llama_analyze(engine, request, &hollow, NULL, &text), 1, "invalid_argument", "data is NULL");
    expect(emotion_llama_analyze(engine, request, NULL, NULL, NULL), 1, "invalid_argument", "out is NULL");
    expect(emotion_llama_analyze_stream(NULL, request, NULL, NULL, &stream), 1, "invalid_argument", "engine is NULL");
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
    emotion_llama_media noise = {sizeof noise, (const uint8_t *)"noise", 5, NULL, 0};
    emotion_llama_engine *none = NULL;
    emotion_llama_text *text = NULL;
    expect(emotion_llama_engine_open("{\"source\": \"/nowhere/at/all\"}", NULL, NULL, NULL, &none), 4, "not_found", "/nowhere");
    expect(emotion_llama_engine_open("{\"pakc\": \"x\"}", NULL, NULL, NULL, &none), 1, "invalid_argument", "pakc");
    expect(emotion_llama_engine_open("\xff", NULL, NULL, NULL, &none), 1, "invalid_argument", "options");
    expect(emotion_llama_analyze(engine, "{}", NULL, NULL, &text), 1, "invalid_argument", "clip");
    expect(emotion_llama_analyze(engine, "{\"path\": \"/nowhere.mp4\"}", NULL, NULL, &text), 4, "not_found", "/nowhere.mp4");
    expect(emotion_llama_analyze(engine, "{}", &noise, NULL, &text), 2, "media_undecodable", "");
    expect(emotion_llama_analyze(engine, "{\"limits\": {\"max_bytes\": 2}}", &noise, NULL, &text), 3,
           "media_too_large", "max_bytes");
    CHECK(none == NULL && text == NULL);
}

static void events_come_one_by_one(void) {
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *text = NULL;
    int stages = 0, pieces = 0, results = 0;
    succeed(emotion_llama_analyze_stream(engine, request, NULL, NULL, &stream));
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
    succeed(emotion_llama_analyze_stream(engine, request, NULL, NULL, &stream));
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
    expect(emotion_llama_analyze(engine, request, NULL, cancel, &text), 8, "cancelled", "");
    printf("cancelled after %.1f ms\n", milliseconds() - asked);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(emotion_llama_cancel_requested(cancel) && text == NULL);
    emotion_llama_cancel_free(cancel);
}

static void frames_and_sound_are_taken_as_they_come(void) {
    static uint8_t grey[64 * 48 * 3];
    static int16_t tone[2 * 1600];
    emotion_llama_live *live = NULL;
    emotion_llama_text *text = NULL;
    emotion_llama_frame frame;
    emotion_llama_samples samples;
    emotion_llama_media media;
    memset(&frame, 0, sizeof frame);
    memset(&samples, 0, sizeof samples);
    memset(&media, 0, sizeof media);
    memset(grey, 128, sizeof grey);
    succeed(emotion_llama_live_new(NULL, &live));
    frame.size = sizeof frame;
    frame.format = EMOTION_LLAMA_PIXELS_BGR;
    frame.width = 64;
    frame.height = 48;
    frame.planes[0] = grey;
    frame.strides[0] = 64 * 3;
    frame.lengths[0] = sizeof grey;
    samples.size = sizeof samples;
    samples.format = EMOTION_LLAMA_SAMPLES_I16;
    samples.rate = 16000;
    samples.channels = 2;
    samples.data = tone;
    samples.count = 2 * 1600;
    for (int i = 0; i < 10; i++) {
        frame.time_s = samples.time_s = i * 0.1;
        succeed(emotion_llama_live_push_frame(live, &frame));
        succeed(emotion_llama_live_push_samples(live, &samples));
    }
    succeed(emotion_llama_live_info(live, &text));
    CHECK(strstr(emotion_llama_text_data(text), "\"frames\":10") != NULL);
    emotion_llama_text_free(text);
    media.size = sizeof media;
    media.live = live;
    media.seconds = 0.5;
    succeed(emotion_llama_analyze(engine, "{\"greedy\": true}", &media, NULL, &text));
    CHECK(strstr(emotion_llama_text_data(text), "no_face") != NULL);
    emotion_llama_text_free(text);
    text = NULL;

    frame.lengths[0] = 5;
    expect(emotion_llama_live_push_frame(live, &frame), 1, "invalid_argument", "less than");
    frame.size = 3;
    expect(emotion_llama_live_push_frame(live, &frame), 1, "invalid_argument", "size of frame is 3");
    samples.format = 9;
    expect(emotion_llama_live_push_samples(live, &samples), 1, "invalid_argument", "sample format 9");
    expect(emotion_llama_analyze(engine, "{\"path\": \"a\"}", &media, NULL, &text), 1, "invalid_argument", "path");
    emotion_llama_live_clear(live);
    expect(emotion_llama_analyze(engine, "{}", &media, NULL, &text), 1, "invalid_argument", "push some first");
    CHECK(text == NULL);
    emotion_llama_live_clear(NULL);
    emotion_llama_live_free(NULL);
    emotion_llama_live_free(live);
}

static void a_clip_is_asked_again(void) {
    static const char *question = "{\"task\": \"emotion\", \"greedy\": true, \"max_new_tokens\": 20}";
    emotion_llama_session *session = NULL;
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *text = NULL;
    char clip_only[4096];
    int results = 0;
    expect(emotion_llama_session_new(engine, "{\"path\": \"a\", \"prompt\": \"Why?\"}", NULL, NULL, &session), 1,
           "invalid_argument", "session_ask");
    snprintf(clip_only, sizeof clip_only, "%.*s}", (int)(strstr(request, ", \"greedy\"") - request), request);
    succeed(emotion_llama_session_new(engine, clip_only, NULL, NULL, &session));
    succeed(emotion_llama_session_ask(session, question, NULL, &text));
    CHECK(strstr(emotion_llama_text_data(text), "\"emotion\":\"angry\"") != NULL);
    emotion_llama_text_free(text);
    succeed(emotion_llama_session_ask_stream(session, "{\"prompt\": \"Why?\", \"max_new_tokens\": 20}", NULL, &stream));
    for (;;) {
        succeed(emotion_llama_stream_next(stream, &text));
        if (text == NULL) break;
        if (strstr(emotion_llama_text_data(text), "\"type\":\"result\"") != NULL) {
            CHECK(strstr(emotion_llama_text_data(text), "\"cached_tokens\":0") == NULL);
            results++;
        }
        emotion_llama_text_free(text);
    }
    CHECK(results == 1);
    emotion_llama_stream_free(stream);
    succeed(emotion_llama_session_reset(session));
    expect(emotion_llama_session_ask(session, "{\"path\": \"a\"}", NULL, &text), 1, "invalid_argument", "path");
    expect(emotion_llama_session_ask(NULL, question, NULL, &text), 1, "invalid_argument", "session is NULL");
    expect(emotion_llama_session_reset(NULL), 1, "invalid_argument", "session is NULL");
    emotion_llama_session_free(NULL);
    emotion_llama_session_free(session);
}

static void count_messages(void *userdata, uint32_t level, const char *target, const char *message) {
    CHECK(level >= EMOTION_LLAMA_LOG_ERROR && level <= EMOTION_LLAMA_LOG_DEBUG);
    CHECK(strncmp(target, "emotion", 7) == 0 && message[0] != 0);
    expect(emotion_llama_set_log(NULL, NULL, 0), 1, "invalid_argument", "from elsewhere");
    ++*(int *)userdata;
}

static bool stop_half_way(void *userdata, uint64_t done, uint64_t total) {
    CHECK(done <= total && done > *(uint64_t *)userdata);
    *(uint64_t *)userdata = done;
    return done < total / 2;
}

static void loads_are_watched_and_logged(const char *options) {
    emotion_llama_engine *other = NULL;
    uint64_t done = 0;
    int messages = 0;
    emotion_llama_set_thread_count(3);
    expect(emotion_llama_engine_open(options, NULL, stop_half_way, &done, &other), 8, "cancelled", "");
    CHECK(done > 0 && other == NULL);
    expect(emotion_llama_set_log(count_messages, &messages, 9), 1, "invalid_argument", "level 9");
    succeed(emotion_llama_set_log(count_messages, &messages, EMOTION_LLAMA_LOG_DEBUG));
    succeed(emotion_llama_engine_open(options, NULL, NULL, NULL, &other));
    CHECK(messages >= 1);
    succeed(emotion_llama_set_log(NULL, NULL, 0));
    {
        emotion_llama_text *text = NULL;
        succeed(emotion_llama_engine_info(other, &text));
        CHECK(strstr(emotion_llama_text_data(text), "\"threads\":3") != NULL);
        emotion_llama_text_free(text);
    }
    emotion_llama_engine_free(other);
    emotion_llama_set_thread_count(0);
}

int main(int count, char **arguments) {
    char options[4096];
    emotion_llama_text *text = NULL;
    pthread_t threads[2];
    CHECK(count == 3);
    CHECK(emotion_llama_abi_version() == EMOTION_LLAMA_ABI_VERSION);
    CHECK(strlen(emotion_llama_version()) >= 5);
    snprintf(options, sizeof options, "{\"source\": \"%s\"}", arguments[1]);
    snprintf(request, sizeof request, "{\"path\": \"%s\", \"greedy\": true}", arguments[2]);
    succeed(emotion_llama_engine_open(options, NULL, NULL, NULL, &engine));
    succeed(emotion_llama_engine_info(engine, &text));
    printf("%s\n", emotion_llama_text_data(text));
    CHECK(strstr(emotion_llama_text_data(text), "\"architecture\":\"cues\"") != NULL);
    emotion_llama_text_free(text);

    nothing_is_null();
    mistakes_are_told();
    events_come_one_by_one();
    a_token_stops_the_work();
    frames_and_sound_are_taken_as_they_come();
    a_clip_is_asked_again();
    loads_are_watched_and_logged(options);
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, analyse_in_thread, NULL) == 0);
    for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);

    /* Freed while a stream still runs on it. */
    {
        emotion_llama_stream *stream = NULL;
        succeed(emotion_llama_analyze_stream(engine, request, NULL, NULL, &stream));
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
