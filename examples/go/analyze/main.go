// Command analyze says what a person in a clip feels, with progress and the text as it is written: analyze CLIP [PACK or URL]
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"emotion-llama-sdk.internal/emotionllama"
)

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		fmt.Fprintln(os.Stderr, "usage: analyze CLIP [PACK or URL]")
		os.Exit(2)
	}
	// Ctrl-C ends the context, and with it the load or the analysis.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := analyze(ctx, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func analyze(ctx context.Context, path string, model []string) error {
	options := emotionllama.Options{Progress: func(done, total uint64) {
		fmt.Fprintf(os.Stderr, "\rloading: %3d %%", done*100/max(total, 1))
		if done == total {
			fmt.Fprintln(os.Stderr)
		}
	}}
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

	request := emotionllama.Request{VideoPath: path, Task: emotionllama.Reason}
	for event, err := range client.Stream(ctx, request) {
		if err != nil {
			return err
		}
		switch event.Type {
		case emotionllama.EventStage:
			fmt.Fprintln(os.Stderr, event.Stage+" …")
		case emotionllama.EventText:
			fmt.Print(event.Text)
		case emotionllama.EventResult:
			result := event.Analysis
			fmt.Printf("\n%s, confidence %v\n", result.Emotion, result.Confidence)
			for _, note := range result.Notes {
				fmt.Println("note:", note.Message)
			}
		}
	}
	return nil
}
