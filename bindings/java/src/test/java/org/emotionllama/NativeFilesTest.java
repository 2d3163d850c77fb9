package org.emotionllama;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NativeFilesTest {
    /** A folder of the tests' resources that looks like a jar's. */
    private static final String FOLDER = "/org/emotionllama/unpack/";

    @TempDir
    Path directory;
    private String before;

    @BeforeEach
    void useAnotherCache() {
        before = System.getProperty(NativeFiles.CACHE_PROPERTY);
        System.setProperty(NativeFiles.CACHE_PROPERTY, directory.resolve("cache").toString());
    }

    @AfterEach
    void useTheCacheAgain() {
        if (before == null) {
            System.clearProperty(NativeFiles.CACHE_PROPERTY);
        } else {
            System.setProperty(NativeFiles.CACHE_PROPERTY, before);
        }
    }

    @Test
    void filesAreUnpackedOnceAndPrivately() throws IOException {
        Path unpacked = NativeFiles.unpack(FOLDER + "good", true).orElseThrow();
        assertEquals("one\n", Files.readString(unpacked.resolve("one.txt")));
        assertEquals("two\n", Files.readString(unpacked.resolve("two.txt")));
        Object made = Files.getLastModifiedTime(unpacked.resolve("one.txt"));
        assertEquals(unpacked, NativeFiles.unpack(FOLDER + "good", true).orElseThrow());
        assertEquals(made, Files.getLastModifiedTime(unpacked.resolve("one.txt")));
        if (Files.getFileStore(directory).supportsFileAttributeView("posix")) {
            assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(directory.resolve("cache"))));
        }
        assertNothingLeft();
    }

    @Test
    void whatIsDamagedIsUnpackedAnew() throws IOException {
        Path unpacked = NativeFiles.unpack(FOLDER + "good", true).orElseThrow();
        Files.writeString(unpacked.resolve("one.txt"), "other");
        Files.delete(unpacked.resolve("two.txt"));
        assertEquals(unpacked, NativeFiles.unpack(FOLDER + "good", true).orElseThrow());
        assertEquals("one\n", Files.readString(unpacked.resolve("one.txt")));
        assertNothingLeft();
    }

    @Test
    void severalAtOnceUnpackTheSame() throws IOException {
        List<CompletableFuture<Optional<Path>>> all = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            all.add(CompletableFuture.supplyAsync(() -> NativeFiles.unpack(FOLDER + "good", true)));
        }
        assertEquals(1, all.stream().map(CompletableFuture::join).distinct().count());
        assertNothingLeft();
    }

    @Test
    void aJarThatIsDamagedIsRefused() throws IOException {
        var error = assertThrows(EmotionLLaMAException.class, () -> NativeFiles.unpack(FOLDER + "bad", true));
        assertTrue(error.getMessage().contains("damaged"), error.getMessage());
        assertNothingLeft();
    }

    @Test
    void aFolderThatIsNotThereIsNone() {
        assertEquals(Optional.empty(), NativeFiles.unpack(FOLDER + "none", true));
    }

    @Test
    void aDirectoryThatOthersMayWriteIsNotUsed() throws IOException {
        assumeTrue(Files.getFileStore(directory).supportsFileAttributeView("posix"));
        Files.createDirectory(directory.resolve("cache"));
        Files.setPosixFilePermissions(directory.resolve("cache"), PosixFilePermissions.fromString("rwxrwxrwx"));
        var error = assertThrows(EmotionLLaMAException.class, () -> NativeFiles.unpack(FOLDER + "good", true));
        assertTrue(error.getMessage().contains("private"), error.getMessage());
        Files.delete(directory.resolve("cache"));
        Files.createSymbolicLink(directory.resolve("cache"), Files.createDirectory(directory.resolve("elsewhere")));
        assertThrows(EmotionLLaMAException.class, () -> NativeFiles.unpack(FOLDER + "good", true));
    }

    @Test
    void aLibraryThatCannotBeLoadedIsATypedError() throws IOException {
        Path text = Files.writeString(directory.resolve("libemotionllama.so.1"), "no library");
        var error = assertThrows(EmotionLLaMAException.class, () -> Ffi.load(Optional.of(text)));
        assertEquals(ErrorCode.NOT_FOUND, error.errorCode());
        assertThrows(EmotionLLaMAException.class, () -> Ffi.load(Optional.of(directory.resolve("missing.so"))));
    }

    @Test
    void anotherLibraryIsATypedError() {
        assumeTrue(NativeFiles.platform().startsWith("linux"));
        var other = assertThrows(EmotionLLaMAException.class, () -> Ffi.load(Optional.of(Path.of("libm.so.6"))));
        assertEquals(ErrorCode.INTERNAL, other.errorCode());
        assertTrue(other.getMessage().contains("is no libemotionllama"), other.getMessage());
        var later = assertThrows(EmotionLLaMAException.class, () -> Ffi.checkVersion(Ffi.ABI_VERSION + 1, "library"));
        assertEquals(ErrorCode.INTERNAL, later.errorCode());
    }

    private void assertNothingLeft() throws IOException {
        try (var files = Files.list(directory.resolve("cache"))) {
            assertFalse(files.anyMatch(file -> file.getFileName().toString().startsWith(".")));
        }
    }
}
