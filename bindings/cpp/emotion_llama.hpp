/*
 * libemotionllama for C++11 and later: handles that free themselves, failures as exceptions, events in a range-for.
 *
 *     emotion_llama::engine engine(R"({"pack": "packs/emotion-llama-mini"})");
 *     std::string analysis = engine.analyze(R"({"path": "clip.mp4"})");
 *     for (const std::string &event : engine.stream(R"({"path": "clip.mp4"})")) std::cout << event << '\n';
 *
 * Requests, results and events are JSON, as emotion_llama.h describes them. Where exceptions are not wanted, use that header.
 * Handles can be moved, not copied; an engine and a cancel token may be used by several threads at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef EMOTION_LLAMA_HPP
#define EMOTION_LLAMA_HPP

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>

#include "emotion_llama.h"

namespace emotion_llama {

/* A failure: `what()` is the sentence for a person, `code()` and `name()` are the same in every release. */
class error : public std::runtime_error {
  public:
    error(std::uint32_t code, std::string name, const std::string &message)
        : std::runtime_error(message), code_(code), name_(std::move(name)) {}

    std::uint32_t code() const noexcept { return code_; }
    const std::string &name() const noexcept { return name_; }

  private:
    std::uint32_t code_;
    std::string name_;
};

namespace detail {

/* Frees a handle with its own function. */
template <typename T, void (*Free)(T *)> struct freed {
    void operator()(T *handle) const noexcept { Free(handle); }
};

template <typename T, void (*Free)(T *)> using handle = std::unique_ptr<T, freed<T, Free>>;

using text = handle<emotion_llama_text, emotion_llama_text_free>;

inline void check(emotion_llama_status *failure) {
    if (failure == nullptr) return;
    handle<emotion_llama_status, emotion_llama_status_free> status(failure);
    throw error(emotion_llama_status_code(failure), emotion_llama_status_name(failure),
                emotion_llama_status_message(failure));
}

inline std::string taken(emotion_llama_text *given) {
    text owned(given);
    return std::string(emotion_llama_text_data(given), emotion_llama_text_length(given));
}

} // namespace detail

/* The version of the library that was loaded. */
inline std::string version() { return emotion_llama_version(); }

/* Stops running work from another thread. */
class cancel_token {
  public:
    cancel_token() {
        emotion_llama_cancel *made = nullptr;
        detail::check(emotion_llama_cancel_new(&made));
        handle_.reset(made);
    }

    void request() const noexcept { emotion_llama_cancel_request(handle_.get()); }
    bool requested() const noexcept { return emotion_llama_cancel_requested(handle_.get()); }
    const emotion_llama_cancel *get() const noexcept { return handle_.get(); }

  private:
    detail::handle<emotion_llama_cancel, emotion_llama_cancel_free> handle_;
};

/* A running analysis. Its events can be gone through once. */
class event_stream {
  public:
    /* An input iterator: it waits for the next event when it is advanced, and throws what the analysis failed with. */
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = std::string;
        using difference_type = std::ptrdiff_t;
        using pointer = const std::string *;
        using reference = const std::string &;

        iterator() = default;
        explicit iterator(event_stream *stream) : stream_(stream) { ++*this; }

        reference operator*() const noexcept { return event_; }
        pointer operator->() const noexcept { return &event_; }
        iterator &operator++() {
            if (stream_ != nullptr && !stream_->next(event_)) stream_ = nullptr;
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator &a, const iterator &b) noexcept { return a.stream_ == b.stream_; }
        friend bool operator!=(const iterator &a, const iterator &b) noexcept { return !(a == b); }

      private:
        event_stream *stream_ = nullptr;
        std::string event_;
    };

    explicit event_stream(emotion_llama_stream *stream) noexcept : handle_(stream) {}

    /* Waits for the next event; false when there is nothing more. */
    bool next(std::string &event) {
        emotion_llama_text *given = nullptr;
        detail::check(emotion_llama_stream_next(handle_.get(), &given));
        if (given == nullptr) return false;
        event = detail::taken(given);
        return true;
    }

    iterator begin() { return iterator(this); }
    iterator end() { return iterator(); }

  private:
    detail::handle<emotion_llama_stream, emotion_llama_stream_free> handle_;
};

/* A loaded model. */
class engine {
  public:
    /* `options` as emotion_llama_engine_open takes them. */
    explicit engine(const std::string &options) {
        emotion_llama_engine *opened = nullptr;
        detail::check(emotion_llama_engine_open(options.c_str(), &opened));
        handle_.reset(opened);
    }

    /* What the engine is and can, as JSON. */
    std::string info() const {
        emotion_llama_text *given = nullptr;
        detail::check(emotion_llama_engine_info(handle_.get(), &given));
        return detail::taken(given);
    }

    /* Analyses the clip that `request` names, or the `size` bytes at `media`, which are copied. */
    std::string analyze(const std::string &request, const cancel_token *cancel = nullptr,
                        const std::uint8_t *media = nullptr, std::size_t size = 0) const {
        emotion_llama_text *given = nullptr;
        detail::check(emotion_llama_analyze(handle_.get(), request.c_str(), media, size, token(cancel), &given));
        return detail::taken(given);
    }

    /* As analyze, on a thread of its own; what goes wrong comes while the events are gone through. */
    event_stream stream(const std::string &request, const cancel_token *cancel = nullptr,
                        const std::uint8_t *media = nullptr, std::size_t size = 0) const {
        emotion_llama_stream *started = nullptr;
        detail::check(
            emotion_llama_analyze_stream(handle_.get(), request.c_str(), media, size, token(cancel), &started));
        return event_stream(started);
    }

  private:
    static const emotion_llama_cancel *token(const cancel_token *cancel) noexcept {
        return cancel == nullptr ? nullptr : cancel->get();
    }

    detail::handle<emotion_llama_engine, emotion_llama_engine_free> handle_;
};

} // namespace emotion_llama

#endif
