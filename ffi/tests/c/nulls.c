/* NULL in every pointer argument of every function, and each _free with NULL: PROGRAM PACK CLIP. */
#include "check.h"

/* An out-parameter that must not be written to on failure is left as this. */
static char untouched;
#define UNTOUCHED(type) ((type *)(void *)&untouched)

int main(int count, char **arguments) {
    emotion_llama_engine *engine, *none = UNTOUCHED(emotion_llama_engine);
    emotion_llama_stream *stream = UNTOUCHED(emotion_llama_stream), *running = NULL;
    emotion_llama_session *session, *no_session = UNTOUCHED(emotion_llama_session);
    emotion_llama_text *text = UNTOUCHED(emotion_llama_text);
    emotion_llama_live *live = NULL, *no_live = UNTOUCHED(emotion_llama_live);
    emotion_llama_frame frame = grey_frame(0), no_plane = grey_frame(0), no_chroma = grey_frame(0);
    emotion_llama_samples samples = silence(0), no_data = silence(0);
    emotion_llama_media hollow = media_of(NULL, 7), endless = media_of("x", (size_t)-1), sizeless = media_of("x", 1);
    take_arguments(count, arguments);
    engine = open_engine();
    session = begin_session(engine);
    SUCCEED(emotion_llama_live_new(NULL, &live));
    sizeless.size = 0;
    no_plane.planes[0] = NULL;
    no_chroma.format = EMOTION_LLAMA_PIXELS_NV12;
    no_data.data = NULL;

    INVALID(emotion_llama_engine_open(NULL, NULL, NULL, NULL, &none), "options is NULL");
    INVALID(emotion_llama_engine_open(options, NULL, NULL, NULL, NULL), "out is NULL");
    INVALID(emotion_llama_engine_open(NULL, NULL, NULL, NULL, NULL), "NULL");
    INVALID(emotion_llama_engine_info(NULL, &text), "engine is NULL");
    INVALID(emotion_llama_engine_info(engine, NULL), "out is NULL");
    INVALID(emotion_llama_analyze(NULL, request, NULL, NULL, &text), "engine is NULL");
    INVALID(emotion_llama_analyze(engine, NULL, NULL, NULL, &text), "request is NULL");
    INVALID(emotion_llama_analyze(engine, "{}", &hollow, NULL, &text), "data is NULL");
    INVALID(emotion_llama_analyze(engine, "{}", &endless, NULL, &text), "media's data has");
    INVALID(emotion_llama_analyze(engine, "{}", &sizeless, NULL, &text), "size of media is 0");
    INVALID(emotion_llama_analyze(engine, request, NULL, NULL, NULL), "out is NULL");
    INVALID(emotion_llama_analyze_stream(NULL, request, NULL, NULL, &stream), "engine is NULL");
    INVALID(emotion_llama_analyze_stream(engine, NULL, NULL, NULL, &stream), "request is NULL");
    INVALID(emotion_llama_analyze_stream(engine, "{}", &hollow, NULL, &stream), "data is NULL");
    INVALID(emotion_llama_analyze_stream(engine, request, NULL, NULL, NULL), "out is NULL");
    INVALID(emotion_llama_stream_next(NULL, &text), "stream is NULL");
    INVALID(emotion_llama_cancel_new(NULL), "out is NULL");
    INVALID(emotion_llama_live_new(NULL, NULL), "out is NULL");
    INVALID(emotion_llama_live_push_frame(NULL, &frame), "live is NULL");
    INVALID(emotion_llama_live_push_frame(live, NULL), "frame is NULL");
    INVALID(emotion_llama_live_new("", &no_live), "options");
    INVALID(emotion_llama_live_push_frame(live, &no_plane), "plane of the frame is NULL");
    INVALID(emotion_llama_live_push_frame(live, &no_chroma), "plane of the frame is NULL");
    INVALID(emotion_llama_live_push_samples(NULL, &samples), "live is NULL");
    INVALID(emotion_llama_live_push_samples(live, NULL), "samples is NULL");
    INVALID(emotion_llama_live_push_samples(live, &no_data), "data is NULL");
    INVALID(emotion_llama_session_new(NULL, request, NULL, NULL, &no_session), "engine is NULL");
    INVALID(emotion_llama_session_new(engine, NULL, NULL, NULL, &no_session), "request is NULL");
    INVALID(emotion_llama_session_new(engine, "{}", &hollow, NULL, &no_session), "data is NULL");
    INVALID(emotion_llama_session_new(engine, request, NULL, NULL, NULL), "out is NULL");
    INVALID(emotion_llama_session_ask(NULL, SHORT, NULL, &text), "session is NULL");
    INVALID(emotion_llama_session_ask(session, NULL, NULL, &text), "request is NULL");
    INVALID(emotion_llama_session_ask(session, SHORT, NULL, NULL), "out is NULL");
    INVALID(emotion_llama_session_ask_stream(NULL, SHORT, NULL, &stream), "session is NULL");
    INVALID(emotion_llama_session_ask_stream(session, NULL, NULL, &stream), "request is NULL");
    INVALID(emotion_llama_session_ask_stream(session, SHORT, NULL, NULL), "out is NULL");
    INVALID(emotion_llama_session_reset(NULL), "session is NULL");
    INVALID(emotion_llama_live_info(NULL, &text), "live is NULL");
    INVALID(emotion_llama_live_info(live, NULL), "out is NULL");
    CHECK(none == UNTOUCHED(emotion_llama_engine) && stream == UNTOUCHED(emotion_llama_stream));
    CHECK(text == UNTOUCHED(emotion_llama_text) && no_live == UNTOUCHED(emotion_llama_live));
    CHECK(no_session == UNTOUCHED(emotion_llama_session));

    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, NULL, &running));
    INVALID(emotion_llama_stream_next(running, NULL), "out is NULL");
    emotion_llama_stream_free(running);

    /* These have no status: NULL has a value of its own. */
    SUCCEED(emotion_llama_set_log(NULL, NULL, 0));
    emotion_llama_cancel_request(NULL);
    emotion_llama_live_clear(NULL);
    CHECK(!emotion_llama_cancel_requested(NULL));
    CHECK(emotion_llama_text_data(NULL) == NULL && emotion_llama_text_length(NULL) == 0);
    CHECK(emotion_llama_status_code(NULL) == 0);
    CHECK(strcmp(emotion_llama_status_name(NULL), "ok") == 0 && strcmp(emotion_llama_status_message(NULL), "") == 0);
    for (int i = 0; i < 2; i++) {
        emotion_llama_status_free(NULL);
        emotion_llama_text_free(NULL);
        emotion_llama_cancel_free(NULL);
        emotion_llama_stream_free(NULL);
        emotion_llama_live_free(NULL);
        emotion_llama_session_free(NULL);
        emotion_llama_engine_free(NULL);
    }
    emotion_llama_live_free(live);
    emotion_llama_session_free(session);
    emotion_llama_engine_free(engine);
    return 0;
}
