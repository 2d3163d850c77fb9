/* Says what the person in a clip feels: analyze PACK CLIP */
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
    emotion_llama_text *analysis = NULL;
    int failure;
    if (count != 3) {
        fprintf(stderr, "usage: analyze PACK CLIP\n");
        return 2;
    }
    /* Paths with quotes or backslashes would have to be escaped; a JSON library does that. */
    snprintf(options, sizeof options, "{\"source\": \"%s\"}", arguments[1]);
    snprintf(request, sizeof request, "{\"path\": \"%s\", \"task\": \"reason\"}", arguments[2]);
    failure = failed(emotion_llama_engine_open(options, NULL, NULL, NULL, &engine)) ||
              failed(emotion_llama_analyze(engine, request, NULL, NULL, &analysis));
    if (!failure) puts(emotion_llama_text_data(analysis));
    emotion_llama_text_free(analysis);
    emotion_llama_engine_free(engine);
    return failure;
}
