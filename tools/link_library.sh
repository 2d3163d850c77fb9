#!/usr/bin/env bash
# Links libemotionllama from the static archive that cargo built: link_library.sh BUILT OUTPUT [FFMPEG]
# BUILT is the directory in which cargo put the archive. With FFMPEG (a directory of tools/build_ffmpeg.sh) the library wants
# those FFmpeg libraries, beside itself; otherwise the machine's. CC chooses the compiler.
# cargo links a shared library too, but with a version script of its own, which cannot name a version node.
set -euo pipefail
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "usage: $0 BUILT OUTPUT [FFMPEG]" >&2
    exit 2
fi
built=$1
output=$2
root=$(cd "$(dirname "$0")/.." && pwd)
archive=$built/libemotionllama.a
if [ ! -f "$archive" ]; then
    echo "$archive is not there; run: cargo build --release --workspace" >&2
    exit 1
fi
abi=$(sed -n 's/^#define EMOTION_LLAMA_ABI_VERSION \([0-9]*\)$/\1/p' "$root/include/emotion_llama.h")

if [ $# -eq 3 ]; then
    ffmpeg=("$3"/lib/lib*.so.*)
    # shellcheck disable=SC2016 # the loader replaces $ORIGIN
    ffmpeg+=('-Wl,-rpath,$ORIGIN')
else
    read -ra ffmpeg <<<"$(pkg-config --libs libavformat libavcodec libswscale libswresample libavutil)"
fi
# nodelete: threads of the library (rayon's workers, the loader's) may outlive dlclose, and would run in unmapped code.
# The names of native libraries are those of `cargo rustc -- --print native-static-libs`; a missing one fails the link.
# libgcc_s unwinds panics up to the boundary. By its path, because not every compiler driver looks where it is.
${CC:-cc} -shared -o "$output" \
    -Wl,-soname,"libemotionllama.so.$abi" -Wl,--version-script="$root/ffi/emotion_llama.map" \
    -Wl,-z,nodelete -Wl,-z,now -Wl,-z,relro -Wl,--gc-sections -Wl,--no-undefined -Wl,--as-needed \
    -Wl,--whole-archive "$archive" -Wl,--no-whole-archive \
    "${ffmpeg[@]}" "$(cc -print-file-name=libgcc_s.so.1)" -lpthread -lm -ldl
strip --strip-debug "$output"
