// Watches a camera and says the emotion when it changes: kiosk PACK WIDTH HEIGHT RATE < frames
//
// The frames are raw: red, green and blue, 3 bytes a pixel, RATE a second, as this command takes them from a camera:
//   ffmpeg -f v4l2 -video_size 640x480 -framerate 15 -i /dev/video0 -f rawvideo -pix_fmt rgb24 - | kiosk PACK 640 480 15
// The camera's loop never waits for the model: an analysis of the last seconds runs beside it, one at a time.
#include <emotion_llama.hpp>

#include <chrono>
#include <future>
#include <iostream>
#include <vector>

namespace {

const double WINDOW_S = 3.0;
const double INTERVAL_S = 1.0;

// The text behind `"key":"`; a JSON library does this better.
std::string field(const std::string &json, const std::string &key) {
    const std::string before = "\"" + key + "\":\"";
    const std::size_t start = json.find(before);
    if (start == std::string::npos) return "";
    const std::size_t from = start + before.size();
    return json.substr(from, json.find('"', from) - from);
}

std::string emotion_of(const emotion_llama::engine &engine, const emotion_llama::live &live) {
    // Nobody speaks to a kiosk's camera here, so speech recognition is left out.
    const char *request = "{\"task\": \"emotion\", \"transcript\": \"none\", \"greedy\": true}";
    const std::string analysis = engine.analyze(request, emotion_llama::media(live, WINDOW_S));
    return analysis.find("\"no_face\"") != std::string::npos ? "nobody" : field(analysis, "emotion");
}

// Prints the answer when it is another one than before.
void tell(std::future<std::string> &answer, std::string &before, double time_s) {
    const std::string now = answer.get();
    if (now != before) std::cout << time_s << " s: " << now << std::endl;
    before = now;
}

void watch(const emotion_llama::engine &engine, unsigned width, unsigned height, double rate) {
    const emotion_llama::live live;
    std::vector<std::uint8_t> pixels(std::size_t(3) * width * height);
    std::future<std::string> answer;
    std::string before;
    double time_s = 0, due_s = INTERVAL_S;
    const auto analyse = [&] { return emotion_of(engine, live); };
    for (unsigned frame = 0; std::cin.read(reinterpret_cast<char *>(pixels.data()), std::streamsize(pixels.size())); ++frame) {
        time_s = frame / rate;
        live.push(EMOTION_LLAMA_PIXELS_RGB, width, height, pixels.data(), std::size_t(3) * width, time_s);
        const bool ready = answer.valid() && answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
        if (ready) tell(answer, before, time_s);
        if (!answer.valid() && time_s >= due_s) {
            answer = std::async(std::launch::async, analyse);
            due_s = time_s + INTERVAL_S;
        }
    }
    if (answer.valid()) tell(answer, before, time_s);
    answer = std::async(std::launch::async, analyse);
    tell(answer, before, time_s);
    std::cout << "last seen: " << before << std::endl;
}

} // namespace

int main(int count, char **arguments) {
    if (count != 5) {
        std::cerr << "usage: kiosk PACK WIDTH HEIGHT RATE < frames\n";
        return 2;
    }
    try {
        const emotion_llama::engine engine("{\"source\": \"" + std::string(arguments[1]) + "\"}");
        watch(engine, unsigned(std::stoul(arguments[2])), unsigned(std::stoul(arguments[3])), std::stod(arguments[4]));
    } catch (const emotion_llama::error &failure) {
        std::cerr << failure.what() << " (" << failure.name() << ")\n";
        return 1;
    } catch (const std::exception &failure) {
        std::cerr << failure.what() << "\n";
        return 2;
    }
    return 0;
}
