/*
 * Open, analyse, free, again and again: PROGRAM PACK CLIP CYCLES. Prints the memory in use on the way, which must not grow with the
 * number of cycles; the allocator and the thread pool grow to their size in the first ones.
 */
#include "check.h"
#include <malloc.h>

static void cycle(void) {
    emotion_llama_engine *engine = open_engine();
    emotion_llama_cancel *cancel = NULL;
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *text = NULL;
    emotion_llama_status *status;
    emotion_llama_session *session;
    emotion_llama_live *live = NULL;
    emotion_llama_frame frame = grey_frame(0);
    emotion_llama_samples samples = silence(0);
    emotion_llama_media media;
    SUCCEED(emotion_llama_engine_info(engine, &text));
    emotion_llama_text_free(text);
    free(analyze_clip(engine));
    /* One stream is left in the middle, by a token. */
    SUCCEED(emotion_llama_cancel_new(&cancel));
    SUCCEED(emotion_llama_analyze_stream(engine, request, NULL, cancel, &stream));
    SUCCEED(emotion_llama_stream_next(stream, &text));
    emotion_llama_text_free(text);
    emotion_llama_cancel_request(cancel);
    emotion_llama_cancel_free(cancel);
    while ((status = emotion_llama_stream_next(stream, &text)) == NULL && text != NULL) emotion_llama_text_free(text);
    emotion_llama_status_free(status);
    emotion_llama_stream_free(stream);
    session = begin_session(engine);
    SUCCEED(emotion_llama_session_ask(session, SHORT, NULL, &text));
    emotion_llama_text_free(text);
    emotion_llama_session_free(session);
    SUCCEED(emotion_llama_live_new(NULL, &live));
    media = media_from(live);
    SUCCEED(emotion_llama_live_push_frame(live, &frame));
    SUCCEED(emotion_llama_live_push_samples(live, &samples));
    SUCCEED(emotion_llama_analyze(engine, "{\"max_new_tokens\": 1}", &media, NULL, &text));
    emotion_llama_text_free(text);
    emotion_llama_live_free(live);
    emotion_llama_engine_free(engine);
}

int main(int count, char **arguments) {
    int cycles;
    double began = milliseconds();
    take_arguments(count, arguments);
    CHECK(count == 4 && (cycles = atoi(arguments[3])) > 0);
    for (int i = 1; i <= cycles; i++) {
        cycle();
        if (i == 1 || i == cycles / 10 || i == cycles / 2 || i == cycles) {
            struct mallinfo2 heap = mallinfo2();
            printf("cycle %d: %zu kB allocated, %zu kB resident, %.1f ms a cycle\n", i, heap.uordblks / 1024,
                   resident_bytes() / 1024, (milliseconds() - began) / i);
        }
    }
    return 0;
}
