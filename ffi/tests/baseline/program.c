/*
 * Uses every function of the first released header: PROGRAM PACK CLIP. Belongs to the header beside it and is never changed with the
 * library: a change that this program notices is one that users' programs notice.
 */
#include <emotion_llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                \
    do {                                                \
        if (!(condition)) {                             \
            printf("line %d: %s\n", __LINE__, #condition); \
            exit(1);                                    \
        }                                               \
    } while (0)

static void expect(int line, emotion_llama_status *status, uint32_t code, const char *name) {
    if (emotion_llama_status_code(status) != code || strcmp(emotion_llama_status_name(status), name) != 0) {
        printf("line %d: %s: %s\n", line, emotion_llama_status_name(status), emotion_llama_status_message(status));
        exit(1);
    }
    emotion_llama_status_free(status);
}
#define SUCCEED(status) expect(__LINE__, (status), 0, "ok")
#define FAIL(status, code, name) expect(__LINE__, (status), (code), (name))

static emotion_llama_engine *engine;
static char request[4096], about[4096];

static void says(emotion_llama_text *text, const char *words) {
    const char *data = emotion_llama_text_data(text);
    if (data == NULL || strstr(data, words) == NULL || strlen(data) != emotion_llama_text_length(text)) {
        printf("no %s in %s\n", words, data);
        exit(1);
    }
    emotion_llama_text_free(text);
}

static int results_of(emotion_llama_stream *stream) {
    emotion_llama_text *text = NULL;
    int results = 0;
    for (;;) {
        SUCCEED(emotion_llama_stream_next(stream, &text));
        if (text == NULL) break;
        results += strstr(emotion_llama_text_data(text), "\"type\":\"result\"") != NULL;
        emotion_llama_text_free(text);
    }
    emotion_llama_stream_free(stream);
    return results;
}

static bool watch(void *reports, uint64_t done, uint64_t total) {
    CHECK(done <= total);
    ++*(int *)reports;
    return true;
}

static void take(void *messages, uint32_t level, const char *target, const char *message) {
    CHECK(level >= EMOTION_LLAMA_LOG_ERROR && level <= EMOTION_LLAMA_LOG_TRACE && target[0] != 0 && message[0] != 0);
    ++*(int *)messages;
}

static void open_engine(const char *pack) {
    char options[4096];
    emotion_llama_text *text = NULL;
    int reports = 0, messages = 0;
    snprintf(options, sizeof options, "{\"source\": \"%s\", \"verify\": true}", pack);
    emotion_llama_set_thread_count(2);
    SUCCEED(emotion_llama_set_log(take, &messages, EMOTION_LLAMA_LOG_DEBUG));
    SUCCEED(emotion_llama_engine_open(options, NULL, watch, &reports, &engine));
    SUCCEED(emotion_llama_set_log(NULL, NULL, 0));
    CHECK(reports >= 1 && messages >= 1);
    SUCCEED(emotion_llama_engine_info(engine, &text));
    says(text, "\"threads\":2");
    FAIL(emotion_llama_engine_open("{\"source\": \"/nowhere\"}", NULL, NULL, NULL, &engine), EMOTION_LLAMA_NOT_FOUND, "not_found");
}

static void analyze(void) {
    emotion_llama_media noise = {sizeof noise, (const uint8_t *)"noise", 5, NULL, 0};
    emotion_llama_cancel *cancel = NULL;
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *text = NULL;
    SUCCEED(emotion_llama_cancel_new(&cancel));
    CHECK(!emotion_llama_cancel_requested(cancel));
    SUCCEED(emotion_llama_analyze(engine, request, NULL, cancel, &text));
    says(text, "\"probabilities\":{");
    FAIL(emotion_llama_analyze(engine, "{}", &noise, cancel, &text), EMOTION_LLAMA_MEDIA_UNDECODABLE, "media_undecodable");
    FAIL(emotion_llama_analyze(engine, "{\"no\": 1}", &noise, cancel, &text), EMOTION_LLAMA_INVALID_ARGUMENT, "invalid_argument");
    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, cancel, &stream));
    CHECK(results_of(stream) == 1);
    emotion_llama_cancel_request(cancel);
    CHECK(emotion_llama_cancel_requested(cancel));
    FAIL(emotion_llama_analyze(engine, request, NULL, cancel, &text), EMOTION_LLAMA_CANCELLED, "cancelled");
    emotion_llama_cancel_free(cancel);
}

static void converse(void) {
    emotion_llama_session *session = NULL;
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *text = NULL;
    SUCCEED(emotion_llama_session_new(engine, about, NULL, NULL, &session));
    SUCCEED(emotion_llama_session_ask(session, "{\"max_new_tokens\": 2}", NULL, &text));
    says(text, "\"emotion\":");
    SUCCEED(emotion_llama_session_ask_stream(session, "{\"max_new_tokens\": 2}", NULL, &stream));
    CHECK(results_of(stream) == 1);
    SUCCEED(emotion_llama_session_reset(session));
    emotion_llama_session_free(session);
}

static void live(void) {
    static const uint8_t pixels[32 * 24 * 3];
    static const int16_t sound[1600];
    emotion_llama_live *buffer = NULL;
    emotion_llama_text *text = NULL;
    emotion_llama_media media;
    emotion_llama_frame frame;
    emotion_llama_samples samples;
    memset(&media, 0, sizeof media);
    memset(&frame, 0, sizeof frame);
    memset(&samples, 0, sizeof samples);
    SUCCEED(emotion_llama_live_new("{\"seconds\": 2}", &buffer));
    frame.size = sizeof frame;
    frame.format = EMOTION_LLAMA_PIXELS_BGR;
    frame.width = 32;
    frame.height = 24;
    frame.planes[0] = pixels;
    frame.strides[0] = 32 * 3;
    frame.lengths[0] = sizeof pixels;
    samples.size = sizeof samples;
    samples.format = EMOTION_LLAMA_SAMPLES_I16;
    samples.rate = 16000;
    samples.channels = 1;
    samples.data = sound;
    samples.count = 1600;
    for (int i = 0; i < 5; i++) {
        frame.time_s = samples.time_s = 0.1 * i;
        SUCCEED(emotion_llama_live_push_frame(buffer, &frame));
        SUCCEED(emotion_llama_live_push_samples(buffer, &samples));
    }
    SUCCEED(emotion_llama_live_info(buffer, &text));
    says(text, "\"frames\":5");
    media.size = sizeof media;
    media.live = buffer;
    media.seconds = 0.3;
    SUCCEED(emotion_llama_analyze(engine, "{\"max_new_tokens\": 2}", &media, NULL, &text));
    says(text, "\"emotion\":");
    emotion_llama_live_clear(buffer);
    emotion_llama_live_free(buffer);
}

int main(int count, char **arguments) {
    CHECK(count == 3 && emotion_llama_abi_version() == EMOTION_LLAMA_ABI_VERSION && emotion_llama_version()[0] != 0);
    snprintf(request, sizeof request, "{\"path\": \"%s\", \"greedy\": true, \"max_new_tokens\": 2}", arguments[2]);
    snprintf(about, sizeof about, "{\"path\": \"%s\"}", arguments[2]);
    open_engine(arguments[1]);
    analyze();
    converse();
    live();
    emotion_llama_engine_free(engine);
    return 0;
}
