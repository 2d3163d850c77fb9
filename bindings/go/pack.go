package emotionllama

import (
	"fmt"
	"os"
	"path/filepath"
)

// packVariable names the directory of the built-in model.
const packVariable = "EMOTION_LLAMA_PACK"

// findPack gives the directory of the built-in model: near the library at path, or where the environment says.
func findPack(path string) (string, error) {
	paths := []string{path}
	if resolved, err := filepath.EvalSymlinks(path); err == nil && resolved != path {
		paths = append(paths, resolved)
	}
	for _, path := range paths {
		if path == "" {
			continue
		}
		for _, place := range []string{"../share/emotion-llama/packs", "packs"} {
			pack := filepath.Join(filepath.Dir(path), place, defaultPack)
			if _, err := os.Stat(filepath.Join(pack, "pack.json")); err == nil {
				return pack, nil
			}
		}
	}
	if pack := os.Getenv(packVariable); pack != "" {
		return pack, nil
	}
	return "", newError(NotFound, fmt.Sprintf("the built-in model %s is not there; put its directory into packs beside %s, "+
		"name it in %s, or give Options.Pack or Options.APIURL", defaultPack, path, packVariable))
}
