/* Wrong on purpose: a text is read after it was freed. PROGRAM PACK. */
#include "../check.h"

int main(int count, char **arguments) {
    emotion_llama_engine *engine;
    emotion_llama_text *text = NULL;
    const char *data;
    CHECK(count == 2);
    snprintf(options, sizeof options, "{\"source\": \"%s\"}", arguments[1]);
    engine = open_engine();
    SUCCEED(emotion_llama_engine_info(engine, &text));
    data = emotion_llama_text_data(text);
    emotion_llama_text_free(text);
    putchar(data[0]);
    emotion_llama_engine_free(engine);
    return 0;
}
