/* Prints what happens while a clip is analysed, as it happens: stream PACK CLIP */
#include <emotion_llama.h>
#include <stdio.h>

static int failed(emotion_llama_status *status) {
    if (status == NULL) return 0;
    fprintf(stderr, "%s (%s)\n", emotion_llama_status_message(status), emotion_llama_status_name(status));
    emotion_llama_status_free(status);
    return 1;
}

int main(int count, char **arguments) {
    char options[2048], request[2048];
    emotion_llama_engine *engine = NULL;
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *event = NULL;
    int failure;
    if (count != 3) {
        fprintf(stderr, "usage: stream PACK CLIP\n");
        return 2;
    }
    snprintf(options, sizeof options, "{\"source\": \"%s\"}", arguments[1]);
    snprintf(request, sizeof request, "{\"path\": \"%s\", \"task\": \"reason\"}", arguments[2]);
    failure = failed(emotion_llama_engine_open(options, NULL, NULL, NULL, &engine)) ||
              failed(emotion_llama_analyze_stream(engine, request, NULL, NULL, &stream));
    while (!failure && !(failure = failed(emotion_llama_stream_next(stream, &event))) && event != NULL) {
        puts(emotion_llama_text_data(event));
        emotion_llama_text_free(event);
    }
    emotion_llama_stream_free(stream);
    emotion_llama_engine_free(engine);
    return failure;
}
