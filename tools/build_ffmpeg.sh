#!/usr/bin/env bash
# Builds the FFmpeg that the tarball holds, and prints the directory it is in: build/ffmpeg-VERSION with
#   lib/      the shared libraries, under names of their own, each finding the others beside itself
#   doc/      licences, and how it was configured
#   source/   the source packages as they were fetched
# The source is the distribution's package of the FFmpeg whose headers the library was compiled against.
# CC, AR and RANLIB choose the tools; STAMP names them. A second run with the same tools finds it built.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
stop() { printf 'build_ffmpeg: %s\n' "$*" >&2; exit 1; }
: "${CC:=cc}" "${AR:=ar}" "${RANLIB:=ranlib}" "${STAMP:=$CC}"

wanted=$(pkg-config --modversion libavcodec) || stop "FFmpeg's headers are missing; run: make setup"
package=$(dpkg-query -W -f '${source:Version}' libavcodec-dev 2>/dev/null) || package=
version=${package#*:}
version=${version%-*}
dir=$root/build/ffmpeg-${version:-for-$wanted}
stamp="$STAMP $wanted $(sha256sum <"$root/tools/build_ffmpeg.sh")"
if [ "$(cat "$dir/built" 2>/dev/null)" = "$stamp" ]; then
    echo "$dir"
    exit
fi
mkdir -p "$dir"
log=$dir/log
: >"$log"
step() {
    "$@" >>"$log" 2>&1 && return
    tail -n 20 "$log" >&2
    stop "failed: $* (all of it is in $log)"
}

fetch() {
    command -v apt-get >/dev/null && command -v dpkg-source >/dev/null || stop "apt-get and dpkg-source fetch FFmpeg's source; they are not here"
    # The machine's own list of packages, asked for sources.
    local apt=$dir/apt list
    rm -rf "$apt" "$dir/source"
    mkdir -p "$apt/list.d" "$apt/lists/partial" "$apt/cache/archives/partial" "$dir/source"
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -f "$list" ] || sed -n 's/^deb\([[:space:]]\)/deb-src\1/p' "$list" >>"$apt/list.d/all.list"
    done
    for list in /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$list" ] || { sed 's/^Types:.*/Types: deb-src/' "$list" && echo; } >>"$apt/list.d/all.sources"
    done
    local options=(-q -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$apt/list.d" -o "Dir::State::Lists=$apt/lists"
        -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root -o Acquire::Retries=3)
    # A list of somebody else's that has no sources is no reason to stop.
    apt-get "${options[@]}" update >>"$log" 2>&1 || true
    cd "$dir/source"
    if [ -z "$package" ] || ! apt-get "${options[@]}" source --only-source "ffmpeg=$package" >>"$log" 2>&1; then
        step apt-get "${options[@]}" source --only-source ffmpeg
    fi
    step apt-get "${options[@]}" source --only-source zlib
    cd "$root"
    rm -rf "$apt"
}

build() {
    local ffmpeg zlib
    ffmpeg=$(echo "$dir"/source/ffmpeg-*/)
    zlib=$(echo "$dir"/source/zlib-*/)
    grep -qx "#define LIBAVCODEC_VERSION_MAJOR  *${wanted%%.*}" "$ffmpeg"libavcodec/version_major.h "$ffmpeg"libavcodec/version.h 2>/dev/null ||
        stop "$ffmpeg has another major version than the headers here (libavcodec $wanted)"

    # Pictures and some containers are compressed with zlib.
    cd "$zlib"
    step env CC="$CC" AR="$AR" RANLIB="$RANLIB" CFLAGS='-O3 -fPIC' ./configure --static
    step make libz.a

    # What is printed by the configured libraries holds no path of this machine: hence relative ones, and an empty prefix.
    # Left out: the network; everything that writes, but for what the remote engine sends; what opens other files that a
    # file names (concat, hls); AV1, whose decoder here needs a graphics processor.
    local options=(--prefix=/ --cc="$CC" --ar="$AR" --ranlib="$RANLIB"
        --enable-shared --disable-static --disable-programs --disable-doc --disable-debug --disable-autodetect
        --disable-network --disable-avdevice --disable-avfilter --disable-postproc --disable-hwaccels
        --disable-encoders --disable-muxers --disable-protocols
        --enable-encoder=mjpeg,pcm_s16le --enable-muxer=matroska --enable-protocol=file,pipe
        --disable-demuxer=concat,hls --disable-decoder=av1
        --enable-zlib --extra-cflags=-I../zlib --extra-ldflags=-L../zlib --build-suffix=-emotionllama)
    rm -rf "$dir/work"
    mkdir -p "$dir/work/build"
    ln -s "$ffmpeg" "$dir/work/ffmpeg"
    ln -s "$zlib" "$dir/work/zlib"
    cd "$dir/work/build"
    step ../ffmpeg/configure "${options[@]}"
    grep -qx 'License: LGPL version 2.1 or later' "$log" || stop "this configuration is not under the LGPL 2.1"
    # Found by its symbol, but there is no header for it in newer C libraries, and Linux has sched_getaffinity.
    sed -i 's/^#define HAVE_SYSCTL 1$/#define HAVE_SYSCTL 0/' config.h
    # make reads this three times before the shell does.
    # shellcheck disable=SC2016
    step make -j"$(nproc)" LDSOFLAGS='-Wl,-rpath,\$$$$ORIGIN'

    rm -rf "$dir/lib" "$dir/doc"
    mkdir -p "$dir/lib" "$dir/doc"
    local library
    for library in lib*/lib*.so; do
        library=$(readelf -d "$library" | sed -n "s|.*SONAME.*\[\(.*\)\]|$(dirname "$library")/\1|p")
        strip --strip-unneeded -o "$dir/lib/$(basename "$library")" "$library"
    done
    cp "$ffmpeg"{COPYING.LGPLv2.1,LICENSE.md,CREDITS} "$dir/doc/"
    sed -n '/Copyright (C)/,/jloup/p' "$zlib"zlib.h >"$dir/doc/zlib.txt"
    {
        (cd "$dir/source" && sha256sum ./*.dsc ./*.tar.*)
        printf '\nconfigured with:\n'
        printf '%s\n' "${options[@]}"
    } >"$dir/doc/source-and-options.txt"
    cd "$root"
    rm -rf "$dir/work" "$ffmpeg" "$zlib"
}

echo "building a minimal FFmpeg for the tarball (once; some minutes)" >&2
fetch
build
echo "$stamp" >"$dir/built"
echo "$dir"
