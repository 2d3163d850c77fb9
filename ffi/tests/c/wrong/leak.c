/* Wrong on purpose, so that a tool which is silent elsewhere is known to see it: a text is never freed. PROGRAM PACK. */
#include "../check.h"

int main(int count, char **arguments) {
    emotion_llama_engine *engine;
    emotion_llama_text *text = NULL;
    CHECK(count == 2);
    snprintf(options, sizeof options, "{\"source\": \"%s\"}", arguments[1]);
    engine = open_engine();
    SUCCEED(emotion_llama_engine_info(engine, &text));
    CHECK(emotion_llama_text_length(text) > 0);
    text = NULL;
    emotion_llama_engine_free(engine);
    return 0;
}
