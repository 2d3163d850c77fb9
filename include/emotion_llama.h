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
 SONAME ends with it.
 */
#define EMOTION_LLAMA_ABI_VERSION 1

/*
 A flag that stops running work from another thread. Counts its references: work that was given a token keeps it alive. Freed
 with `emotion_llama_cancel_free`.
 */
typedef struct emotion_llama_cancel emotion_llama_cancel;

/*
 A loaded model. May be used by any number of threads at once. Counts its references: a call or stream that runs keeps the model
 alive when the handle is freed. Freed with `emotion_llama_engine_free`.
 */
typedef struct emotion_llama_engine emotion_llama_engine;

/*
 Why a call failed: a number, a name and a sentence. Immutable; may be read by several threads. Freed with
 `emotion_llama_status_free`.
 */
typedef struct emotion_llama_status emotion_llama_status;

/*
 A running analysis. Several threads may fetch events; each event goes to one of them. Freed with `emotion_llama_stream_free`.
 */
typedef struct emotion_llama_stream emotion_llama_stream;

/*
 UTF-8 text that a call gave, JSON unless said otherwise. Immutable; may be read by several threads. Freed with
 `emotion_llama_text_free`.
 */
typedef struct emotion_llama_text emotion_llama_text;

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
emotion_llama_status *emotion_llama_cancel_new(emotion_llama_cancel **out);

/*
 Asks all work that was given `cancel` to stop: it returns `cancelled`, within about 100 ms. Cannot be undone; may be called from
 any thread, and again. Does nothing for NULL. Since 0.1.

 The caller sees to it that:
 `cancel` is NULL or a token that was not freed.
 */
void emotion_llama_cancel_request(const emotion_llama_cancel *cancel);

/*
 Whether `emotion_llama_cancel_request` was called. False for NULL. Since 0.1.

 The caller sees to it that:
 As for `emotion_llama_cancel_request`.
 */
bool emotion_llama_cancel_requested(const emotion_llama_cancel *cancel);

/*
 Frees a token; work that was given it goes on. NULL is allowed. Since 0.1.

 The caller sees to it that:
 `cancel` is NULL, or a token that was not freed and that no call is being given.
 */
void emotion_llama_cancel_free(emotion_llama_cancel *cancel);

/*
 Loads a pack and writes the engine to `*out`. Takes seconds for large packs; nothing is fetched from a network.

 `options` is a JSON object: `pack`, a directory or a name (required); `search`, the directories in which names are looked for;
 `verify`, whether the files' checksums are compared (default true).

 Fails with `invalid_argument`, `not_found` or `pack_invalid`. Since 0.1.

 The caller sees to it that:
 `options` is NUL-terminated; `out` points at a place for a pointer. NULL is `invalid_argument`.
 */
emotion_llama_status *emotion_llama_engine_open(const char *options,
                                                emotion_llama_engine **out);

/*
 Writes what the engine is and can to `*out`: a JSON object with `version`, `abi_version`, `pack` (`name`, `version`, `digest`,
 `architecture`, `description`), `labels`, `tasks` and `devices`. Since 0.1.

 The caller sees to it that:
 `engine` was not freed; `out` points at a place for a pointer. NULL is `invalid_argument`.
 */
emotion_llama_status *emotion_llama_engine_info(const emotion_llama_engine *engine,
                                                emotion_llama_text **out);

/*
 Analyses one clip on this thread and writes the result to `*out`, a JSON object with `response`, `emotion`, `confidence`,
 `probabilities`, `explanation`, `transcript`, `faces`, `frame`, `cues`, `usage`, `timings_ms`, `model` and `notes`.

 `request` is a JSON object: `path`, `task` (`emotion` or `reason`), `prompt`, `transcript` (`auto`, `none` or the words), `labels`, `frame`
 (`peak`, `first`, `middle` or seconds), `prompt_path`, `features`, `max_new_tokens`, `temperature`, `top_p`, `top_k`,
 `repetition_penalty`, `seed`, `greedy`, `limits`. All may be left out. The clip is the file at `path`, or the `media_length` bytes at
 `media`, which are copied; one of them must be given. `cancel` may be NULL.

 Fails with `invalid_argument`, `not_found`, `media_undecodable`, `media_too_large`, `pack_invalid` or `cancelled`. Since 0.1.

 The caller sees to it that:
 `engine` and `cancel` were not freed; `request` is NUL-terminated; `media` points at `media_length` bytes, or is NULL with length 0;
 `out` points at a place for a pointer. NULL elsewhere is `invalid_argument`.
 */
emotion_llama_status *emotion_llama_analyze(const emotion_llama_engine *engine,
                                            const char *request,
                                            const uint8_t *media,
                                            size_t media_length,
                                            const emotion_llama_cancel *cancel,
                                            emotion_llama_text **out);

/*
 Frees the handle; what runs goes on and keeps the model until it is done. NULL is allowed. Since 0.1.

 The caller sees to it that:
 `engine` is NULL, or an engine that was not freed and that no call is being given.
 */
void emotion_llama_engine_free(emotion_llama_engine *engine);

/*
 The number of the failure, the same in every release: 1 invalid_argument, 2 media_undecodable, 3 media_too_large, 4 not_found,
 5 pack_invalid, 6 out_of_memory, 7 overloaded, 8 cancelled, 9 timeout, 10 internal. 0 for NULL, which is success. Since 0.1.

 The caller sees to it that:
 `status` is NULL or a status that was not freed.
 */
uint32_t emotion_llama_status_code(const emotion_llama_status *status);

/*
 The name of the failure, for example `"not_found"`: NUL-terminated, lives as long as `status`. `"ok"` for NULL. Since 0.1.

 The caller sees to it that:
 As for `emotion_llama_status_code`.
 */
const char *emotion_llama_status_name(const emotion_llama_status *status);

/*
 One sentence for a person: what happened, where, and what to do. UTF-8, NUL-terminated, lives as long as `status`. Empty for NULL.
 Since 0.1.

 The caller sees to it that:
 As for `emotion_llama_status_code`.
 */
const char *emotion_llama_status_message(const emotion_llama_status *status);

/*
 Frees a status. NULL is allowed. Since 0.1.

 The caller sees to it that:
 `status` is NULL, or a status that was not freed and that nobody reads any more.
 */
void emotion_llama_status_free(emotion_llama_status *status);

/*
 Begins an analysis on a thread of its own and writes the stream of its events to `*out`. The arguments are those of
 `emotion_llama_analyze`; none is needed any more once this returns.

 Fails with `invalid_argument`; what goes wrong later comes from `emotion_llama_stream_next`. Since 0.1.

 The caller sees to it that:
 As for `emotion_llama_analyze`.
 */
emotion_llama_status *emotion_llama_analyze_stream(const emotion_llama_engine *engine,
                                                   const char *request,
                                                   const uint8_t *media,
                                                   size_t media_length,
                                                   const emotion_llama_cancel *cancel,
                                                   emotion_llama_stream **out);

/*
 Waits for the next event and writes it to `*out`: a JSON object whose `type` is `stage` (with `stage`: `decode`, `observe` or
 `respond`), `text` (with `text`, a piece of the answer) or `result` (with `analysis`, as `emotion_llama_analyze` gives it). After
 `result`, and after a failure, there is nothing more: success with NULL in `*out`.

 Fails with what `emotion_llama_analyze` fails with. Since 0.1.

 The caller sees to it that:
 `stream` was not freed; `out` points at a place for a pointer. NULL is `invalid_argument`.
 */
emotion_llama_status *emotion_llama_stream_next(const emotion_llama_stream *stream,
                                                emotion_llama_text **out);

/*
 Frees a stream; an analysis that still runs is stopped, without waiting for it. NULL is allowed. Since 0.1.

 The caller sees to it that:
 `stream` is NULL, or a stream that was not freed and from which nobody is fetching.
 */
void emotion_llama_stream_free(emotion_llama_stream *stream);

/*
 The text: NUL-terminated, without NUL inside, lives as long as `text`. NULL for NULL. Since 0.1.

 The caller sees to it that:
 `text` is NULL or a text that was not freed.
 */
const char *emotion_llama_text_data(const emotion_llama_text *text);

/*
 The bytes of the text, without the NUL at its end. 0 for NULL. Since 0.1.

 The caller sees to it that:
 As for `emotion_llama_text_data`.
 */
size_t emotion_llama_text_length(const emotion_llama_text *text);

/*
 Frees a text. NULL is allowed. Since 0.1.

 The caller sees to it that:
 `text` is NULL, or a text that was not freed and that nobody reads any more.
 */
void emotion_llama_text_free(emotion_llama_text *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* EMOTION_LLAMA_H */
