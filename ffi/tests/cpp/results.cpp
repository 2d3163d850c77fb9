// The C++ header without exceptions: every call gives a value or says why there is none: PROGRAM PACK CLIP
#include <emotion_llama.hpp>

#include <cstdio>
#include <cstdlib>
#include <type_traits>
#include <vector>

#ifndef EMOTION_LLAMA_NO_EXCEPTIONS
#error "the header did not notice that exceptions are turned off"
#endif

#define CHECK(condition)                                         \
    do {                                                         \
        if (!(condition)) {                                      \
            std::printf("%d: %s\n", __LINE__, #condition);       \
            std::exit(1);                                        \
        }                                                        \
    } while (0)

using namespace emotion_llama;

static_assert(!std::is_copy_constructible<engine>::value && std::is_nothrow_move_constructible<engine>::value, "");
static_assert(!std::is_copy_constructible<session>::value && !std::is_copy_constructible<live>::value, "");

static bool has(const std::string &text, const char *part) { return text.find(part) != std::string::npos; }

static void clips(const engine &model, const std::string &clip) {
    const std::string request = "{\"path\": \"" + clip + "\", \"greedy\": true, \"max_new_tokens\": 24}";
    const result<std::string> analysis = model.try_analyze(request);
    CHECK(analysis && has(*analysis, "\"emotion\":\"angry\""));
    const result<std::string> missing = model.try_analyze("{\"path\": \"/nowhere.mp4\"}");
    CHECK(!missing && missing.why().code == EMOTION_LLAMA_NOT_FOUND && has(missing.why().message, "/nowhere.mp4"));
    const std::uint8_t noise[] = {1, 2, 3};
    const result<std::string> bytes = model.try_analyze("{}", media(noise, sizeof noise));
    CHECK(!bytes && bytes.why().name == "media_undecodable");

    result<event_stream> stream = model.try_stream(request);
    CHECK(stream);
    std::string event, last;
    int events = 0;
    for (;; ++events) {
        const result<bool> more = stream->try_next(event);
        CHECK(more);
        if (!*more) break;
        last = event;
    }
    CHECK(events >= 5 && has(last, "\"type\":\"result\""));

    result<session> talk = model.try_session("{\"path\": \"" + clip + "\"}");
    CHECK(talk && talk->try_ask("{\"task\": \"emotion\", \"max_new_tokens\": 8}"));
    CHECK(talk->try_reset());
    const result<std::string> wrong = talk->try_ask("{\"path\": \"x\"}");
    CHECK(!wrong && wrong.why().name == "invalid_argument");

    result<cancel_token> cancel = cancel_token::try_make();
    CHECK(cancel && !cancel->requested());
    cancel->request();
    const result<std::string> stopped = model.try_analyze(request, media(), &*cancel);
    CHECK(!stopped && stopped.why().name == "cancelled");
}

static void camera(const engine &model) {
    result<live> made = live::try_make("{\"seconds\": 2}");
    CHECK(made && !live::try_make("{\"seconds\": -1}"));
    const live camera = std::move(*made);
    const std::vector<std::uint8_t> grey(64 * 48, 128);
    const std::vector<float> silence(1600);
    for (int i = 0; i < 5; i++) {
        CHECK(camera.try_push(EMOTION_LLAMA_PIXELS_GRAY, 64, 48, grey.data(), 64, i * 0.1));
        CHECK(camera.try_push(silence.data(), silence.size(), 16000, 1, i * 0.1));
    }
    const result<void> refused = camera.try_push(99, 64, 48, grey.data(), 64, 0.5);
    CHECK(!refused && has(refused.why().message, "99"));
    const result<std::string> held = camera.try_info();
    CHECK(held && has(*held, "\"frames\":5"));
    const result<std::string> analysis = model.try_analyze("{\"max_new_tokens\": 8}", media(camera, 1.0));
    CHECK(analysis && has(*analysis, "no_face"));
}

int main(int, char **arguments) {
    std::uint64_t reports = 0;
    const result<engine> none = engine::try_open("{\"source\": \"/nowhere\"}");
    CHECK(!none && none.why().name == "not_found");
    result<engine> model = engine::try_open("{\"source\": \"" + std::string(arguments[1]) + "\"}",
                                            [&](std::uint64_t, std::uint64_t) { return ++reports > 0; });
    CHECK(model && reports > 5);
    const result<std::string> info = model->try_info();
    CHECK(info && has(*info, "\"abi_version\":1") && version().size() >= 5);
    clips(*model, arguments[2]);
    camera(*model);
    return 0;
}
