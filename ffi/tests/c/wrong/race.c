/* Wrong on purpose: two threads write one number. PROGRAM PACK. */
#include "../check.h"

static int shared;

static void *add(void *unused) {
    for (int i = 0; i < 1000; i++) shared++;
    return unused;
}

int main(int count, char **arguments) {
    pthread_t threads[2];
    emotion_llama_engine *engine;
    CHECK(count == 2);
    snprintf(options, sizeof options, "{\"source\": \"%s\"}", arguments[1]);
    engine = open_engine();
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, add, NULL) == 0);
    for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    emotion_llama_engine_free(engine);
    printf("%d\n", shared);
    return 0;
}
