//go:build !linux && !darwin

package emotionllama

const libraryName = "libemotionllama"

func openImage(string) (uintptr, error) { return 0, unsupported() }

func symbol(uintptr, string) (uintptr, error) { return 0, unsupported() }

func imagePath(uintptr) string { return "" }
