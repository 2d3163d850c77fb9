#!/usr/bin/env python3
"""Makes a program of the code on an SDK's page, so that a test can compile and run it: page_program.py PAGE CLIP OUT

PAGE is bindings/LANGUAGE/README.md; what is in its blocks of the language goes into a function each, in their order, which the program calls one
after the other. What a block uses and does not make is given to it: a client, a request, pictures. CLIP stands for the clip that is named.
"""

import re
import sys
import textwrap
from pathlib import Path

GO = """package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"time"

	"emotion-llama-sdk.internal/emotionllama"
)

var (
	start   = time.Now().Add(-time.Second)
	picture = image.NewRGBA(image.Rect(0, 0, 64, 48))
	samples = make([]int16, 9600)
)

func main() {
	ctx := context.Background()
	client, err := emotionllama.Open(ctx, emotionllama.Options{})
	if err != nil {
		panic(err)
	}
	request := emotionllama.Request{VideoPath: "clip.mp4"}
	_, missing := client.Analyze(ctx, emotionllama.Request{VideoPath: "missing.mp4"})
	if !errors.Is(missing, fs.ErrNotExist) {
		panic(missing)
	}
	for i, block := range []func(context.Context, *emotionllama.Client, emotionllama.Request, error) error{@CALLS@} {
		if err := block(ctx, client, request, missing); err != nil {
			fmt.Println("block", i, err)
			os.Exit(1)
		}
	}
}
"""
GO_BLOCK = """
func block@(ctx context.Context, client *emotionllama.Client, request emotionllama.Request, err error) error {
	{
@BODY@
	}
	return nil
}
"""
CSHARP = """using System;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using EmotionLlama;

internal static class Page
{
    private const int width = 64, height = 48;
    private const double timeSeconds = 0;
    private static readonly byte[] pixels = new byte[width * height * 4];
    private static readonly short[] samples = new short[9600];

    private static int Main()
    {
        Run().GetAwaiter().GetResult();
        return 0;
    }

    private static async Task Run()
    {
        using (var client = new EmotionLLaMA())
        {
            foreach (Func<EmotionLLaMA, Task> block in new Func<EmotionLLaMA, Task>[] { @CALLS@ }) await block(client);
        }
    }
@BLOCKS@
}
"""
CSHARP_BLOCK = """
    private static async Task Block@(EmotionLLaMA given)
    {
        await Task.Yield();
        {
@BODY@
        }
    }
"""
JAVA = """import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.emotionllama.*;

final class Page {
    private Page() {}

    private interface Block {
        void run(EmotionLLaMA client, Request request) throws Exception;
    }

    private static final short[] shorts = new short[9600];
    private static final double seconds = 0;
    private static final ByteBuffer directBuffer = ByteBuffer.allocateDirect(1280 * 720 * 3 / 2);

    public static void main(String[] arguments) throws Exception {
        try (EmotionLLaMA client = new EmotionLLaMA()) {
            for (Block block : List.<Block>of(@CALLS@)) {
                block.run(client, Request.videoPath("clip.mp4"));
            }
        }
    }
@BLOCKS@
}
"""
JAVA_BLOCK = """
    private static void block@(EmotionLLaMA given, Request request) throws Exception {
@BODY@
    }
"""


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)


def indented(body, depth):
    return textwrap.indent(body.rstrip(), " " * depth)


def go(found):
    parts = [GO_BLOCK.replace("block@", f"block{i}").replace("@BODY@", body.rstrip()) for i, body in enumerate(found)]
    return GO.replace("@CALLS@", ", ".join(f"block{i}" for i in range(len(found)))) + "".join(parts)


def csharp(found):
    parts = []
    for i, body in enumerate(found):
        body = re.sub(r"^using [\w.]+;\n", "", body, flags=re.M)
        # mcs knows C# 7; the stream can be gone through in both ways.
        body = body.replace("await foreach", "foreach")
        if "client = " not in body:
            body = "var client = given;\n" + body
        parts.append(CSHARP_BLOCK.replace("Block@", f"Block{i}").replace("@BODY@", indented(body, 12)))
    return CSHARP.replace("@CALLS@", ", ".join(f"Block{i}" for i in range(len(found)))).replace("@BLOCKS@", "".join(parts))


def java(found):
    parts = []
    for i, body in enumerate(found):
        if "client = " not in body:
            body = "EmotionLLaMA client = given;\n" + body
        parts.append(JAVA_BLOCK.replace("block@", f"block{i}").replace("@BODY@", indented(body, 8)))
    calls = ", ".join(f"Page::block{i}" for i in range(len(found)))
    return JAVA.replace("@CALLS@", calls).replace("@BLOCKS@", "".join(parts))


def main():
    page, clip, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    language = page.resolve().parent.name
    found = blocks(page.read_text(encoding="utf-8"), language)
    if not found:
        sys.exit(f"{page} has no code of {language}")
    program = {"go": go, "csharp": csharp, "java": java}[language](found)
    for named in ("/path/to/video.mp4", "clip.mp4"):
        program = program.replace(f'"{named}"', f'"{clip}"')
    out.write_text(program, encoding="utf-8")
    print(f"{len(found)} blocks of {page.parent.name}'s page")


if __name__ == "__main__":
    main()
