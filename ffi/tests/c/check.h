/* What the test programs share: a check that ends the program, a clock, and the memory in use. C99. */
#ifndef CHECK_H
#define CHECK_H

#define _POSIX_C_SOURCE 200809L
#include <emotion_llama.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                           \
    do {                                                           \
        if (!(condition)) {                                        \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            fflush(stdout);                                        \
            _exit(1);                                              \
        }                                                          \
    } while (0)

/* Checks code, name and message of a status and frees it; `line` is the caller's. */
static inline void expect_at(int line, emotion_llama_status *status, unsigned code, const char *name, const char *words) {
    if (emotion_llama_status_code(status) != code || strcmp(emotion_llama_status_name(status), name) != 0 ||
        strstr(emotion_llama_status_message(status), words) == NULL) {
        printf("line %d: expected %u %s with \"%s\", got %u %s: %s\n", line, code, name, words,
               emotion_llama_status_code(status), emotion_llama_status_name(status), emotion_llama_status_message(status));
        fflush(stdout);
        _exit(1);
    }
    emotion_llama_status_free(status);
}
#define EXPECT(status, code, name, words) expect_at(__LINE__, (status), (code), (name), (words))
#define SUCCEED(status) expect_at(__LINE__, (status), 0, "ok", "")
#define INVALID(status, words) expect_at(__LINE__, (status), 1, "invalid_argument", (words))

static inline double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static inline void pause_ms(double duration) {
    struct timespec pause;
    if (duration <= 0) return;
    pause.tv_sec = (time_t)(duration / 1e3);
    pause.tv_nsec = (long)((duration - (double)pause.tv_sec * 1e3) * 1e6);
    nanosleep(&pause, NULL);
}

/* Bytes of this process that are in memory. */
static inline size_t resident_bytes(void) {
    unsigned long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%lu %lu", &total, &resident) == 2);
    fclose(file);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* The whole file, for the caller to free. */
static inline unsigned char *contents(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    unsigned char *bytes;
    long end;
    CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0 && (end = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0);
    bytes = malloc((size_t)end + 1);
    CHECK(bytes != NULL && fread(bytes, 1, (size_t)end, file) == (size_t)end);
    fclose(file);
    *length = (size_t)end;
    return bytes;
}

/* What the programs are given: PROGRAM PACK CLIP. */
static char options[4096], request[4096];

static inline void take_arguments(int count, char **arguments) {
    CHECK(count >= 3);
    snprintf(options, sizeof options, "{\"source\": \"%s\"}", arguments[1]);
    snprintf(request, sizeof request, "{\"path\": \"%s\", \"greedy\": true, \"max_new_tokens\": 4}", arguments[2]);
}

/* A clip that is in memory. */
static inline emotion_llama_media media_of(const void *data, size_t length) {
    emotion_llama_media media;
    memset(&media, 0, sizeof media);
    media.size = sizeof media;
    media.data = data;
    media.length = length;
    return media;
}

/* The last seconds of a buffer. */
static inline emotion_llama_media media_from(const emotion_llama_live *live) {
    emotion_llama_media media = media_of(NULL, 0);
    media.live = live;
    return media;
}

/* A grey picture of 16 x 16, as a camera gives it. */
static inline emotion_llama_frame grey_frame(double time_s) {
    static const uint8_t pixels[16 * 16] = {128};
    emotion_llama_frame frame;
    memset(&frame, 0, sizeof frame);
    frame.size = sizeof frame;
    frame.format = EMOTION_LLAMA_PIXELS_GRAY;
    frame.width = frame.height = 16;
    frame.time_s = time_s;
    frame.planes[0] = pixels;
    frame.strides[0] = 16;
    frame.lengths[0] = sizeof pixels;
    return frame;
}

/* A tenth of a second of silence, as a microphone gives it. */
static inline emotion_llama_samples silence(double time_s) {
    static const int16_t values[1600] = {0};
    emotion_llama_samples samples;
    memset(&samples, 0, sizeof samples);
    samples.size = sizeof samples;
    samples.format = EMOTION_LLAMA_SAMPLES_I16;
    samples.rate = 16000;
    samples.channels = 1;
    samples.time_s = time_s;
    samples.data = values;
    samples.count = 1600;
    return samples;
}

/* The clip of the command line, out of the request. */
static inline void clip_path(char *name, size_t size) {
    const char *path = strstr(request, "\": \"") + 4;
    snprintf(name, size, "%.*s", (int)strcspn(path, "\""), path);
}

static inline emotion_llama_engine *open_engine(void) {
    emotion_llama_engine *engine = NULL;
    SUCCEED(emotion_llama_engine_open(options, NULL, NULL, NULL, &engine));
    CHECK(engine != NULL);
    return engine;
}

/* The answer without what differs between two runs: the times. */
static inline char *answer_of(const emotion_llama_text *text) {
    const char *data = emotion_llama_text_data(text), *times = strstr(data, "\"timings_ms\":{"), *after;
    size_t before;
    char *answer;
    CHECK(times != NULL && (after = strstr(times, "\"model\":")) != NULL);
    before = (size_t)(times - data);
    answer = malloc(strlen(data) + 1);
    CHECK(answer != NULL);
    memcpy(answer, data, before);
    strcpy(answer + before, after);
    return answer;
}

/* What ends a question early enough. */
#define SHORT "{\"greedy\": true, \"max_new_tokens\": 2}"

/* Begins a conversation about the clip of the command line. */
static inline emotion_llama_session *begin_session(const emotion_llama_engine *engine) {
    emotion_llama_session *session = NULL;
    char clip[4096], about[4200];
    clip_path(clip, sizeof clip);
    snprintf(about, sizeof about, "{\"path\": \"%s\"}", clip);
    SUCCEED(emotion_llama_session_new(engine, about, NULL, NULL, &session));
    CHECK(session != NULL);
    return session;
}

/* Analyses the clip of the command line; the answer is for the caller to free. */
static inline char *analyze_clip(const emotion_llama_engine *engine) {
    emotion_llama_text *text = NULL;
    char *answer;
    SUCCEED(emotion_llama_analyze(engine, request, NULL, NULL, &text));
    answer = answer_of(text);
    emotion_llama_text_free(text);
    return answer;
}

#endif
