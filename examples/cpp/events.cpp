// Prints what happens while a clip is analysed, and stops it at the first piece of the answer if asked: events PACK CLIP [stop]
#include <emotion_llama.hpp>

#include <iostream>

int main(int count, char **arguments) {
    if (count < 3) {
        std::cerr << "usage: events PACK CLIP [stop]\n";
        return 2;
    }
    try {
        const emotion_llama::engine engine("{\"source\": \"" + std::string(arguments[1]) + "\"}");
        const emotion_llama::cancel_token cancel;
        for (const std::string &event :
             engine.stream("{\"path\": \"" + std::string(arguments[2]) + "\"}", emotion_llama::media(), &cancel)) {
            std::cout << event << std::endl;
            if (count > 3 && event.find("observe") != std::string::npos) cancel.request();
        }
    } catch (const emotion_llama::error &failure) {
        std::cerr << failure.what() << " (" << failure.name() << ")\n";
        return 1;
    }
    return 0;
}
