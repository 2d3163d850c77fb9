#!/usr/bin/env bash
# Uses what sdk_java.sh put in dist/java from an empty project, with Maven: test_sdk_java.sh
# Lists what is in the jars; runs the tests, the conformance cases and the examples against them. Maven's own local repository serves the
# other dependencies, so this works without a network when it did so once with one; MAVEN_REPO_LOCAL names another directory for it. RUNS is how many analyses the memory test makes: 500
# with a small pack, which target/release/emotion-llama makes, else 20.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
for tool in mvn javac jar python3; do
    if ! command -v "$tool" >/dev/null; then
        echo "SKIPPED: the test of the Java SDK needs $tool, which is not on this machine" >&2
        exit 0
    fi
done
dist=$root/dist/java
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
sdk=$dist/org/emotionllama/emotion-llama-sdk/$version/emotion-llama-sdk-$version
model=$dist/org/emotionllama/emotion-llama-model-mini/$version/emotion-llama-model-mini-$version
for file in "$sdk.jar" "$sdk-sources.jar" "$sdk-javadoc.jar" "$sdk.pom" "$model.jar"; do
    if [ ! -e "$file" ]; then
        echo "$0: there is no ${file#"$root"/}; run make pack sdk-java" >&2
        exit 1
    fi
done

maven=(mvn -B -q -Dstyle.color=never ${MAVEN_REPO_LOCAL:+"-Dmaven.repo.local=$MAVEN_REPO_LOCAL"})

# An earlier build that Maven keeps would be taken in place of this one.
kept=${MAVEN_REPO_LOCAL:-$HOME/.m2/repository}/org/emotionllama
scratch=$(mktemp -d)
trap 'rm -rf "$scratch" "$kept"' EXIT
rm -rf "$kept"

holds() { # JAR REQUIRED... -- ALLOWED
    local jar=$1 entry
    shift
    jar tf "$jar" | grep -v '/$' >"$scratch/contents"
    while [ "$1" != -- ]; do
        grep -qxF "$1" "$scratch/contents" || { echo "$jar has no $1" >&2; exit 1; }
        shift
    done
    if entry=$(grep -vxE "$2" "$scratch/contents"); then
        echo "$jar has stray files: $entry" >&2
        exit 1
    fi
    echo "${jar##*/}: $(wc -l <"$scratch/contents") files, $(wc -c <"$jar") bytes"
}
notices='META-INF/(MANIFEST\.MF|LICENSE|THIRD_PARTY\.md|MODEL_CARD\.md|licenses/.*)'
native=org/emotionllama/native/linux-$(uname -m)
holds "$sdk.jar" META-INF/LICENSE META-INF/THIRD_PARTY.md "$native/index.txt" "$native/libemotionllama.so.1" \
    -- "$notices|org/emotionllama/[A-Za-z\$0-9]+\.class|org/emotionllama/native/[a-z0-9_-]+/(index\.txt|lib[a-z-]+\.so\.[0-9]+|.*\.dylib|.*\.dll)"
grep "^$native" "$scratch/contents"
holds "$sdk-sources.jar" org/emotionllama/EmotionLLaMA.java -- "$notices|org/emotionllama/[A-Za-z]+\.java"
holds "$sdk-javadoc.jar" org.emotionllama/org/emotionllama/EmotionLLaMA.html -- '.*\.(html|js|css|png|svg|md)|(package|element)-list|META-INF/MANIFEST\.MF|legal/.*|.*/package-list'

# Only what runs it: no compiler, no pkg-config.
mkdir "$scratch/bin" "$scratch/project" "$scratch/home"
for tool in java mvn python3 sh bash uname dirname basename expr ls sed cat env readlink tr grep; do
    if found=$(command -v "$tool"); then ln -s "$found" "$scratch/bin/$tool"; fi
done
clean=(env -i "EMOTION_LLAMA_SERVER=${EMOTION_LLAMA_SERVER:-}" "PATH=$scratch/bin" "HOME=$HOME" "XDG_CACHE_HOME=$scratch/home" LC_ALL=C.UTF-8
    "EMOTION_LLAMA_CLIPS=${EMOTION_LLAMA_CLIPS:-$root/build/clips}")
pack=${EMOTION_LLAMA_PACK:-$root/build/packs/emotion-llama-mini}

# The tests, in a project that has nothing but them and the artefact.
cp -r bindings/java/src "$scratch/project/"
rm -r "$scratch/project/src/main"
plugin() { # NAME VERSION
    echo "<plugin><artifactId>$1</artifactId><version>$2</version></plugin>"
}
dependency() { # GROUP NAME VERSION
    echo "<dependency><groupId>$1</groupId><artifactId>$2</artifactId><version>$3</version></dependency>"
}
cat >"$scratch/project/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>empty</groupId><artifactId>empty</artifactId><version>1</version>
  <properties>
    <maven.compiler.release>17</maven.compiler.release>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <repositories><repository><id>dist</id><url>file://$dist</url></repository></repositories>
  <dependencies>
    $(dependency org.emotionllama emotion-llama-sdk "$version")
    $(dependency org.junit.jupiter junit-jupiter 5.13.4)
  </dependencies>
  <build><plugins>
    $(plugin maven-resources-plugin 3.3.1)
    $(plugin maven-compiler-plugin 3.14.0)
    $(plugin maven-surefire-plugin 3.5.3)
    $(plugin maven-dependency-plugin 3.8.1)
  </plugins></build>
</project>
POM
cli=$root/target/release/emotion-llama
runs=20
if [ -x "$cli" ] && "$cli" pack synth --shape least --quantize f32 --perception none --out "$scratch/small" >/dev/null 2>&1; then
    runs=500
    clean+=("EMOTION_LLAMA_SMALL_PACK=$scratch/small")
fi
"${clean[@]}" "EMOTION_LLAMA_PACK=$pack" "${maven[@]}" -f "$scratch/project/pom.xml" test dependency:build-classpath \
    "-Dmdep.outputFile=$scratch/classpath" "-Demotionllama.repository=$root" "-Demotionllama.analyses=${RUNS:-$runs}"

# The conformance cases, embedded and against the stub server.
"${clean[@]}" "EMOTION_LLAMA_PACK=$pack" java "-Demotionllama.repository=$root" \
    -cp "$scratch/project/target/test-classes:$(cat "$scratch/classpath")" org.emotionllama.Conformance

# The examples, with the model jar.
cp -r examples/java "$scratch/examples"
python3 tools/page_program.py bindings/java/README.md "${EMOTION_LLAMA_CLIPS:-$root/build/clips}/1001_DFA_ANG_XX.flv" "$scratch/examples/src/main/java/Page.java"
rm -rf "$scratch/examples/target"
holds "$model.jar" META-INF/LICENSE META-INF/MODEL_CARD.md org/emotionllama/packs/emotion-llama-mini/pack.json \
    -- "$notices|org/emotionllama/packs/emotion-llama-mini/[a-z_]+\.(txt|json|gguf|safetensors)"
"${clean[@]}" "${maven[@]}" -f "$scratch/examples/pom.xml" "-Ddist=$dist" compile dependency:build-classpath \
    "-Dmdep.outputFile=$scratch/classpath"
run() {
    "${clean[@]}" java -cp "$scratch/examples/target/classes:$(cat "$scratch/classpath")" "$@"
}
clips=${EMOTION_LLAMA_CLIPS:-$root/build/clips}
run Analyze "$clips/1001_DFA_ANG_XX.flv" | tee "$scratch/output"
grep -q '^angry ' "$scratch/output"
run Folder "$clips" | tee "$scratch/output"
grep -q '1001_DFA_ANG_XX.flv: angry ' "$scratch/output"
[ "$(wc -l <"$scratch/output")" -eq "$(find -L "$clips" -maxdepth 1 -type f | wc -l)" ]
# The code on the page.
run Page
echo "java sdk: ok"
