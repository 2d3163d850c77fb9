module emotion-llama-sdk.internal/bench

go 1.24

require emotion-llama-sdk.internal/emotionllama v0.1.0

require github.com/ebitengine/purego v0.10.2 // indirect

replace emotion-llama-sdk.internal/emotionllama => ../../../bindings/go
