// Package emotionllama says what a person in a clip feels, and what shows it.
//
//	client, err := emotionllama.Open(ctx, emotionllama.Options{}) // the built-in model
//	if err != nil { … }
//	defer client.Close()
//	result, err := client.Analyze(ctx, emotionllama.Request{VideoPath: "clip.mp4", Task: emotionllama.Reason})
//	fmt.Println(result.Emotion, result.Confidence, result.Explanation)
//
// It is a thin layer over libemotionllama, which it loads when it is first needed, without cgo: no C compiler is needed to build a
// program with it. The library is the file that EMOTION_LLAMA_LIBRARY names; or else libemotionllama.so.1 beside the program, in
// lib beside it, or in ../lib; or else what the system's loader finds.
//
// Every handle (Client, Session, Live) may be used by several goroutines at once, may be closed twice and while calls run, and frees
// itself when it is forgotten. A call holds one thread of the operating system until it returns; it returns early when its context
// ends. Failures are of type *Error:
//
//	if errors.Is(err, emotionllama.NotFound) { … }
//	if errors.Is(err, context.Canceled) { … }
package emotionllama
