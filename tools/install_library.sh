#!/usr/bin/env bash
# Installs libemotionllama: install_library.sh BUILT PREFIX [FFMPEG]
# BUILT is the directory in which cargo put the library. Everything under PREFIX refers to its own place, so PREFIX can be moved.
# With FFMPEG (a directory of tools/build_ffmpeg.sh) its libraries are put beside ours; otherwise the machine's are used.
set -euo pipefail
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "usage: $0 BUILT PREFIX [FFMPEG]" >&2
    exit 2
fi
built=$1
prefix=$2
root=$(cd "$(dirname "$0")/.." && pwd)
abi=$(sed -n 's/^#define EMOTION_LLAMA_ABI_VERSION \([0-9]*\)$/\1/p' "$root/include/emotion_llama.h")
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
linked=$(mktemp -d)
trap 'rm -rf "$linked"' EXIT
bash "$root/tools/link_library.sh" "$built" "$linked/libemotionllama.so" "${@:3}"

mkdir -p "$prefix/lib/pkgconfig" "$prefix/lib/cmake/EmotionLlama" "$prefix/include" "$prefix/share/doc/emotion-llama"
# Under another name first: a program that runs keeps the file that it has mapped.
put() {
    install -m 755 "$1" "$prefix/lib/.libemotionllama.new"
    mv -f "$prefix/lib/.libemotionllama.new" "$prefix/lib/$2"
}
put "$linked/libemotionllama.so" "libemotionllama.so.$version"
ln -sf "libemotionllama.so.$version" "$prefix/lib/libemotionllama.so.$abi"
ln -sf "libemotionllama.so.$abi" "$prefix/lib/libemotionllama.so"
if [ $# -eq 3 ]; then
    for library in "$3"/lib/lib*.so.*; do
        put "$library" "$(basename "$library")"
    done
fi
cp -f "$root/include/emotion_llama.h" "$root/bindings/cpp/emotion_llama.hpp" "$prefix/include/"
cp -f "$root/LICENSE" "$root/THIRD_PARTY.md" "$prefix/share/doc/emotion-llama/"

cat >"$prefix/lib/pkgconfig/emotionllama.pc" <<PC
prefix=\${pcfiledir}/../..
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: emotionllama
Description: What a person in a clip feels, and what shows it
Version: $version
Libs: -L\${libdir} -lemotionllama
Cflags: -I\${includedir}
PC

cat >"$prefix/lib/cmake/EmotionLlama/EmotionLlamaConfig.cmake" <<CMAKE
get_filename_component(_emotion_llama_prefix "\${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET EmotionLlama::emotionllama)
  add_library(EmotionLlama::emotionllama SHARED IMPORTED)
  set_target_properties(EmotionLlama::emotionllama PROPERTIES
    IMPORTED_LOCATION "\${_emotion_llama_prefix}/lib/libemotionllama.so.$version"
    IMPORTED_SONAME "libemotionllama.so.$abi"
    INTERFACE_INCLUDE_DIRECTORIES "\${_emotion_llama_prefix}/include")
endif()
CMAKE

cat >"$prefix/lib/cmake/EmotionLlama/EmotionLlamaConfigVersion.cmake" <<CMAKE
set(PACKAGE_VERSION "$version")
if(PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
else()
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
endif()
CMAKE
echo "libemotionllama $version (ABI $abi) is in $prefix"
