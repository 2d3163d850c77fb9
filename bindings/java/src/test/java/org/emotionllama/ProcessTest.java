package org.emotionllama;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A JVM that ends in the middle of calls neither crashes nor hangs. */
@Timeout(300)
class ProcessTest {
    private static final long HANGS_AFTER_S = 120;

    @TempDir
    Path directory;

    @ParameterizedTest
    @CsvSource({"exit,3", "halt,3", "return,0", "exit-with-log,3", "exit-while-loading,3", "throw,1"})
    void itEndsAsItWants(String how, int status) throws Exception {
        Process process = start(how);
        assertTrue(process.waitFor(HANGS_AFTER_S, TimeUnit.SECONDS), "it hangs");
        assertNoCrash();
        assertEquals(status, process.exitValue(), output());
        assertTrue(output().contains("ready"), output());
    }

    @Test
    void aSignalEndsIt() throws Exception {
        Process process = start("wait");
        while (!output().contains("ready") && process.isAlive()) {
            TimeUnit.MILLISECONDS.sleep(10);
        }
        process.destroy();
        assertTrue(process.waitFor(HANGS_AFTER_S, TimeUnit.SECONDS), "it hangs");
        assertNoCrash();
        assertEquals(128 + 15, process.exitValue(), output());
    }

    @Test
    void whatIsDroppedWhileItRunsIsCollectedWithoutHarm() throws Exception {
        Process process = start("garbage");
        assertTrue(process.waitFor(HANGS_AFTER_S, TimeUnit.SECONDS), "it hangs");
        assertNoCrash();
        assertEquals(0, process.exitValue(), output());
        assertEquals(3, output().lines().filter("angry"::equals).count(), output());
    }

    private Process start(String how) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:ErrorFile=" + directory.resolve("crash.log"),
                "-Demotionllama.repository=" + Places.repository("").toAbsolutePath(),
                "-cp", System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
                Children.class.getName(), how);
        String cache = System.getProperty(NativeFiles.CACHE_PROPERTY);
        if (cache != null) {
            builder.command().add(1, "-D" + NativeFiles.CACHE_PROPERTY + "=" + cache);
        }
        File output = directory.resolve("output").toFile();
        return builder.directory(directory.toFile()).redirectErrorStream(true).redirectOutput(output).start();
    }

    private String output() throws Exception {
        Path output = directory.resolve("output");
        return Files.exists(output) ? Files.readString(output) : "";
    }

    private void assertNoCrash() throws Exception {
        Path crash = directory.resolve("crash.log");
        assertTrue(Files.notExists(crash), Files.exists(crash) ? Files.readString(crash) : "");
    }
}
