/*
 * A program that is not linked with the library: PROGRAM LIBRARY PACK CLIP TIMES. Each time it loads the library, checks its ABI,
 * analyses a clip and closes the library.
 *
 * The library is linked with `-z nodelete`: it has threads of its own that wait for work, whose code must not be unmapped under
 * them. So dlclose gives back the handle, the code stays until the process ends, and the next dlopen finds it there.
 */
#include <dlfcn.h>
#include <emotion_llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAKE(name)                                               \
    do {                                                         \
        *(void **)&name = dlsym(library, "emotion_llama_" #name); \
        if (name == NULL) return failed(dlerror());              \
    } while (0)

static int failed(const char *what) {
    fprintf(stderr, "%s\n", what);
    return 1;
}

static int once(const char *path, const char *options, const char *request) {
    uint32_t (*abi_version)(void);
    emotion_llama_status *(*engine_open)(const char *, const emotion_llama_cancel *, emotion_llama_progress_function,
                                         void *, emotion_llama_engine **);
    emotion_llama_status *(*analyze)(const emotion_llama_engine *, const char *, const emotion_llama_media *,
                                     const emotion_llama_cancel *, emotion_llama_text **);
    const char *(*status_message)(const emotion_llama_status *);
    const char *(*text_data)(const emotion_llama_text *);
    void (*status_free)(emotion_llama_status *);
    void (*text_free)(emotion_llama_text *);
    void (*engine_free)(emotion_llama_engine *);
    emotion_llama_engine *engine = NULL;
    emotion_llama_text *text = NULL;
    emotion_llama_status *status;
    int answered;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return failed(dlerror());
    TAKE(abi_version);
    TAKE(engine_open);
    TAKE(analyze);
    TAKE(status_message);
    TAKE(text_data);
    TAKE(status_free);
    TAKE(text_free);
    TAKE(engine_free);
    if (abi_version() != EMOTION_LLAMA_ABI_VERSION) return failed("the library has another ABI than the header");
    status = engine_open(options, NULL, NULL, NULL, &engine);
    if (status == NULL) status = analyze(engine, request, NULL, NULL, &text);
    if (status != NULL) failed(status_message(status));
    answered = status == NULL && strstr(text_data(text), "\"emotion\":") != NULL;
    status_free(status);
    text_free(text);
    engine_free(engine);
    return dlclose(library) == 0 && answered ? 0 : 1;
}

int main(int count, char **arguments) {
    char options[4096], request[4096];
    if (count != 5) return failed("usage: dlopen_consumer LIBRARY PACK CLIP TIMES");
    snprintf(options, sizeof options, "{\"source\": \"%s\"}", arguments[2]);
    snprintf(request, sizeof request, "{\"path\": \"%s\", \"greedy\": true, \"max_new_tokens\": 4}", arguments[3]);
    for (int i = atoi(arguments[4]); i > 0; i--) {
        if (once(arguments[1], options, request) != 0) return 1;
    }
    return 0;
}
