/* NULL in every pointer argument of every function, and each _free with NULL: PROGRAM PACK CLIP. */
#include "check.h"

/* An out-parameter that must not be written to on failure is left as this. */
static char untouched;
#define UNTOUCHED(type) ((type *)(void *)&untouched)

int main(int count, char **arguments) {
    emotion_llama_engine *engine, *none = UNTOUCHED(emotion_llama_engine);
    emotion_llama_stream *stream = UNTOUCHED(emotion_llama_stream), *running = NULL;
    emotion_llama_text *text = UNTOUCHED(emotion_llama_text);
    const uint8_t byte = 0;
    take_arguments(count, arguments);
    engine = open_engine();

    INVALID(emotion_llama_engine_open(NULL, &none), "options is NULL");
    INVALID(emotion_llama_engine_open(options, NULL), "out is NULL");
    INVALID(emotion_llama_engine_open(NULL, NULL), "NULL");
    INVALID(emotion_llama_engine_info(NULL, &text), "engine is NULL");
    INVALID(emotion_llama_engine_info(engine, NULL), "out is NULL");
    INVALID(emotion_llama_analyze(NULL, request, NULL, 0, NULL, &text), "engine is NULL");
    INVALID(emotion_llama_analyze(engine, NULL, NULL, 0, NULL, &text), "request is NULL");
    INVALID(emotion_llama_analyze(engine, "{}", NULL, 7, NULL, &text), "media is NULL");
    INVALID(emotion_llama_analyze(engine, "{}", &byte, (size_t)-1, NULL, &text), "media has");
    INVALID(emotion_llama_analyze(engine, request, NULL, 0, NULL, NULL), "out is NULL");
    INVALID(emotion_llama_analyze_stream(NULL, request, NULL, 0, NULL, &stream), "engine is NULL");
    INVALID(emotion_llama_analyze_stream(engine, NULL, NULL, 0, NULL, &stream), "request is NULL");
    INVALID(emotion_llama_analyze_stream(engine, "{}", NULL, 7, NULL, &stream), "media is NULL");
    INVALID(emotion_llama_analyze_stream(engine, request, NULL, 0, NULL, NULL), "out is NULL");
    INVALID(emotion_llama_stream_next(NULL, &text), "stream is NULL");
    INVALID(emotion_llama_cancel_new(NULL), "out is NULL");
    CHECK(none == UNTOUCHED(emotion_llama_engine) && stream == UNTOUCHED(emotion_llama_stream));
    CHECK(text == UNTOUCHED(emotion_llama_text));

    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, 0, NULL, &running));
    INVALID(emotion_llama_stream_next(running, NULL), "out is NULL");
    emotion_llama_stream_free(running);

    /* These have no status: NULL has a value of its own. */
    emotion_llama_cancel_request(NULL);
    CHECK(!emotion_llama_cancel_requested(NULL));
    CHECK(emotion_llama_text_data(NULL) == NULL && emotion_llama_text_length(NULL) == 0);
    CHECK(emotion_llama_status_code(NULL) == 0);
    CHECK(strcmp(emotion_llama_status_name(NULL), "ok") == 0 && strcmp(emotion_llama_status_message(NULL), "") == 0);
    for (int i = 0; i < 2; i++) {
        emotion_llama_status_free(NULL);
        emotion_llama_text_free(NULL);
        emotion_llama_cancel_free(NULL);
        emotion_llama_stream_free(NULL);
        emotion_llama_engine_free(NULL);
    }
    emotion_llama_engine_free(engine);
    return 0;
}
