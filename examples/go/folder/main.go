// Command folder says what a person feels in each file of a folder, four at a time: folder FOLDER [PACK or URL]
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"emotion-llama-sdk.internal/emotionllama"
)

// atATime is how many files are analysed at once.
const atATime = 4

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		fmt.Fprintln(os.Stderr, "usage: folder FOLDER [PACK or URL]")
		os.Exit(2)
	}
	if err := folder(context.Background(), os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func folder(ctx context.Context, folder string, model []string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	// Four analyses share the processors, so each computes with one thread.
	options := emotionllama.Options{Threads: 1}
	if len(model) == 1 && strings.Contains(model[0], "://") {
		options.APIURL = model[0]
	} else if len(model) == 1 {
		options.Pack = model[0]
	}
	client, err := emotionllama.Open(ctx, options)
	if err != nil {
		return err
	}
	defer client.Close()

	lines := make([]string, len(entries))
	places := make(chan struct{}, atATime)
	var all sync.WaitGroup
	for i, entry := range entries {
		if entry.IsDir() {
			continue
		}
		places <- struct{}{}
		all.Add(1)
		go func() {
			defer func() { <-places; all.Done() }()
			lines[i] = line(ctx, client, filepath.Join(folder, entry.Name()))
		}()
	}
	all.Wait()
	for _, line := range lines {
		fmt.Print(line)
	}
	return nil
}

// line is what is printed of one file.
func line(ctx context.Context, client *emotionllama.Client, path string) string {
	result, err := client.Analyze(ctx, emotionllama.Request{VideoPath: path, Task: emotionllama.Emotion})
	if err != nil {
		return fmt.Sprintf("%s: %v\n", filepath.Base(path), err)
	}
	return fmt.Sprintf("%s: %s %v\n", filepath.Base(path), result.Emotion, result.Confidence)
}
