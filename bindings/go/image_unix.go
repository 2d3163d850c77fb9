//go:build linux || darwin

package emotionllama

import (
	"path/filepath"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// libraryName is the library's file; its number is that of the ABI.
var libraryName = map[string]string{"linux": "libemotionllama.so.1", "darwin": "libemotionllama.1.dylib"}[runtime.GOOS]

func openImage(name string) (uintptr, error) {
	return purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

func symbol(image uintptr, name string) (uintptr, error) {
	return purego.Dlsym(image, name)
}

// imagePath gives the file that holds what is at address; empty where that is not known.
func imagePath(address uintptr) string {
	function, err := purego.Dlsym(purego.RTLD_DEFAULT, "dladdr")
	if err != nil {
		return ""
	}
	var dladdr func(address uintptr, info *imageInfo) int32
	purego.RegisterFunc(&dladdr, function)
	var info imageInfo
	if dladdr(address, &info) == 0 || info.file == nil {
		return ""
	}
	path, err := filepath.Abs(textAt(info.file))
	if err != nil {
		return ""
	}
	return path
}

// imageInfo is Dl_info.
type imageInfo struct {
	file   *byte
	base   unsafe.Pointer
	symbol *byte
	at     unsafe.Pointer
}
