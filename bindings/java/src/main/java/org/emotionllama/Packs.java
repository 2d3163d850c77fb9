package org.emotionllama;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Stream;

/** Where packs are looked for that no path names. */
final class Packs {
    private static final String MINI = "emotion-llama-mini";

    private Packs() {}

    /** The built-in model's directory. {@code library} is the native library's file, where it is known. */
    static Path builtIn(Optional<Path> library, Function<String, String> environment) {
        return NativeFiles.pack(MINI)
                .or(() -> beside(library).stream().flatMap(Packs::in).findFirst())
                .or(() -> Optional.ofNullable(environment.apply("EMOTION_LLAMA_PACK")).filter(name -> !name.isEmpty()).map(Path::of))
                .orElseThrow(() -> new EmotionLLaMAException(ErrorCode.NOT_FOUND,
                        "there is no built-in model; add org.emotionllama:emotion-llama-model-mini to the dependencies, "
                                + "set EMOTION_LLAMA_PACK to a pack's directory, or name a pack", null));
    }

    /** Directories that may hold packs. */
    static List<Path> beside(Optional<Path> library) {
        List<Path> found = new ArrayList<>();
        library.map(Path::getParent).ifPresent(directory -> {
            found.add(directory.resolve("../share/emotion-llama/packs").normalize());
            found.add(directory.resolve("packs"));
        });
        return found.stream().filter(Files::isDirectory).toList();
    }

    /** The built-in model in {@code directory}. */
    private static Stream<Path> in(Path directory) {
        return Stream.of(directory.resolve(MINI)).filter(pack -> Files.isRegularFile(pack.resolve("pack.json")));
    }
}
