// Command bench prints how many seconds an analysis with its text takes through the Go SDK: bench PACK CLIP THREADS, one for each line that comes in.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"emotion-llama-sdk.internal/emotionllama"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, pack, clip, count string) error {
	threads, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	client, err := emotionllama.Open(ctx, emotionllama.Options{Pack: pack, Threads: threads, SkipVerify: true})
	if err != nil {
		return err
	}
	defer client.Close()
	request := emotionllama.Request{VideoPath: clip, Task: emotionllama.Reason, Greedy: true}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		began := time.Now()
		for _, err := range client.Stream(ctx, request) {
			if err != nil {
				return err
			}
		}
		fmt.Println(time.Since(began).Seconds())
	}
	return nil
}
