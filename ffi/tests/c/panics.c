/*
 * A panic at every entry, and in the work that it begins: PROGRAM PACK CLIP, with the library of ffi/injected, which panics where the
 * environment variable EMOTION_LLAMA_PANIC_AT says.
 */
#include "check.h"

static emotion_llama_engine *engine;

static void panic_at(const char *place) { CHECK(setenv("EMOTION_LLAMA_PANIC_AT", place, 1) == 0); }

static void no_panic(const char *place) {
    CHECK(unsetenv("EMOTION_LLAMA_PANIC_AT") == 0);
    printf("%s: contained\n", place);
}

static void internal(emotion_llama_status *status, const char *place) {
    char words[128];
    snprintf(words, sizeof words, "injected at %s", place);
    EXPECT(status, 10, "internal", words);
}

/* A function with a status gives internal. */
#define FAILS(place, call)                         \
    do {                                           \
        emotion_llama_status *failure;             \
        panic_at(place);                           \
        failure = (call);                          \
        no_panic(place);                           \
        internal(failure, place);                  \
    } while (0)

/* One without has a value of its own, or does nothing. */
#define GIVES(place, condition) \
    do {                        \
        bool gave;              \
        panic_at(place);        \
        gave = (condition);     \
        no_panic(place);        \
        CHECK(gave);            \
    } while (0)

static void works(void) { free(analyze_clip(engine)); }

static void entries_without_state(void) {
    GIVES("emotion_llama_abi_version", emotion_llama_abi_version() == 0);
    GIVES("emotion_llama_version", strcmp(emotion_llama_version(), "") == 0);
    GIVES("emotion_llama_set_thread_count", (emotion_llama_set_thread_count(1), true));
    FAILS("emotion_llama_set_log", emotion_llama_set_log(NULL, NULL, 0));
    CHECK(emotion_llama_abi_version() == EMOTION_LLAMA_ABI_VERSION && strlen(emotion_llama_version()) >= 5);
}

static void statuses(void) {
    emotion_llama_status *status = emotion_llama_engine_info(NULL, NULL);
    GIVES("emotion_llama_status_code", emotion_llama_status_code(status) == 10);
    GIVES("emotion_llama_status_name", strcmp(emotion_llama_status_name(status), "internal") == 0);
    GIVES("emotion_llama_status_message", strcmp(emotion_llama_status_message(status), "") == 0);
    GIVES("emotion_llama_status_free", (emotion_llama_status_free(status), true));
    INVALID(status, "NULL");
}

static void tokens(void) {
    emotion_llama_cancel *cancel = NULL;
    FAILS("emotion_llama_cancel_new", emotion_llama_cancel_new(&cancel));
    CHECK(cancel == NULL);
    SUCCEED(emotion_llama_cancel_new(&cancel));
    GIVES("emotion_llama_cancel_request", (emotion_llama_cancel_request(cancel), true));
    CHECK(!emotion_llama_cancel_requested(cancel));
    emotion_llama_cancel_request(cancel);
    GIVES("emotion_llama_cancel_requested", !emotion_llama_cancel_requested(cancel));
    CHECK(emotion_llama_cancel_requested(cancel));
    GIVES("emotion_llama_cancel_free", (emotion_llama_cancel_free(cancel), true));
    emotion_llama_cancel_free(cancel);
}

static bool go_on(void *reports, uint64_t done, uint64_t total) {
    (void)done;
    (void)total;
    ++*(int *)reports;
    return true;
}

static void engines(void) {
    emotion_llama_engine *other = NULL;
    emotion_llama_text *text = NULL;
    int reports = 0;
    FAILS("emotion_llama_engine_open", emotion_llama_engine_open(options, NULL, NULL, NULL, &other));
    /* Inside core, on the threads that load; and on the one that began it. */
    FAILS("load", emotion_llama_engine_open(options, NULL, NULL, NULL, &other));
    FAILS("load", emotion_llama_engine_open(options, NULL, go_on, &reports, &other));
    FAILS("open_watched", emotion_llama_engine_open(options, NULL, go_on, &reports, &other));
    CHECK(other == NULL && reports == 0);
    other = open_engine();
    FAILS("emotion_llama_engine_info", emotion_llama_engine_info(other, &text));
    FAILS("emotion_llama_analyze", emotion_llama_analyze(other, request, NULL, NULL, &text));
    /* Inside core, in each stage. */
    FAILS("decode", emotion_llama_analyze(other, request, NULL, NULL, &text));
    FAILS("observe", emotion_llama_analyze(other, request, NULL, NULL, &text));
    FAILS("respond", emotion_llama_analyze(other, request, NULL, NULL, &text));
    CHECK(text == NULL);
    GIVES("emotion_llama_engine_free", (emotion_llama_engine_free(other), true));
    free(analyze_clip(other));
    emotion_llama_engine_free(other);
}

static void texts(void) {
    emotion_llama_text *text = NULL;
    SUCCEED(emotion_llama_engine_info(engine, &text));
    GIVES("emotion_llama_text_data", emotion_llama_text_data(text) == NULL);
    GIVES("emotion_llama_text_length", emotion_llama_text_length(text) == 0);
    GIVES("emotion_llama_text_free", (emotion_llama_text_free(text), true));
    CHECK(strlen(emotion_llama_text_data(text)) == emotion_llama_text_length(text));
    emotion_llama_text_free(text);
}

/* Fetches until the end; a failure in between is `place`'s. */
static void drain(emotion_llama_stream *stream, const char *place) {
    emotion_llama_text *text = NULL;
    int failures = 0;
    for (;;) {
        emotion_llama_status *status = emotion_llama_stream_next(stream, &text);
        if (status != NULL) {
            failures++;
            internal(status, place);
            continue;
        }
        if (text == NULL) break;
        emotion_llama_text_free(text);
    }
    CHECK(failures == (place != NULL));
    emotion_llama_stream_free(stream);
}

static void streams(void) {
    static const char *const inside[] = {"run", "decode", "observe", "respond"};
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *text = NULL;
    FAILS("emotion_llama_analyze_stream", emotion_llama_analyze_stream(engine, request, NULL, NULL, &stream));
    CHECK(stream == NULL);
    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, NULL, &stream));
    FAILS("emotion_llama_stream_next", emotion_llama_stream_next(stream, &text));
    CHECK(text == NULL);
    GIVES("emotion_llama_stream_free", (emotion_llama_stream_free(stream), true));
    drain(stream, NULL);
    /* On the stream's own thread, and inside core there. */
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        panic_at(inside[i]);
        SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, NULL, &stream));
        drain(stream, inside[i]);
        no_panic(inside[i]);
    }
}

static void sessions(void) {
    emotion_llama_session *session = NULL;
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *text = NULL;
    FAILS("emotion_llama_session_new", emotion_llama_session_new(engine, "{}", NULL, NULL, &session));
    CHECK(session == NULL);
    session = begin_session(engine);
    FAILS("emotion_llama_session_ask", emotion_llama_session_ask(session, SHORT, NULL, &text));
    FAILS("emotion_llama_session_ask_stream", emotion_llama_session_ask_stream(session, SHORT, NULL, &stream));
    FAILS("emotion_llama_session_reset", emotion_llama_session_reset(session));
    SUCCEED(emotion_llama_session_ask(session, SHORT, NULL, &text));
    emotion_llama_text_free(text);
    /* A defect in the middle of an answer ends this session, and no other. */
    FAILS("respond", emotion_llama_session_ask(session, SHORT, NULL, &text));
    EXPECT(emotion_llama_session_ask(session, SHORT, NULL, &text), 10, "internal", "begin another session");
    EXPECT(emotion_llama_session_reset(session), 10, "internal", "begin another session");
    SUCCEED(emotion_llama_session_ask_stream(session, SHORT, NULL, &stream));
    EXPECT(emotion_llama_stream_next(stream, &text), 10, "internal", "begin another session");
    emotion_llama_stream_free(stream);
    GIVES("emotion_llama_session_free", (emotion_llama_session_free(session), true));
    emotion_llama_session_free(session);
    session = begin_session(engine);
    panic_at("respond");
    SUCCEED(emotion_llama_session_ask_stream(session, SHORT, NULL, &stream));
    drain(stream, "respond");
    no_panic("respond");
    emotion_llama_session_free(session);
}

static void live_buffers(void) {
    emotion_llama_live *live = NULL;
    emotion_llama_text *text = NULL;
    emotion_llama_frame frame = grey_frame(0);
    emotion_llama_samples samples = silence(0);
    FAILS("emotion_llama_live_new", emotion_llama_live_new(NULL, &live));
    CHECK(live == NULL);
    SUCCEED(emotion_llama_live_new(NULL, &live));
    FAILS("emotion_llama_live_push_frame", emotion_llama_live_push_frame(live, &frame));
    SUCCEED(emotion_llama_live_push_frame(live, &frame));
    FAILS("emotion_llama_live_push_samples", emotion_llama_live_push_samples(live, &samples));
    SUCCEED(emotion_llama_live_push_samples(live, &samples));
    FAILS("emotion_llama_live_info", emotion_llama_live_info(live, &text));
    GIVES("emotion_llama_live_clear", (emotion_llama_live_clear(live), true));
    SUCCEED(emotion_llama_live_info(live, &text));
    CHECK(strstr(emotion_llama_text_data(text), "\"frames\":1") != NULL);
    emotion_llama_text_free(text);
    GIVES("emotion_llama_live_free", (emotion_llama_live_free(live), true));
    emotion_llama_live_free(live);
}

static void take_message(void *found, uint32_t level, const char *target, const char *message) {
    (void)target;
    if (level == EMOTION_LLAMA_LOG_ERROR && strstr(message, "injected at") != NULL) ++*(int *)found;
}

/* What a program would read on standard error goes to its log. */
static void the_log_tells(void) {
    emotion_llama_text *text = NULL;
    int found = 0;
    SUCCEED(emotion_llama_set_log(take_message, &found, EMOTION_LLAMA_LOG_ERROR));
    FAILS("emotion_llama_engine_info", emotion_llama_engine_info(engine, &text));
    SUCCEED(emotion_llama_set_log(NULL, NULL, 0));
    CHECK(found == 1 && text == NULL);
}

int main(int count, char **arguments) {
    void (*const groups[])(void) = {entries_without_state, statuses, tokens,       engines,      texts,
                                    streams,               sessions, live_buffers, the_log_tells};
    take_arguments(count, arguments);
    engine = open_engine();
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        groups[i]();
        works();
    }
    emotion_llama_engine_free(engine);
    return 0;
}
