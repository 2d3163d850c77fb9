/*
 * libemotionllama: what a person in a clip feels, and what shows it.
 *
 * - Handles are opaque. Each has one _free, which accepts NULL. Options and results are UTF-8 JSON.
 * - A call that can fail returns a status: NULL is success, anything else is freed with emotion_llama_status_free.
 *   Out-parameters are written on success only.
 * - Every function may be called from any thread. A handle may be used by several threads at once unless its
 *   functions say otherwise, but it must not be freed while a call that was given it has yet to begin.
 * - No call unwinds into, aborts or exits the calling program.
 *
 * This file is generated from ffi/src. SPDX-License-Identifier: Apache-2.0
 */

#ifndef EMOTION_LLAMA_H
#define EMOTION_LLAMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 The number of this ABI. It grows when a function or a type changes in a way that programs built before would notice; the
 SONAME ends with it. Since 0.1.
 */
#define EMOTION_LLAMA_ABI_VERSION 1

/*
 A pixel format: 3 bytes a pixel, red first; one plane. Since 0.1.
 */
#define EMOTION_LLAMA_PIXELS_RGB 1

/*
 A pixel format: 3 bytes a pixel, blue first; one plane. Since 0.1.
 */
#define EMOTION_LLAMA_PIXELS_BGR 2

/*
 A pixel format: 4 bytes a pixel, red first, then alpha, which is dropped; one plane. Since 0.1.
 */
#define EMOTION_LLAMA_PIXELS_RGBA 3

/*
 A pixel format: 4 bytes a pixel, blue first, then alpha, which is dropped; one plane. Since 0.1.
 */
#define EMOTION_LLAMA_PIXELS_BGRA 4

/*
 A pixel format: a plane of luma, and one with a blue and a red chroma byte for every 2 x 2 pixels; two planes. Since 0.1.
 */
#define EMOTION_LLAMA_PIXELS_NV12 5

/*
 A pixel format: a plane of luma, one of blue and one of red chroma with a byte for every 2 x 2 pixels; three planes. Since 0.1.
 */
#define EMOTION_LLAMA_PIXELS_I420 6

/*
 A pixel format: 1 byte a pixel; one plane. Since 0.1.
 */
#define EMOTION_LLAMA_PIXELS_GRAY 7

/*
 A sample format: 16-bit signed integers in the machine's byte order. Since 0.1.
 */
#define EMOTION_LLAMA_SAMPLES_I16 1

/*
 A sample format: 32-bit floats in the machine's byte order, full scale 1. Since 0.1.
 */
#define EMOTION_LLAMA_SAMPLES_F32 2

/*
 A level of the log: something failed, although no call may have. Since 0.1.
 */
#define EMOTION_LLAMA_LOG_ERROR 1

/*
 A level of the log: something is not as it should be. Since 0.1.
 */
#define EMOTION_LLAMA_LOG_WARN 2

/*
 A level of the log: what happens, in broad strokes. Since 0.1.
 */
#define EMOTION_LLAMA_LOG_INFO 3

/*
 A level of the log: what happens, for those who look for a mistake. Since 0.1.
 */
#define EMOTION_LLAMA_LOG_DEBUG 4

/*
 A level of the log: everything. Since 0.1.
 */
#define EMOTION_LLAMA_LOG_TRACE 5

/*
 A status code: an option or argument has a value that cannot be used. Since 0.1.
 */
#define EMOTION_LLAMA_INVALID_ARGUMENT 1

/*
 A status code: the input is not media that can be decoded. Since 0.1.
 */
#define EMOTION_LLAMA_MEDIA_UNDECODABLE 2

/*
 A status code: the input goes beyond a limit. Since 0.1.
 */
#define EMOTION_LLAMA_MEDIA_TOO_LARGE 3

/*
 A status code: a file or pack that was named is not there. Since 0.1.
 */
#define EMOTION_LLAMA_NOT_FOUND 4

/*
 A status code: a pack is there but cannot be used. Since 0.1.
 */
#define EMOTION_LLAMA_PACK_INVALID 5

/*
 A status code: memory or threads ran out. Since 0.1.
 */
#define EMOTION_LLAMA_OUT_OF_MEMORY 6

/*
 A status code: too much is already running; try again. Since 0.1.
 */
#define EMOTION_LLAMA_OVERLOADED 7

/*
 A status code: the caller cancelled the work. Since 0.1.
 */
#define EMOTION_LLAMA_CANCELLED 8

/*
 A status code: the work took longer than the caller allowed. Since 0.1.
 */
#define EMOTION_LLAMA_TIMEOUT 9

/*
 A status code: a defect in the library. Since 0.1.
 */
#define EMOTION_LLAMA_INTERNAL 10

/*
 A status code: a server cannot be reached, or is none. Since 0.1.
 */
#define EMOTION_LLAMA_UNREACHABLE 11

/*
 A flag that stops running work from another thread. Counts its references: work that was given a token keeps it alive. Freed
 with `emotion_llama_cancel_free`. Since 0.1.
 */
typedef struct emotion_llama_cancel emotion_llama_cancel;

/*
 A loaded model. May be used by any number of threads at once. Counts its references: a call, stream or session that runs keeps the
 model alive when the handle is freed. Freed with `emotion_llama_engine_free`. Since 0.1.
 */
typedef struct emotion_llama_engine emotion_llama_engine;

/*
 The last seconds of a camera and a microphone. May be used by several threads at once: a camera's, a microphone's, and one that analyses.
 Counts its references: an analysis that was given it keeps it. Freed with `emotion_llama_live_free`. Since 0.1.
 */
typedef struct emotion_llama_live emotion_llama_live;

/*
 A conversation about one clip, which is decoded and read once. Answers one question at a time. Counts its references: a question that
 is being answered keeps it. Freed with `emotion_llama_session_free`. Since 0.1.
 */
typedef struct emotion_llama_session emotion_llama_session;

/*
 Why a call failed: a number, a name and a sentence. Immutable; may be read by several threads. Freed with
 `emotion_llama_status_free`. Since 0.1.
 */
typedef struct emotion_llama_status emotion_llama_status;

/*
 A running analysis. Several threads may fetch events; each event goes to one of them. Freed with `emotion_llama_stream_free`. Since 0.1.
 */
typedef struct emotion_llama_stream emotion_llama_stream;

/*
 UTF-8 text that a call gave, JSON unless said otherwise. Immutable; may be read by several threads. Freed with
 `emotion_llama_text_free`. Since 0.1.
 */
typedef struct emotion_llama_text emotion_llama_text;

/*
 Told how far a load is: `done` of `total` bytes, growing, the last time with both equal. Called on the thread that called
 `emotion_llama_engine_open`. Returning false stops the load. It must not throw. Since 0.1.
 */
typedef bool (*emotion_llama_progress_function)(void *userdata, uint64_t done, uint64_t total);

/*
 A clip that is not a file: its bytes, or the last seconds of a live buffer. Set everything that is not named to 0. Since 0.1.
 */
typedef struct emotion_llama_media {
  /*
   Bytes of this struct: `sizeof(emotion_llama_media)`.
   */
  size_t size;
  /*
   The bytes of a video, sound or picture file, or NULL. They are copied.
   */
  const uint8_t *data;
  /*
   How many bytes there are at `data`.
   */
  size_t length;
  /*
   A live buffer in place of bytes, or NULL. What is pushed to it later does not count.
   */
  const struct emotion_llama_live *live;
  /*
   How many of the last seconds of the live buffer the clip has; 0 for all it holds.
   */
  double seconds;
} emotion_llama_media;

/*
 One picture as a camera gives it. Set everything that is not named to 0. Since 0.1.

 NV12 and I420 are taken for limited range, by BT.709 when the shorter side has 720 pixels or more, otherwise by BT.601.
 */
typedef struct emotion_llama_frame {
  /*
   Bytes of this struct: `sizeof(emotion_llama_frame)`.
   */
  size_t size;
  /*
   How the pixels lie: one of `EMOTION_LLAMA_PIXELS_…`.
   */
  uint32_t format;
  /*
   Width in pixels, 1 to 16384.
   */
  uint32_t width;
  /*
   Height in pixels, 1 to 16384.
   */
  uint32_t height;
  /*
   0.
   */
  uint32_t reserved;
  /*
   When it was taken, in seconds, on the clock that the sound has too. Any clock that does not go back will do.
   */
  double time_s;
  /*
   The first byte of the uppermost row of each plane that the format has.
   */
  const uint8_t *planes[3];
  /*
   Bytes from the start of one row to the start of the next, for each plane.
   */
  size_t strides[3];
  /*
   Bytes that may be read at each plane; the last row may end where its pixels do.
   */
  size_t lengths[3];
} emotion_llama_frame;

/*
 A piece of sound as a microphone gives it, of any length. Set everything that is not named to 0. Since 0.1.
 */
typedef struct emotion_llama_samples {
  /*
   Bytes of this struct: `sizeof(emotion_llama_samples)`.
   */
  size_t size;
  /*
   The type of a sample: one of `EMOTION_LLAMA_SAMPLES_…`.
   */
  uint32_t format;
  /*
   Samples per second and channel, in hertz, 1000 to 384000.
   */
  uint32_t rate;
  /*
   Channels, 1 to 64; their mean is heard.
   */
  uint32_t channels;
  /*
   0.
   */
  uint32_t reserved;
  /*
   When the first sample was taken, in seconds, on the clock that the pictures have too.
   */
  double time_s;
  /*
   The samples of all channels by turns (interleaved), at any address.
   */
  const void *data;
  /*
   How many samples there are over all channels, a multiple of `channels`.
   */
  size_t count;
} emotion_llama_samples;

/*
 Takes one message of the log: its level (`EMOTION_LLAMA_LOG_…`), the part of the library that it comes from, and the text. Both strings
 are UTF-8, NUL-terminated, and live until the function returns. It is called from any thread, from several at once. It must not
 throw. What it calls in this library is not logged. Since 0.1.
 */
typedef void (*emotion_llama_log_function)(void *userdata,
                                           uint32_t level,
                                           const char *target,
                                           const char *message);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The ABI number of the library that was loaded; compare it with `EMOTION_LLAMA_ABI_VERSION`. Never fails. Since 0.1.
 */
uint32_t emotion_llama_abi_version(void);

/*
 The version of the library, for example `"0.1.0"`: static, NUL-terminated, not to be freed. Never NULL. Since 0.1.
 */
const char *emotion_llama_version(void);

/*
 Makes a token that is not cancelled and writes it to `*out`. Since 0.1.

 The caller sees to it that:
 `out` points at a place for a pointer. NULL is `invalid_argument`.
 */
struct emotion_llama_status *emotion_llama_cancel_new(struct emotion_llama_cancel **out);

/*
 Asks all work that was given `cancel` to stop: it returns `cancelled`, within about 100 ms. Cannot be undone; may be called from
 any thread, and again. Does nothing for NULL. Since 0.1.

 The caller sees to it that:
 `cancel` is NULL or a token that was not freed.
 */
void emotion_llama_cancel_request(const struct emotion_llama_cancel *cancel);

/*
 Whether `emotion_llama_cancel_request` was called. False for NULL. Since 0.1.

 The caller sees to it that:
 As for `emotion_llama_cancel_request`.
 */
bool emotion_llama_cancel_requested(const struct emotion_llama_cancel *cancel);

/*
 Frees a token; work that was given it goes on. NULL is allowed. Since 0.1.

 The caller sees to it that:
 `cancel` is NULL, or a token that was not freed and that no call is being given.
 */
void emotion_llama_cancel_free(struct emotion_llama_cancel *cancel);

/*
 Sets how many threads each call computes with, for engines that are opened later and whose options do not say `threads`. 0, as in the
 beginning, is one per processor. Beyond 1024 opening fails. Since 0.1.
 */
void emotion_llama_set_thread_count(uint32_t threads);

/*
 Loads a pack, or finds a running server, and writes the engine to `*out`. Takes seconds for large packs; without a server's address
 nothing is asked of a network.

 `options` is a JSON object: `source`, a pack's directory, a pack's name or a server's address (`http://…`, `https://…`), is required. For
 packs: `search`, the directories in which names are looked for; `verify`, whether the files' checksums are compared (default true);
 `threads`, how many each call computes with (default as `emotion_llama_set_thread_count` says); `device`, where: `auto` (a graphics
 processor if one can be used, the default), `cpu`, `cuda`, `cuda:NUMBER` or `cuda:UUID`. For servers: `api_key`; `timeout_s` for a
 whole call (default 600) and `connect_timeout_s` (default 10); `ca_file`, PEM certificates to trust in place of the usual ones;
 `upload`, `auto` (files that can be read here are sent, the default) or `never` (every path is the server's). Options for the other
 kind of source are passed over. `cancel` may be NULL, `progress` too, which packs report to; `userdata` is handed to it as it is.

 Fails with `invalid_argument`, `not_found`, `pack_invalid`, `out_of_memory` or `cancelled`, with a server also with `unreachable`,
 `timeout`, `overloaded` or `internal`. Since 0.1.

 The caller sees to it that:
 `options` is NUL-terminated; `cancel` was not freed; `out` points at a place for a pointer. NULL for `options` or `out` is
 `invalid_argument`.
 */
struct emotion_llama_status *emotion_llama_engine_open(const char *options,
                                                       const struct emotion_llama_cancel *cancel,
                                                       emotion_llama_progress_function progress,
                                                       void *userdata,
                                                       struct emotion_llama_engine **out);

/*
 Writes what the engine is and can to `*out`: a JSON object with `version` and `abi_version` of this library, `pack` (`name`, `version`,
 `digest`, `format_version`, `architecture`, `description`), `labels`, `tasks`, `devices` and `threads`; of a server what it says of these, and
 `url` and `protocol` (`v1`, `gradio` or `fastapi`). Since 0.1.

 The caller sees to it that:
 `engine` was not freed; `out` points at a place for a pointer. NULL is `invalid_argument`.
 */
struct emotion_llama_status *emotion_llama_engine_info(const struct emotion_llama_engine *engine,
                                                       struct emotion_llama_text **out);

/*
 Analyses one clip, waits for the result and writes it to `*out`: a JSON object with `response`, `emotion`, `confidence`,
 `probabilities`, `explanation`, `transcript`, `faces`, `frame`, `cues`, `usage`, `timings_ms`,
 `time_to_label_ms`, `model` and `notes`.

 `request` is a JSON object: `path`, `task` (`emotion` or `reason`), `prompt`, `transcript` (`auto`, `none` or the words), `labels`, `frame`
 (`peak`, `first`, `middle` or seconds), `prompt_path`, `features`, `max_new_tokens`, `temperature`, `top_p`, `top_k`,
 `repetition_penalty`, `seed`, `greedy`, `limits`. All may be left out. The clip is the file at `path`, or else what `media` holds, which
 may be NULL; with a live buffer there are no `limits`. `cancel` may be NULL.

 With a published server (Gradio, FastAPI) `confidence` is null, and a note in the result names what it does not take.

 Fails with `invalid_argument`, `not_found`, `media_undecodable`, `media_too_large`, `pack_invalid`, `out_of_memory` or `cancelled`, with a
 server also with `unreachable`, `timeout`, `overloaded` or `internal`. Since 0.1.

 The caller sees to it that:
 `engine` and `cancel` were not freed; `request` is NUL-terminated; `media` begins with its size, its `data` can be read for its
 `length` and its `live` was not freed; `out` points at a place for a pointer. NULL elsewhere is `invalid_argument`.
 */
struct emotion_llama_status *emotion_llama_analyze(const struct emotion_llama_engine *engine,
                                                   const char *request,
                                                   const struct emotion_llama_media *media,
                                                   const struct emotion_llama_cancel *cancel,
                                                   struct emotion_llama_text **out);

/*
 Frees the handle; what runs goes on and keeps the model until it is done. NULL is allowed. Since 0.1.

 The caller sees to it that:
 `engine` is NULL, or an engine that was not freed and that no call is being given.
 */
void emotion_llama_engine_free(struct emotion_llama_engine *engine);

/*
 Makes an empty buffer for pictures and sound and writes it to `*out`.

 `options` is a JSON object, or NULL for the defaults: `seconds` that are kept (0.1 to 120, default 10), `max_side` (pictures are scaled
 down so that the longer side has at most so many pixels, 16 to 8192, default 1280), `max_frames_per_second` (pictures that come
 faster are left out, 0.1 to 240, default 15).

 Fails with `invalid_argument`. Since 0.1.

 The caller sees to it that:
 `options` is NULL or NUL-terminated; `out` points at a place for a pointer. NULL there is `invalid_argument`.
 */
struct emotion_llama_status *emotion_llama_live_new(const char *options,
                                                    struct emotion_llama_live **out);

/*
 Takes one picture, or leaves it out when pictures come faster than `max_frames_per_second`. Its memory is not used after the call.

 Fails with `invalid_argument` when format, size, planes or time stamp cannot be used, `media_too_large` or `out_of_memory`; the
 buffer is as before then. Since 0.1.

 The caller sees to it that:
 `live` was not freed; `frame` begins with its size, and its planes can be read for their lengths. NULL is `invalid_argument`.
 */
struct emotion_llama_status *emotion_llama_live_push_frame(const struct emotion_llama_live *live,
                                                           const struct emotion_llama_frame *frame);

/*
 Takes a piece of sound. Pieces that follow each other become one sound without seams; a gap of more than 0.1 s between the end of one
 and the stamp of the next becomes silence. Its memory is not used after the call.

 Fails with `invalid_argument` when format, rate, channels, count or time stamp cannot be used; the buffer is as before then. Since 0.1.

 The caller sees to it that:
 `live` was not freed; `samples` begins with its size, and its `count` samples can be read. NULL is `invalid_argument`.
 */
struct emotion_llama_status *emotion_llama_live_push_samples(const struct emotion_llama_live *live,
                                                             const struct emotion_llama_samples *samples);

/*
 Writes what `live` holds to `*out`: a JSON object with `frames`, `duration_s` and `memory_bytes`. Since 0.1.

 The caller sees to it that:
 `live` was not freed; `out` points at a place for a pointer. NULL is `invalid_argument`.
 */
struct emotion_llama_status *emotion_llama_live_info(const struct emotion_llama_live *live,
                                                     struct emotion_llama_text **out);

/*
 Forgets all pictures and all sound; the clock begins anew. Does nothing for NULL. Since 0.1.

 The caller sees to it that:
 `live` is NULL or a buffer that was not freed.
 */
void emotion_llama_live_clear(const struct emotion_llama_live *live);

/*
 Frees the handle; an analysis that was given it goes on. NULL is allowed. Since 0.1.

 The caller sees to it that:
 `live` is NULL, or a buffer that was not freed and that no call is being given.
 */
void emotion_llama_live_free(struct emotion_llama_live *live);

/*
 Sends what the library logs to `function`, up to `level`; NULL turns the log off, as it is in the beginning. For the whole process: there
 is one hook. Once this returns, the function that was set before is not called any more. `userdata` is handed to the function as it is.

 No message holds media, transcripts or answers. Fails with `invalid_argument` for a level that is not one of `EMOTION_LLAMA_LOG_…`, and
 when called from the hook's function. Since 0.1.

 The caller sees to it that:
 `function` may be called, with `userdata`, from any thread until another one is set.
 */
struct emotion_llama_status *emotion_llama_set_log(emotion_llama_log_function function,
                                                   void *userdata,
                                                   uint32_t level);

/*
 Begins a conversation about a clip and writes it to `*out`. The arguments are those of `emotion_llama_analyze`, but `request` says only
 what concerns the clip: `path`, `transcript`, `frame`, `features` and `limits`. Takes as long as an analysis without its answer.

 Fails with what `emotion_llama_analyze` fails with. Since 0.1.

 The caller sees to it that:
 As for `emotion_llama_analyze`.
 */
struct emotion_llama_status *emotion_llama_session_new(const struct emotion_llama_engine *engine,
                                                       const char *request,
                                                       const struct emotion_llama_media *media,
                                                       const struct emotion_llama_cancel *cancel,
                                                       struct emotion_llama_session **out);

/*
 Asks a question about the clip, after those before: a follow-up such as "Why?" is understood. Waits for the result and writes it to
 `*out`, as `emotion_llama_analyze` does.

 `request` is a JSON object as for `emotion_llama_analyze`, without what concerns the clip. A question that fails or is cancelled leaves
 the conversation as it was. `usage.cached_tokens` says how much of the conversation was not read again.

 Fails with `invalid_argument`, also when the conversation has become too long (reset it), `overloaded` when another question is being
 answered, `out_of_memory` or `cancelled`. Since 0.1.

 The caller sees to it that:
 `session` and `cancel` were not freed; `request` is NUL-terminated; `out` points at a place for a pointer. `cancel` may be NULL; NULL
 elsewhere is `invalid_argument`.
 */
struct emotion_llama_status *emotion_llama_session_ask(const struct emotion_llama_session *session,
                                                       const char *request,
                                                       const struct emotion_llama_cancel *cancel,
                                                       struct emotion_llama_text **out);

/*
 As `emotion_llama_session_ask`, on a thread of its own: writes the stream of its events to `*out`, as `emotion_llama_analyze_stream` does.

 Fails with `invalid_argument` or `out_of_memory`; what goes wrong later comes from `emotion_llama_stream_next`. Since 0.1.

 The caller sees to it that:
 As for `emotion_llama_session_ask`.
 */
struct emotion_llama_status *emotion_llama_session_ask_stream(const struct emotion_llama_session *session,
                                                              const char *request,
                                                              const struct emotion_llama_cancel *cancel,
                                                              struct emotion_llama_stream **out);

/*
 Forgets the questions and answers and keeps the clip.

 Fails with `overloaded` when a question is being answered. Since 0.1.

 The caller sees to it that:
 `session` was not freed. NULL is `invalid_argument`.
 */
struct emotion_llama_status *emotion_llama_session_reset(const struct emotion_llama_session *session);

/*
 Frees the handle; a question that is being answered is answered. NULL is allowed. Since 0.1.

 The caller sees to it that:
 `session` is NULL, or a session that was not freed and that no call is being given.
 */
void emotion_llama_session_free(struct emotion_llama_session *session);

/*
 The number of the failure, the same in every release: `EMOTION_LLAMA_INVALID_ARGUMENT` and so on. Later releases may have more. 0 for
 NULL, which is success. Since 0.1.

 The caller sees to it that:
 `status` is NULL or a status that was not freed.
 */
uint32_t emotion_llama_status_code(const struct emotion_llama_status *status);

/*
 The name of the failure, for example `"not_found"`: NUL-terminated, lives as long as `status`. `"ok"` for NULL. Since 0.1.

 The caller sees to it that:
 As for `emotion_llama_status_code`.
 */
const char *emotion_llama_status_name(const struct emotion_llama_status *status);

/*
 One sentence for a person: what happened, where, and what to do. UTF-8, NUL-terminated, lives as long as `status`. Empty for NULL.
 Since 0.1.

 The caller sees to it that:
 As for `emotion_llama_status_code`.
 */
const char *emotion_llama_status_message(const struct emotion_llama_status *status);

/*
 Frees a status. NULL is allowed. Since 0.1.

 The caller sees to it that:
 `status` is NULL, or a status that was not freed and that nobody reads any more.
 */
void emotion_llama_status_free(struct emotion_llama_status *status);

/*
 Begins an analysis on a thread of its own and writes the stream of its events to `*out`. The arguments are those of
 `emotion_llama_analyze`; none is needed any more once this returns.

 Fails with `invalid_argument` or `out_of_memory`; what goes wrong later comes from `emotion_llama_stream_next`. Since 0.1.

 The caller sees to it that:
 As for `emotion_llama_analyze`.
 */
struct emotion_llama_status *emotion_llama_analyze_stream(const struct emotion_llama_engine *engine,
                                                          const char *request,
                                                          const struct emotion_llama_media *media,
                                                          const struct emotion_llama_cancel *cancel,
                                                          struct emotion_llama_stream **out);

/*
 Waits for the next event and writes it to `*out`: a JSON object whose `type` is `stage` (with `stage`: `decode`, `observe` or
 `respond`), `label` (with `emotion`, `confidence` and `probabilities`, which are known before the text is written), `text` (with `text`, a
 piece of the answer) or `result` (with `analysis`, as `emotion_llama_analyze` gives it). Pass over other types. After `result`, and after
 a failure, there is nothing more: success with NULL in `*out`.

 Fails with what `emotion_llama_analyze` fails with. Since 0.1.

 The caller sees to it that:
 `stream` was not freed; `out` points at a place for a pointer. NULL is `invalid_argument`.
 */
struct emotion_llama_status *emotion_llama_stream_next(const struct emotion_llama_stream *stream,
                                                       struct emotion_llama_text **out);

/*
 Frees a stream; an analysis that still runs is stopped, without waiting for it. NULL is allowed. Since 0.1.

 The caller sees to it that:
 `stream` is NULL, or a stream that was not freed and from which nobody is fetching.
 */
void emotion_llama_stream_free(struct emotion_llama_stream *stream);

/*
 The text: NUL-terminated, without NUL inside, lives as long as `text`. NULL for NULL. Since 0.1.

 The caller sees to it that:
 `text` is NULL or a text that was not freed.
 */
const char *emotion_llama_text_data(const struct emotion_llama_text *text);

/*
 The bytes of the text, without the NUL at its end. 0 for NULL. Since 0.1.

 The caller sees to it that:
 As for `emotion_llama_text_data`.
 */
size_t emotion_llama_text_length(const struct emotion_llama_text *text);

/*
 Frees a text. NULL is allowed. Since 0.1.

 The caller sees to it that:
 `text` is NULL, or a text that was not freed and that nobody reads any more.
 */
void emotion_llama_text_free(struct emotion_llama_text *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* EMOTION_LLAMA_H */
