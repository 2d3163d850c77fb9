package emotionllama

import "unsafe"

// What the library's handles point at is not known here; the types only keep them apart.
type (
	nativeCancel  struct{ _ byte }
	nativeEngine  struct{ _ byte }
	nativeLive    struct{ _ byte }
	nativeSession struct{ _ byte }
	nativeStatus  struct{ _ byte }
	nativeStream  struct{ _ byte }
	nativeText    struct{ _ byte }
)

// nativeMedia is emotion_llama_media.
type nativeMedia struct {
	Size    uintptr
	Data    *byte
	Length  uintptr
	Live    *nativeLive
	Seconds float64
}

// nativeFrame is emotion_llama_frame.
type nativeFrame struct {
	Size     uintptr
	Format   uint32
	Width    uint32
	Height   uint32
	Reserved uint32
	TimeS    float64
	Planes   [3]*byte
	Strides  [3]uintptr
	Lengths  [3]uintptr
}

// nativeSamples is emotion_llama_samples.
type nativeSamples struct {
	Size     uintptr
	Format   uint32
	Rate     uint32
	Channels uint32
	Reserved uint32
	TimeS    float64
	Data     unsafe.Pointer
	Count    uintptr
}

// Functions that the library calls. Their userdata is a number of a [registry], so that no Go pointer is kept outside.
type (
	progressFunction func(userdata uintptr, done, total uint64) bool
	logFunction      func(userdata uintptr, level uint32, target, message *byte)
)

// functions are the library's functions, bound by their tags. A parameter that is a function of C is a uintptr here: 0, or what
// purego.NewCallback gave.
type functions struct {
	ABIVersion func() uint32 `c:"emotion_llama_abi_version"`
	Version    func() string `c:"emotion_llama_version"`

	CancelNew       func(out **nativeCancel) *nativeStatus `c:"emotion_llama_cancel_new"`
	CancelRequest   func(cancel *nativeCancel)             `c:"emotion_llama_cancel_request"`
	CancelRequested func(cancel *nativeCancel) bool        `c:"emotion_llama_cancel_requested"`
	CancelFree      func(cancel *nativeCancel)             `c:"emotion_llama_cancel_free"`

	SetThreadCount func(threads uint32) `c:"emotion_llama_set_thread_count"`

	EngineOpen func(options string, cancel *nativeCancel, progress, userdata uintptr, out **nativeEngine) *nativeStatus `c:"emotion_llama_engine_open"`
	EngineInfo func(engine *nativeEngine, out **nativeText) *nativeStatus                                               `c:"emotion_llama_engine_info"`
	EngineFree func(engine *nativeEngine)                                                                               `c:"emotion_llama_engine_free"`

	Analyze       func(engine *nativeEngine, request string, media *nativeMedia, cancel *nativeCancel, out **nativeText) *nativeStatus   `c:"emotion_llama_analyze"`
	AnalyzeStream func(engine *nativeEngine, request string, media *nativeMedia, cancel *nativeCancel, out **nativeStream) *nativeStatus `c:"emotion_llama_analyze_stream"`
	StreamNext    func(stream *nativeStream, out **nativeText) *nativeStatus                                                             `c:"emotion_llama_stream_next"`
	StreamFree    func(stream *nativeStream)                                                                                             `c:"emotion_llama_stream_free"`

	SessionNew       func(engine *nativeEngine, request string, media *nativeMedia, cancel *nativeCancel, out **nativeSession) *nativeStatus `c:"emotion_llama_session_new"`
	SessionAsk       func(session *nativeSession, request string, cancel *nativeCancel, out **nativeText) *nativeStatus                      `c:"emotion_llama_session_ask"`
	SessionAskStream func(session *nativeSession, request string, cancel *nativeCancel, out **nativeStream) *nativeStatus                    `c:"emotion_llama_session_ask_stream"`
	SessionReset     func(session *nativeSession) *nativeStatus                                                                              `c:"emotion_llama_session_reset"`
	SessionFree      func(session *nativeSession)                                                                                            `c:"emotion_llama_session_free"`

	LiveNew         func(options string, out **nativeLive) *nativeStatus         `c:"emotion_llama_live_new"`
	LivePushFrame   func(live *nativeLive, frame *nativeFrame) *nativeStatus     `c:"emotion_llama_live_push_frame"`
	LivePushSamples func(live *nativeLive, samples *nativeSamples) *nativeStatus `c:"emotion_llama_live_push_samples"`
	LiveInfo        func(live *nativeLive, out **nativeText) *nativeStatus       `c:"emotion_llama_live_info"`
	LiveClear       func(live *nativeLive)                                       `c:"emotion_llama_live_clear"`
	LiveFree        func(live *nativeLive)                                       `c:"emotion_llama_live_free"`

	SetLog func(function, userdata uintptr, level uint32) *nativeStatus `c:"emotion_llama_set_log"`

	StatusCode    func(status *nativeStatus) uint32 `c:"emotion_llama_status_code"`
	StatusName    func(status *nativeStatus) string `c:"emotion_llama_status_name"`
	StatusMessage func(status *nativeStatus) string `c:"emotion_llama_status_message"`
	StatusFree    func(status *nativeStatus)        `c:"emotion_llama_status_free"`

	TextData   func(text *nativeText) *byte   `c:"emotion_llama_text_data"`
	TextLength func(text *nativeText) uintptr `c:"emotion_llama_text_length"`
	TextFree   func(text *nativeText)         `c:"emotion_llama_text_free"`
}
