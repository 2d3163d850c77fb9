package emotionllama

import (
	"bytes"
	"unsafe"
)

// bytesAt copies length bytes.
func bytesAt(data *byte, length uintptr) []byte {
	return bytes.Clone(unsafe.Slice(data, length))
}

// textAt copies a NUL-terminated text.
func textAt(text *byte) string {
	length := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(text), length)) != 0 {
		length++
	}
	return string(unsafe.Slice(text, length))
}
