/*
 * How long a cancelled call takes to return, stage by stage: PROGRAM PACK CLIP TIMES. Prints the median and the worst of several
 * requests spread over each stage; the stages' lengths are those of a run that was not cancelled.
 */
#include "check.h"

enum { DECODE, OBSERVE, PREFILL, SCORE, GENERATE, STAGES };
static const char *const names[STAGES] = {"decode", "observe", "prefill", "score", "generate"};
/* When each stage begins, in milliseconds from the call; the last is the end. */
static double begins[STAGES + 1];
static emotion_llama_engine *engine;

static double number_after(const char *text, const char *key) {
    const char *found = strstr(text, key);
    CHECK(found != NULL);
    return atof(found + strlen(key));
}

/* Which stage an event begins, or -1. */
static int begun_by(const char *event) {
    if (strstr(event, "\"stage\":\"decode\"") != NULL) return DECODE;
    if (strstr(event, "\"stage\":\"observe\"") != NULL) return OBSERVE;
    if (strstr(event, "\"stage\":\"respond\"") != NULL) return PREFILL;
    return strstr(event, "\"type\":\"text\"") != NULL ? GENERATE : -1;
}

static void measure_stages(void) {
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *text = NULL;
    double began = milliseconds();
    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, NULL, &stream));
    for (;;) {
        const char *event;
        int stage;
        SUCCEED(emotion_llama_stream_next(stream, &text));
        if (text == NULL) break;
        event = emotion_llama_text_data(text);
        stage = begun_by(event);
        if (stage >= 0 && begins[stage] == 0) begins[stage] = milliseconds() - began;
        if (strstr(event, "\"type\":\"result\"") != NULL) {
            begins[STAGES] = milliseconds() - began;
            begins[SCORE] = begins[PREFILL] + number_after(event, "\"prefill\":");
        }
        emotion_llama_text_free(text);
    }
    emotion_llama_stream_free(stream);
    if (begins[SCORE] > begins[GENERATE]) begins[SCORE] = begins[GENERATE];
}

struct waiter {
    emotion_llama_cancel *cancel;
    double at, asked;
};

static void *ask_later(void *argument) {
    struct waiter *waiter = argument;
    pause_ms(waiter->at - milliseconds());
    waiter->asked = milliseconds();
    emotion_llama_cancel_request(waiter->cancel);
    return NULL;
}

/* Milliseconds from the request, `after` ms into the call, until the call returned; negative if it was done before. */
static double call_cancelled(int unused, double after) {
    struct waiter waiter = {NULL, 0, 0};
    emotion_llama_text *text = NULL;
    emotion_llama_status *status;
    pthread_t thread;
    double returned;
    (void)unused;
    SUCCEED(emotion_llama_cancel_new(&waiter.cancel));
    waiter.at = milliseconds() + after;
    CHECK(pthread_create(&thread, NULL, ask_later, &waiter) == 0);
    status = emotion_llama_analyze(engine, request, NULL, waiter.cancel, &text);
    returned = milliseconds();
    CHECK(pthread_join(thread, NULL) == 0);
    emotion_llama_cancel_free(waiter.cancel);
    if (status == NULL) {
        emotion_llama_text_free(text);
        return -1;
    }
    EXPECT(status, 8, "cancelled", "cancelled");
    return returned - waiter.asked;
}

/* The same for a thread that waits for events; `after` counts from the event that begins `stage`. */
static double stage_cancelled(int stage, double after) {
    struct waiter waiter = {NULL, 0, 0};
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *text = NULL;
    emotion_llama_status *status;
    pthread_t thread;
    double returned;
    int begun = 0, event = stage == SCORE ? PREFILL : stage;
    if (stage == SCORE) after += begins[SCORE] - begins[PREFILL];
    SUCCEED(emotion_llama_cancel_new(&waiter.cancel));
    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, waiter.cancel, &stream));
    while ((status = emotion_llama_stream_next(stream, &text)) == NULL && text != NULL) {
        if (!begun && begun_by(emotion_llama_text_data(text)) == event) {
            begun = 1;
            waiter.at = milliseconds() + after;
            CHECK(pthread_create(&thread, NULL, ask_later, &waiter) == 0);
        }
        emotion_llama_text_free(text);
    }
    returned = milliseconds();
    CHECK(begun && pthread_join(thread, NULL) == 0);
    emotion_llama_stream_free(stream);
    emotion_llama_cancel_free(waiter.cancel);
    if (status == NULL) return -1;
    EXPECT(status, 8, "cancelled", "cancelled");
    return returned - waiter.asked;
}

static double load_ms;

static bool note_progress(void *last, uint64_t done, uint64_t total) {
    (void)total;
    *(uint64_t *)last = done;
    return true;
}

/* The same for a load, which is watched every other time. */
static double load_cancelled(int unused, double after) {
    struct waiter waiter = {NULL, 0, 0};
    emotion_llama_engine *other = NULL;
    emotion_llama_status *status;
    pthread_t thread;
    uint64_t done = 0;
    static int watched;
    double returned;
    (void)unused;
    SUCCEED(emotion_llama_cancel_new(&waiter.cancel));
    waiter.at = milliseconds() + after;
    CHECK(pthread_create(&thread, NULL, ask_later, &waiter) == 0);
    status = emotion_llama_engine_open(options, waiter.cancel, watched++ % 2 ? note_progress : NULL, &done, &other);
    returned = milliseconds();
    CHECK(pthread_join(thread, NULL) == 0);
    emotion_llama_cancel_free(waiter.cancel);
    if (status == NULL) {
        emotion_llama_engine_free(other);
        return -1;
    }
    EXPECT(status, 8, "cancelled", "cancelled");
    return returned - waiter.asked;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, int stage, double length, int times, double (*cancelled)(int, double)) {
    double took[64];
    int measured = 0;
    CHECK(times >= 1 && times <= 64);
    for (int i = 0; i < times; i++) {
        double value = cancelled(stage, length * i / times);
        if (value >= 0) took[measured++] = value;
    }
    qsort(took, (size_t)measured, sizeof took[0], ascending);
    printf("%-9s %7.1f ms long, cancelled %d times", name, length, measured);
    if (measured == 0) printf(": done before each request\n");
    else printf(": median %.1f ms, worst %.1f ms\n", took[measured / 2], took[measured - 1]);
}

int main(int count, char **arguments) {
    int times;
    take_arguments(count, arguments);
    CHECK(count == 4);
    times = atoi(arguments[3]);
    snprintf(request, sizeof request, "{\"path\": \"%s\", \"greedy\": true, \"task\": \"reason\"}", arguments[2]);
    load_ms = milliseconds();
    engine = open_engine();
    load_ms = milliseconds() - load_ms;
    free(analyze_clip(engine));
    measure_stages();
    report("load", 0, load_ms, times, load_cancelled);
    for (int stage = 0; stage < STAGES; stage++) {
        report(names[stage], stage, begins[stage + 1] - begins[stage], times, stage_cancelled);
    }
    report("a call", 0, begins[STAGES], times, call_cancelled);
    emotion_llama_engine_free(engine);
    return 0;
}
