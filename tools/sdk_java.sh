#!/usr/bin/env bash
# Makes the artefacts of the Java SDK in dist/java, in the layout of a Maven repository: sdk_java.sh [LIBRARIES]
# LIBRARIES is a directory with libemotionllama.so.1 and FFmpeg's libraries beside it, or one with such a directory per platform
# (linux-x86_64, …). Left out: what `make dist` made. The mini pack becomes a jar too where it was built.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
for tool in mvn javac; do
    if ! command -v "$tool" >/dev/null; then
        echo "SKIPPED: the Java SDK needs $tool, which is not on this machine" >&2
        exit 0
    fi
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
platform=$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)
if [ $# -gt 0 ]; then
    libraries=$(cd "$1" && pwd)
else
    tarball=$root/build/dist/emotion-llama-$version-$platform.tar.gz
    if [ ! -e "$tarball" ]; then
        echo "$0: there is no ${tarball#"$root"/}; run make dist, or name a directory of libraries" >&2
        exit 1
    fi
    tar -xzf "$tarball" -C "$scratch"
    libraries=$scratch/emotion-llama-$version-$platform/lib
fi

# What the loader asks for by name, without links for the linker.
stage_platform() { # FROM PLATFORM
    local folder=$stage/org/emotionllama/native/$2 file
    mkdir -p "$folder"
    for file in "$1"/*.so.[0-9]* "$1"/*.dylib "$1"/*.dll; do
        case ${file##*/} in
        '*'*) continue ;;
        libemotionllama.so.1 | libemotionllama.1.dylib | emotionllama.dll) ;;
        libemotionllama.*) continue ;;
        esac
        cp -L "$file" "$folder/"
        chmod 644 "$folder/${file##*/}"
    done
    (cd "$folder" && LC_ALL=C sha256sum -- * >"$scratch/index" && mv "$scratch/index" index.txt)
    # The licences of what is in the library and beside it.
    local notices=$1/../share/doc/emotion-llama
    if [ -d "$notices" ]; then
        mkdir -p "$stage/META-INF/licenses/$2"
        for part in ffmpeg crates; do
            if [ -d "$notices/$part" ]; then cp -r "$notices/$part" "$stage/META-INF/licenses/$2/"; fi
        done
    fi
}

stage=$root/bindings/java/target/stage
rm -rf "$root/bindings/java/target" "$root/dist/java"
mkdir -p "$stage" "$root/dist/java"
found=
for folder in "$libraries"/*-*/; do
    if [ -d "$folder" ]; then
        stage_platform "${folder%/}" "$(basename "$folder")"
        found=yes
    fi
done
if [ -z "$found" ]; then
    stage_platform "$libraries" "$platform"
fi

maven=(mvn -B -q -Dstyle.color=never ${MAVEN_REPO_LOCAL:+"-Dmaven.repo.local=$MAVEN_REPO_LOCAL"})
publish=(deploy -Dmaven.test.skip=true "-DaltDeploymentRepository=dist::file://$root/dist/java")
"${maven[@]}" -f bindings/java/pom.xml "${publish[@]}"

pack=$root/build/packs/emotion-llama-mini
if [ -e "$pack/pack.json" ]; then
    stage=$root/bindings/java/model/target/stage
    folder=$stage/org/emotionllama/packs/emotion-llama-mini
    rm -rf "$root/bindings/java/model/target"
    mkdir -p "$folder"
    cp "$pack"/[!.]* "$folder/"
    (cd "$folder" && LC_ALL=C sha256sum -- * >"$scratch/index" && mv "$scratch/index" index.txt)
    mkdir -p "$stage/META-INF"
    cp packs/mini/MODEL_CARD.md THIRD_PARTY.md "$stage/META-INF/"
    "${maven[@]}" -f bindings/java/model/pom.xml "${publish[@]}"
else
    echo "sdk_java: the mini pack was not built, so there is no model jar" >&2
fi
find dist/java -name '*.jar' -exec ls -l {} + | awk '{print $5, $NF}'
