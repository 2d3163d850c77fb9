/* Seconds that an analysis with its text takes through the C ABI: sdk PACK CLIP THREADS, one for each line that comes in. */
#include <emotion_llama.h>
#include <stdio.h>
#include <time.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int failed(emotion_llama_status *status) {
    if (status == NULL) return 0;
    printf("error: %s\n", emotion_llama_status_message(status));
    emotion_llama_status_free(status);
    return 1;
}

static int analyze(const emotion_llama_engine *engine, const char *request) {
    emotion_llama_stream *stream = NULL;
    emotion_llama_text *event = NULL;
    int failure = failed(emotion_llama_analyze_stream(engine, request, NULL, NULL, &stream));
    while (!failure && !(failure = failed(emotion_llama_stream_next(stream, &event))) && event != NULL)
        emotion_llama_text_free(event);
    emotion_llama_stream_free(stream);
    return failure;
}

int main(int count, char **arguments) {
    char options[4096], request[4096], line[16];
    emotion_llama_engine *engine = NULL;
    if (count != 4) return 2;
    snprintf(options, sizeof options, "{\"source\": \"%s\", \"threads\": %s, \"verify\": false}", arguments[1], arguments[3]);
    snprintf(request, sizeof request, "{\"path\": \"%s\", \"task\": \"reason\", \"greedy\": true}", arguments[2]);
    if (failed(emotion_llama_engine_open(options, NULL, NULL, NULL, &engine))) return 1;
    while (fgets(line, sizeof line, stdin)) {
        double began = now();
        if (analyze(engine, request)) return 1;
        printf("%.6f\n", now() - began);
        fflush(stdout);
    }
    emotion_llama_engine_free(engine);
    return 0;
}
