/* What may be freed before what, and what is read afterwards: PROGRAM PACK CLIP. */
#include "check.h"
#include <sys/inotify.h>

static emotion_llama_engine *engine;

/* Frees a handle that was reached through a copy, as the header allows: the copy is NULL then. */
#define FREE(type, handle)                                      \
    do {                                                        \
        emotion_llama_##type **copy = &(handle);                \
        emotion_llama_##type##_free(*copy);                     \
        *copy = NULL;                                           \
        emotion_llama_##type##_free(handle);                    \
    } while (0)

static void freed_again_after_null(void) {
    emotion_llama_cancel *cancel = NULL;
    emotion_llama_text *text = NULL;
    emotion_llama_stream *stream = NULL;
    emotion_llama_status *status = emotion_llama_engine_info(engine, NULL);
    CHECK(emotion_llama_status_code(status) == 1);
    FREE(status, status);
    SUCCEED(emotion_llama_cancel_new(&cancel));
    FREE(cancel, cancel);
    SUCCEED(emotion_llama_engine_info(engine, &text));
    FREE(text, text);
    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, NULL, &stream));
    FREE(stream, stream);
}

/* A text and a status belong to nobody else. */
static void read_after_its_engine_was_freed(void) {
    emotion_llama_engine *other = open_engine();
    emotion_llama_text *text = NULL, *info = NULL;
    emotion_llama_status *status;
    SUCCEED(emotion_llama_engine_info(other, &info));
    SUCCEED(emotion_llama_analyze(other, request, NULL, NULL, &text));
    status = emotion_llama_analyze(other, "{}", NULL, NULL, &text);
    emotion_llama_engine_free(other);
    CHECK(strlen(emotion_llama_text_data(info)) == emotion_llama_text_length(info));
    CHECK(strstr(emotion_llama_text_data(text), "\"emotion\":") != NULL);
    CHECK(strlen(emotion_llama_text_data(text)) == emotion_llama_text_length(text));
    INVALID(status, "clip");
    emotion_llama_text_free(text);
    emotion_llama_text_free(info);
}

/* What a call was given is not needed once it has returned. */
static void arguments_freed_while_a_stream_runs(void) {
    emotion_llama_stream *stream = NULL;
    emotion_llama_cancel *cancel = NULL;
    emotion_llama_text *text = NULL;
    emotion_llama_media media;
    size_t length;
    int results = 0;
    char *asked = malloc(64);
    unsigned char *bytes;
    char name[4096];
    clip_path(name, sizeof name);
    bytes = contents(name, &length);
    media = media_of(bytes, length);
    CHECK(asked != NULL);
    strcpy(asked, "{\"greedy\": true, \"max_new_tokens\": 4}");
    SUCCEED(emotion_llama_cancel_new(&cancel));
    SUCCEED(emotion_llama_analyze_stream(engine, asked, &media, cancel, &stream));
    memset(asked, 'x', 64);
    memset(bytes, 'x', length);
    memset(&media, 'x', sizeof media);
    free(asked);
    free(bytes);
    emotion_llama_cancel_free(cancel);
    for (;;) {
        SUCCEED(emotion_llama_stream_next(stream, &text));
        if (text == NULL) break;
        results += strstr(emotion_llama_text_data(text), "\"type\":\"result\"") != NULL;
        emotion_llama_text_free(text);
    }
    CHECK(results == 1);
    emotion_llama_stream_free(stream);
}

/* A token outlives the handle through which it was cancelled. */
static void token_freed_after_its_request(void) {
    emotion_llama_stream *stream = NULL;
    emotion_llama_cancel *cancel = NULL;
    emotion_llama_text *text = NULL;
    emotion_llama_status *status;
    SUCCEED(emotion_llama_cancel_new(&cancel));
    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, cancel, &stream));
    emotion_llama_cancel_request(cancel);
    emotion_llama_cancel_request(cancel);
    CHECK(emotion_llama_cancel_requested(cancel));
    emotion_llama_cancel_free(cancel);
    while ((status = emotion_llama_stream_next(stream, &text)) == NULL) {
        CHECK(text != NULL);
        emotion_llama_text_free(text);
    }
    EXPECT(status, 8, "cancelled", "");
    emotion_llama_stream_free(stream);
}

static void engine_freed_while_a_stream_runs(void) {
    emotion_llama_engine *other = open_engine();
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *text = NULL;
    int results = 0;
    SUCCEED(emotion_llama_analyze_stream(other, request, NULL, NULL, &stream));
    emotion_llama_engine_free(other);
    for (;;) {
        SUCCEED(emotion_llama_stream_next(stream, &text));
        if (text == NULL) break;
        results += strstr(emotion_llama_text_data(text), "\"type\":\"result\"") != NULL;
        emotion_llama_text_free(text);
    }
    CHECK(results == 1);
    emotion_llama_stream_free(stream);
}

/* A session keeps its engine, and a question that is being answered keeps its session. */
static void session_freed_while_it_answers(void) {
    emotion_llama_engine *other = open_engine();
    emotion_llama_session *session = begin_session(other);
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *text = NULL;
    int results = 0;
    emotion_llama_engine_free(other);
    SUCCEED(emotion_llama_session_ask(session, SHORT, NULL, &text));
    emotion_llama_text_free(text);
    SUCCEED(emotion_llama_session_ask_stream(session, SHORT, NULL, &stream));
    FREE(session, session);
    for (;;) {
        SUCCEED(emotion_llama_stream_next(stream, &text));
        if (text == NULL) break;
        results += strstr(emotion_llama_text_data(text), "\"type\":\"result\"") != NULL;
        emotion_llama_text_free(text);
    }
    CHECK(results == 1);
    emotion_llama_stream_free(stream);
}

/* A buffer may go once a call that was given it has begun. */
static void live_freed_while_a_stream_runs(void) {
    emotion_llama_live *live = NULL;
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *text = NULL;
    emotion_llama_media media;
    int results = 0;
    SUCCEED(emotion_llama_live_new("{\"seconds\": 1}", &live));
    for (int i = 0; i < 5; i++) {
        emotion_llama_frame frame = grey_frame(i * 0.1);
        emotion_llama_samples samples = silence(i * 0.1);
        SUCCEED(emotion_llama_live_push_frame(live, &frame));
        SUCCEED(emotion_llama_live_push_samples(live, &samples));
    }
    media = media_from(live);
    SUCCEED(emotion_llama_analyze_stream(engine, "{\"max_new_tokens\": 4}", &media, NULL, &stream));
    emotion_llama_live_clear(live);
    FREE(live, live);
    for (;;) {
        SUCCEED(emotion_llama_stream_next(stream, &text));
        if (text == NULL) break;
        results += strstr(emotion_llama_text_data(text), "\"type\":\"result\"") != NULL;
        emotion_llama_text_free(text);
    }
    CHECK(results == 1);
    emotion_llama_stream_free(stream);
}

static void *analyze_in_thread(void *argument) {
    emotion_llama_text *text = NULL;
    SUCCEED(emotion_llama_analyze(argument, request, NULL, NULL, &text));
    CHECK(text != NULL);
    emotion_llama_text_free(text);
    return NULL;
}

/* The contract asks that the call has begun: it has when it opens the clip, which the system tells. */
static void engine_freed_during_a_call(void) {
    emotion_llama_engine *other = open_engine();
    pthread_t thread;
    char name[4096], events[4096];
    int watch = inotify_init();
    clip_path(name, sizeof name);
    CHECK(watch >= 0 && inotify_add_watch(watch, name, IN_OPEN) >= 0);
    CHECK(pthread_create(&thread, NULL, analyze_in_thread, other) == 0);
    CHECK(read(watch, events, sizeof events) > 0);
    emotion_llama_engine_free(other);
    CHECK(pthread_join(thread, NULL) == 0);
    close(watch);
}

int main(int count, char **arguments) {
    take_arguments(count, arguments);
    engine = open_engine();
    freed_again_after_null();
    read_after_its_engine_was_freed();
    arguments_freed_while_a_stream_runs();
    token_freed_after_its_request();
    engine_freed_while_a_stream_runs();
    engine_freed_during_a_call();
    session_freed_while_it_answers();
    live_freed_while_a_stream_runs();
    emotion_llama_engine_free(engine);
    return 0;
}
