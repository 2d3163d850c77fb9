/*
 * Every code that the library gives to a program: PROGRAM PACK CLIP BROKEN_PACK.
 *
 * internal takes a defect: panics.c. timeout is what a server answers: remote.c. out_of_memory comes from FFmpeg's
 * allocations alone: Rust's own end the process when they fail, so everything that input sizes is held against a limit first.
 */
#include "check.h"
#include <dlfcn.h>
#include <limits.h>

static unsigned seen[16];

static void expect(emotion_llama_status *status, unsigned code, const char *name, const char *words) {
    if (code < 16) seen[code]++;
    EXPECT(status, code, name, words);
}

static bool stop(void *unused, uint64_t done, uint64_t total) {
    (void)unused;
    CHECK(done <= total);
    return false;
}

/* While one question is answered, another one is refused; the answer may be there before that, so this tries again. */
static void a_busy_session_refuses(const emotion_llama_engine *engine) {
    emotion_llama_session *session = begin_session(engine);
    emotion_llama_text *text = NULL;
    for (int attempt = 0; attempt < 100 && seen[7] == 0; attempt++) {
        emotion_llama_stream *stream = NULL;
        emotion_llama_status *status, *reset;
        SUCCEED(emotion_llama_session_reset(session));
        SUCCEED(emotion_llama_session_ask_stream(session, "{\"greedy\": true}", NULL, &stream));
        SUCCEED(emotion_llama_stream_next(stream, &text));
        CHECK(text != NULL);
        emotion_llama_text_free(text);
        reset = emotion_llama_session_reset(session);
        status = emotion_llama_session_ask(session, SHORT, NULL, &text);
        if (status == NULL) emotion_llama_text_free(text);
        else expect(status, 7, "overloaded", "another question");
        if (reset != NULL) expect(reset, 7, "overloaded", "another question");
        while ((status = emotion_llama_stream_next(stream, &text)) == NULL && text != NULL) emotion_llama_text_free(text);
        SUCCEED(status);
        emotion_llama_stream_free(stream);
    }
    expect(emotion_llama_session_ask(session, "{\"path\": \"x\"}", NULL, &text), 1, "invalid_argument", "path");
    emotion_llama_session_free(session);
}

/* FFmpeg is told to allocate nothing above `bytes`. */
static void limit_ffmpeg(size_t bytes) {
    void *program = dlopen(NULL, RTLD_NOW);
    void (*max_alloc)(size_t);
    CHECK(program != NULL);
    *(void **)&max_alloc = dlsym(program, "av_max_alloc");
    CHECK(max_alloc != NULL);
    max_alloc(bytes);
    dlclose(program);
}

int main(int count, char **arguments) {
    emotion_llama_engine *engine, *none = NULL;
    emotion_llama_stream *stream = NULL;
    emotion_llama_session *session = NULL;
    emotion_llama_cancel *cancel = NULL;
    emotion_llama_text *text = NULL;
    char broken[4096];
    const emotion_llama_media noise = media_of("this is no clip", 15), empty = media_of("", 0);
    take_arguments(count, arguments);
    CHECK(count == 4);
    snprintf(broken, sizeof broken, "{\"source\": \"%s\"}", arguments[3]);
    engine = open_engine();

    expect(emotion_llama_engine_open("{\"pakc\": \"x\"}", NULL, NULL, NULL, &none), 1, "invalid_argument", "pakc");
    expect(emotion_llama_engine_open("{\"source\": 7}", NULL, NULL, NULL, &none), 1, "invalid_argument", "options");
    expect(emotion_llama_engine_open("\xff", NULL, NULL, NULL, &none), 1, "invalid_argument", "options");
    expect(emotion_llama_engine_open("", NULL, NULL, NULL, &none), 1, "invalid_argument", "options");
    expect(emotion_llama_engine_open("{\"source\": \"/nowhere/at/all\"}", NULL, NULL, NULL, &none), 4, "not_found",
           "/nowhere");
    expect(emotion_llama_engine_open("{\"source\": \"no-such-pack\", \"search\": [\"/nowhere\"]}", NULL, NULL, NULL, &none), 4,
           "not_found", "no-such-pack");
    expect(emotion_llama_engine_open(broken, NULL, NULL, NULL, &none), 5, "pack_invalid", "llama.gguf");

    expect(emotion_llama_analyze(engine, "{}", NULL, NULL, &text), 1, "invalid_argument", "clip");
    expect(emotion_llama_analyze(engine, "[]", &noise, NULL, &text), 1, "invalid_argument", "object");
    expect(emotion_llama_analyze(engine, "{\"top_p\": 7}", &noise, NULL, &text), 1, "invalid_argument", "top_p");
    expect(emotion_llama_engine_open(options, NULL, stop, NULL, &none), 8, "cancelled", "cancelled");
    expect(emotion_llama_analyze(engine, request, &noise, NULL, &text), 1, "invalid_argument", "one of them");
    expect(emotion_llama_analyze_stream(engine, "{}", NULL, NULL, &stream), 1, "invalid_argument", "clip");
    expect(emotion_llama_analyze(engine, "{}", &noise, NULL, &text), 2, "media_undecodable", "");
    expect(emotion_llama_analyze(engine, "{}", &empty, NULL, &text), 2, "media_undecodable", "");
    expect(emotion_llama_analyze(engine, "{\"limits\": {\"max_bytes\": 2}}", &noise, NULL, &text), 3, "media_too_large",
           "max_bytes");
    expect(emotion_llama_analyze(engine, "{\"path\": \"/nowhere.mp4\"}", NULL, NULL, &text), 4, "not_found",
           "/nowhere.mp4");

    expect(emotion_llama_session_new(engine, request, NULL, NULL, &session), 1, "invalid_argument", "session_ask");
    a_busy_session_refuses(engine);
    limit_ffmpeg(64);
    expect(emotion_llama_analyze(engine, request, NULL, NULL, &text), 6, "out_of_memory", "memory");
    limit_ffmpeg(INT_MAX);
    free(analyze_clip(engine));

    SUCCEED(emotion_llama_cancel_new(&cancel));
    emotion_llama_cancel_request(cancel);
    expect(emotion_llama_analyze(engine, request, NULL, cancel, &text), 8, "cancelled", "cancelled");
    emotion_llama_cancel_free(cancel);
    CHECK(none == NULL && stream == NULL && session == NULL && text == NULL);

    /* A stream says once what went wrong, and is at its end then. */
    SUCCEED(emotion_llama_analyze_stream(engine, "{}", &noise, NULL, &stream));
    SUCCEED(emotion_llama_stream_next(stream, &text));
    CHECK(text != NULL && strstr(emotion_llama_text_data(text), "\"decode\"") != NULL);
    emotion_llama_text_free(text);
    text = NULL;
    expect(emotion_llama_stream_next(stream, &text), 2, "media_undecodable", "");
    for (int i = 0; i < 2; i++) {
        SUCCEED(emotion_llama_stream_next(stream, &text));
        CHECK(text == NULL);
    }
    emotion_llama_stream_free(stream);

    emotion_llama_engine_free(engine);
    printf("codes seen:");
    for (unsigned code = 1; code < 16; code++) {
        if (seen[code] > 0) printf(" %u (%u times)", code, seen[code]);
    }
    printf("\n");
    return 0;
}
