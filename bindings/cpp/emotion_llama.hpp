/*
 * libemotionllama for C++11 and later: handles that free themselves, failures as exceptions or as values, events in a range-for.
 *
 *     emotion_llama::engine engine(R"({"source": "packs/emotion-llama-mini"})");
 *     std::string analysis = engine.analyze(R"({"path": "clip.mp4"})");
 *     for (const std::string &event : engine.stream(R"({"path": "clip.mp4"})")) std::cout << event << '\n';
 *
 * Every call that can fail comes twice. `engine.analyze(…)` throws `emotion_llama::error`; `engine.try_analyze(…)` throws nothing and gives a
 * `result`, which holds the value or the failure. Where exceptions are turned off, or EMOTION_LLAMA_NO_EXCEPTIONS is defined, only
 * the second kind is there.
 *
 * Requests, results and events are JSON, as emotion_llama.h describes them. Handles can be moved, not copied. An engine, a live buffer
 * and a cancel token may be used by several threads at once, a session by one at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef EMOTION_LLAMA_HPP
#define EMOTION_LLAMA_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "emotion_llama.h"

#if !defined(EMOTION_LLAMA_NO_EXCEPTIONS) && !defined(__cpp_exceptions) && !defined(__EXCEPTIONS) && !defined(_CPPUNWIND)
#define EMOTION_LLAMA_NO_EXCEPTIONS
#endif
#ifndef EMOTION_LLAMA_NO_EXCEPTIONS
#include <stdexcept>
#endif

namespace emotion_llama {

/* Why a call failed. `code` and `name` are the same in every release; `message` is a sentence for a person. */
struct failure {
    std::uint32_t code;
    std::string name;
    std::string message;
};

#ifndef EMOTION_LLAMA_NO_EXCEPTIONS
/* A failure as an exception. */
class error : public std::runtime_error {
  public:
    explicit error(failure why) : std::runtime_error(why.message), why_(std::move(why)) {}

    std::uint32_t code() const noexcept { return why_.code; }
    const std::string &name() const noexcept { return why_.name; }
    const failure &why() const noexcept { return why_; }

  private:
    failure why_;
};
#endif

/* A value, or why there is none. `*` and `->` are for where there is one, `why` for where there is none; `value` throws instead. */
template <typename T> class result {
  public:
    result(T value) : value_(new T(std::move(value))) {}
    result(failure why) : why_(new failure(std::move(why))) {}

    explicit operator bool() const noexcept { return value_ != nullptr; }
    T &operator*() noexcept { return *value_; }
    const T &operator*() const noexcept { return *value_; }
    T *operator->() noexcept { return value_.get(); }
    const T *operator->() const noexcept { return value_.get(); }
    const failure &why() const noexcept { return *why_; }

#ifndef EMOTION_LLAMA_NO_EXCEPTIONS
    T value() && {
        if (why_) throw error(*why_);
        return std::move(*value_);
    }
#endif

  private:
    std::unique_ptr<T> value_;
    std::unique_ptr<failure> why_;
};

/* Nothing, or why it failed. */
template <> class result<void> {
  public:
    result() = default;
    result(failure why) : why_(new failure(std::move(why))) {}

    explicit operator bool() const noexcept { return why_ == nullptr; }
    const failure &why() const noexcept { return *why_; }

#ifndef EMOTION_LLAMA_NO_EXCEPTIONS
    void value() && {
        if (why_) throw error(*why_);
    }
#endif

  private:
    std::unique_ptr<failure> why_;
};

namespace detail {

/* Frees a handle with its own function. */
template <typename T, void (*Free)(T *)> struct freed {
    void operator()(T *handle) const noexcept { Free(handle); }
};

template <typename T, void (*Free)(T *)> using handle = std::unique_ptr<T, freed<T, Free>>;

inline failure told(emotion_llama_status *given) {
    handle<emotion_llama_status, emotion_llama_status_free> status(given);
    return failure{emotion_llama_status_code(given), emotion_llama_status_name(given), emotion_llama_status_message(given)};
}

inline result<void> done(emotion_llama_status *given) {
    if (given != nullptr) return told(given);
    return result<void>();
}

inline std::string taken(emotion_llama_text *given) {
    handle<emotion_llama_text, emotion_llama_text_free> text(given);
    return std::string(emotion_llama_text_data(given), emotion_llama_text_length(given));
}

/* What `call` writes to the place that it is given, as a `T`. */
template <typename T, typename Handle, typename Call> result<T> made(Call call) {
    Handle *out = nullptr;
    emotion_llama_status *status = call(&out);
    if (status != nullptr) return told(status);
    return T(out);
}

template <typename Call> result<std::string> text(Call call) {
    emotion_llama_text *out = nullptr;
    emotion_llama_status *status = call(&out);
    if (status != nullptr) return told(status);
    return taken(out);
}

} // namespace detail

/* The version of the library that was loaded. */
inline std::string version() { return emotion_llama_version(); }

/* How many threads each call computes with, for engines that are opened later; 0 for one per processor. */
inline void set_thread_count(std::uint32_t threads) noexcept { emotion_llama_set_thread_count(threads); }

/* Stops running work from another thread. */
class cancel_token {
  public:
    explicit cancel_token(emotion_llama_cancel *taken) noexcept : handle_(taken) {}

    static result<cancel_token> try_make() {
        return detail::made<cancel_token, emotion_llama_cancel>(
            [](emotion_llama_cancel **out) { return emotion_llama_cancel_new(out); });
    }

#ifndef EMOTION_LLAMA_NO_EXCEPTIONS
    cancel_token() : cancel_token(try_make().value()) {}
#endif

    void request() const noexcept { emotion_llama_cancel_request(handle_.get()); }
    bool requested() const noexcept { return emotion_llama_cancel_requested(handle_.get()); }
    const emotion_llama_cancel *get() const noexcept { return handle_.get(); }

  private:
    detail::handle<emotion_llama_cancel, emotion_llama_cancel_free> handle_;
};

/* The last seconds of a camera and a microphone. */
class live {
  public:
    explicit live(emotion_llama_live *taken) noexcept : handle_(taken) {}

    /* `options` as emotion_llama_live_new takes them. */
    static result<live> try_make(const std::string &options = "{}") {
        return detail::made<live, emotion_llama_live>(
            [&](emotion_llama_live **out) { return emotion_llama_live_new(options.c_str(), out); });
    }

    /* A picture of one plane. `stride` is the bytes from one row to the next. */
    result<void> try_push(std::uint32_t format, std::uint32_t width, std::uint32_t height, const std::uint8_t *pixels,
                          std::size_t stride, double time_s) const {
        emotion_llama_frame frame = emotion_llama_frame();
        frame.size = sizeof frame;
        frame.format = format;
        frame.width = width;
        frame.height = height;
        frame.time_s = time_s;
        frame.planes[0] = pixels;
        frame.strides[0] = stride;
        frame.lengths[0] = stride * height;
        return try_push(frame);
    }

    /* A picture of any format; the size is set here. */
    result<void> try_push(emotion_llama_frame frame) const {
        frame.size = sizeof frame;
        return detail::done(emotion_llama_live_push_frame(handle_.get(), &frame));
    }

    /* `count` interleaved samples over all channels. */
    result<void> try_push(const std::int16_t *samples, std::size_t count, std::uint32_t rate, std::uint32_t channels,
                          double time_s) const {
        return push_samples(EMOTION_LLAMA_SAMPLES_I16, samples, count, rate, channels, time_s);
    }

    result<void> try_push(const float *samples, std::size_t count, std::uint32_t rate, std::uint32_t channels,
                          double time_s) const {
        return push_samples(EMOTION_LLAMA_SAMPLES_F32, samples, count, rate, channels, time_s);
    }

    /* What is held, as JSON. */
    result<std::string> try_info() const {
        return detail::text([&](emotion_llama_text **out) { return emotion_llama_live_info(handle_.get(), out); });
    }

    void clear() const noexcept { emotion_llama_live_clear(handle_.get()); }
    const emotion_llama_live *get() const noexcept { return handle_.get(); }

#ifndef EMOTION_LLAMA_NO_EXCEPTIONS
    live() : live(try_make().value()) {}
    explicit live(const std::string &options) : live(try_make(options).value()) {}
    template <typename... Arguments> void push(const Arguments &...arguments) const { try_push(arguments...).value(); }
    std::string info() const { return try_info().value(); }
#endif

  private:
    result<void> push_samples(std::uint32_t format, const void *data, std::size_t count, std::uint32_t rate,
                              std::uint32_t channels, double time_s) const {
        emotion_llama_samples samples = emotion_llama_samples();
        samples.size = sizeof samples;
        samples.format = format;
        samples.rate = rate;
        samples.channels = channels;
        samples.time_s = time_s;
        samples.data = data;
        samples.count = count;
        return detail::done(emotion_llama_live_push_samples(handle_.get(), &samples));
    }

    detail::handle<emotion_llama_live, emotion_llama_live_free> handle_;
};

/* A clip that is not a file. What it is made of must live until the call that is given it returns. */
class media {
  public:
    /* No media: the request names a file. */
    media() noexcept : media_() {}

    /* The bytes of a video, sound or picture file. */
    media(const std::uint8_t *data, std::size_t length) noexcept : media_() {
        media_.size = sizeof media_;
        media_.data = data;
        media_.length = length;
    }

    /* The last `seconds` of a live buffer; 0 for all it holds. */
    media(const live &buffer, double seconds) noexcept : media_() {
        media_.size = sizeof media_;
        media_.live = buffer.get();
        media_.seconds = seconds;
    }

    const emotion_llama_media *get() const noexcept { return media_.size == 0 ? nullptr : &media_; }

  private:
    emotion_llama_media media_;
};

/* A running analysis. Its events can be gone through once. */
class event_stream {
  public:
    explicit event_stream(emotion_llama_stream *taken) noexcept : handle_(taken) {}

    /* Waits for the next event; false when there is nothing more. */
    result<bool> try_next(std::string &event) {
        emotion_llama_text *given = nullptr;
        emotion_llama_status *status = emotion_llama_stream_next(handle_.get(), &given);
        if (status != nullptr) return detail::told(status);
        if (given == nullptr) return false;
        event = detail::taken(given);
        return true;
    }

#ifndef EMOTION_LLAMA_NO_EXCEPTIONS
    bool next(std::string &event) { return try_next(event).value(); }

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

    iterator begin() { return iterator(this); }
    iterator end() { return iterator(); }
#endif

  private:
    detail::handle<emotion_llama_stream, emotion_llama_stream_free> handle_;
};

/* A conversation about one clip. */
class session {
  public:
    explicit session(emotion_llama_session *taken) noexcept : handle_(taken) {}

    /* Asks a question, as emotion_llama_session_ask takes it. */
    result<std::string> try_ask(const std::string &request, const cancel_token *cancel = nullptr) const {
        return detail::text([&](emotion_llama_text **out) {
            return emotion_llama_session_ask(handle_.get(), request.c_str(), cancel ? cancel->get() : nullptr, out);
        });
    }

    /* As try_ask, on a thread of its own. */
    result<event_stream> try_stream(const std::string &request, const cancel_token *cancel = nullptr) const {
        return detail::made<event_stream, emotion_llama_stream>([&](emotion_llama_stream **out) {
            return emotion_llama_session_ask_stream(handle_.get(), request.c_str(), cancel ? cancel->get() : nullptr, out);
        });
    }

    /* Forgets what was asked and answered; the clip stays. */
    result<void> try_reset() const { return detail::done(emotion_llama_session_reset(handle_.get())); }

#ifndef EMOTION_LLAMA_NO_EXCEPTIONS
    std::string ask(const std::string &request, const cancel_token *cancel = nullptr) const {
        return try_ask(request, cancel).value();
    }
    event_stream stream(const std::string &request, const cancel_token *cancel = nullptr) const {
        return try_stream(request, cancel).value();
    }
    void reset() const { try_reset().value(); }
#endif

  private:
    detail::handle<emotion_llama_session, emotion_llama_session_free> handle_;
};

/* A model: loaded here, or of a running server. */
class engine {
  public:
    /* Told how far a load is, in bytes; stops it by giving false. Must not throw. */
    using progress = std::function<bool(std::uint64_t done, std::uint64_t total)>;

    explicit engine(emotion_llama_engine *taken) noexcept : handle_(taken) {}

    /* `options` as emotion_llama_engine_open takes them. */
    static result<engine> try_open(const std::string &options, const progress &report = nullptr,
                                   const cancel_token *cancel = nullptr) {
        return detail::made<engine, emotion_llama_engine>([&](emotion_llama_engine **out) {
            void *userdata = const_cast<progress *>(&report);
            return emotion_llama_engine_open(options.c_str(), token(cancel), report ? told : nullptr, userdata, out);
        });
    }

    /* What the engine is and can, as JSON. */
    result<std::string> try_info() const {
        return detail::text([&](emotion_llama_text **out) { return emotion_llama_engine_info(handle_.get(), out); });
    }

    /* Analyses the clip that `request` names, or `clip`. */
    result<std::string> try_analyze(const std::string &request, const media &clip = media(),
                                    const cancel_token *cancel = nullptr) const {
        return detail::text([&](emotion_llama_text **out) {
            return emotion_llama_analyze(handle_.get(), request.c_str(), clip.get(), token(cancel), out);
        });
    }

    /* As try_analyze, on a thread of its own; what goes wrong comes while the events are gone through. */
    result<event_stream> try_stream(const std::string &request, const media &clip = media(),
                                    const cancel_token *cancel = nullptr) const {
        return detail::made<event_stream, emotion_llama_stream>([&](emotion_llama_stream **out) {
            return emotion_llama_analyze_stream(handle_.get(), request.c_str(), clip.get(), token(cancel), out);
        });
    }

    /* Begins a conversation about a clip. */
    result<class session> try_session(const std::string &request, const media &clip = media(),
                                      const cancel_token *cancel = nullptr) const {
        return detail::made<class session, emotion_llama_session>([&](emotion_llama_session **out) {
            return emotion_llama_session_new(handle_.get(), request.c_str(), clip.get(), token(cancel), out);
        });
    }

#ifndef EMOTION_LLAMA_NO_EXCEPTIONS
    explicit engine(const std::string &options, const progress &report = nullptr, const cancel_token *cancel = nullptr)
        : engine(try_open(options, report, cancel).value()) {}
    std::string info() const { return try_info().value(); }
    std::string analyze(const std::string &request, const media &clip = media(),
                        const cancel_token *cancel = nullptr) const {
        return try_analyze(request, clip, cancel).value();
    }
    event_stream stream(const std::string &request, const media &clip = media(),
                        const cancel_token *cancel = nullptr) const {
        return try_stream(request, clip, cancel).value();
    }
    class session session(const std::string &request, const media &clip = media(),
                          const cancel_token *cancel = nullptr) const {
        return try_session(request, clip, cancel).value();
    }
#endif

  private:
    static const emotion_llama_cancel *token(const cancel_token *cancel) noexcept {
        return cancel == nullptr ? nullptr : cancel->get();
    }

    static bool told(void *userdata, std::uint64_t done, std::uint64_t total) {
        return (*static_cast<const progress *>(userdata))(done, total);
    }

    detail::handle<emotion_llama_engine, emotion_llama_engine_free> handle_;
};

/*
 * Takes what the library logs, up to a level, from any thread. One for the process; NULL turns the log off. For a function with state use
 * emotion_llama_set_log.
 */
inline result<void> try_set_log(emotion_llama_log_function function, void *userdata, std::uint32_t level) {
    return detail::done(emotion_llama_set_log(function, userdata, level));
}

} // namespace emotion_llama

#endif
