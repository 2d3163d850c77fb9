// Command sdk_go lays a module out as a Go module proxy does: sdk_go MODULE VERSION SOURCE LICENSE PROXY
//
// What is in SOURCE and the licence become PROXY/MODULE/@v/VERSION.{info,mod,zip}. The same files give the same zip.
package main

import (
	"archive/zip"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: sdk_go MODULE VERSION SOURCE LICENSE PROXY")
		os.Exit(2)
	}
	if err := lay(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func lay(module, version, source, license, proxy string) error {
	if strings.ToLower(module) != module {
		return fmt.Errorf("%s has capital letters, which a proxy writes in another way", module)
	}
	files := map[string]string{"LICENSE": license}
	names := []string{"LICENSE"}
	err := filepath.WalkDir(source, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is no plain file", file)
		}
		name, err := filepath.Rel(source, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		files[name] = file
		names = append(names, name)
		return nil
	})
	if err != nil {
		return err
	}

	dir := filepath.Join(proxy, filepath.FromSlash(module), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	archive, err := os.Create(filepath.Join(dir, version+".zip"))
	if err != nil {
		return err
	}
	defer archive.Close()
	writer := zip.NewWriter(archive)
	for _, name := range names {
		content, err := os.ReadFile(files[name])
		if err != nil {
			return err
		}
		entry, err := writer.CreateHeader(&zip.FileHeader{Name: path.Join(module+"@"+version, name), Method: zip.Deflate})
		if err != nil {
			return err
		}
		if _, err := entry.Write(content); err != nil {
			return err
		}
		if name == "go.mod" {
			if err := os.WriteFile(filepath.Join(dir, version+".mod"), content, 0o644); err != nil {
				return err
			}
		}
	}
	if err := writer.Close(); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	info := fmt.Sprintf("{\"Version\":%q}\n", version)
	if err := os.WriteFile(filepath.Join(dir, version+".info"), []byte(info), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "list"), []byte(version+"\n"), 0o644)
}
