package org.emotionllama;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * Files that jars carry: the native libraries of a platform, and packs. A folder of them has an {@code index.txt} with a line
 * {@code SHA-256 two spaces name} for each file. They are unpacked once, into a directory that is named after the index's own checksum and
 * that only this user can write, by renaming a finished copy into place.
 */
final class NativeFiles {
    /** A directory in which to unpack, in place of the user's cache. */
    static final String CACHE_PROPERTY = "emotionllama.cache";

    private static final String INDEX = "index.txt";

    private NativeFiles() {}

    /** The library's file: the jar's, or the one that {@code EMOTION_LLAMA_LIBRARY} names; none is to ask the system's loader. */
    static Optional<Path> library() {
        Optional<Path> unpacked = unpack("/org/emotionllama/native/" + platform(), true);
        if (unpacked.isPresent()) {
            return unpacked.map(directory -> directory.resolve(libraryName()));
        }
        return Optional.ofNullable(System.getenv("EMOTION_LLAMA_LIBRARY")).filter(name -> !name.isEmpty())
                .map(name -> Path.of(name).toAbsolutePath());
    }

    /** The pack that a model jar on the class path has under {@code name}. */
    static Optional<Path> pack(String name) {
        return unpack("/org/emotionllama/packs/" + name, false);
    }

    /** For example {@code linux-x86_64}. */
    static String platform() {
        String system = System.getProperty("os.name").toLowerCase(Locale.ROOT);
        String machine = System.getProperty("os.arch").toLowerCase(Locale.ROOT);
        return (system.startsWith("windows") ? "windows" : system.startsWith("mac") ? "macos" : system) + "-"
                + switch (machine) {
                    case "amd64", "x86_64" -> "x86_64";
                    case "aarch64", "arm64" -> "aarch64";
                    default -> machine;
                };
    }

    static String libraryName() {
        String platform = platform();
        if (platform.startsWith("windows")) {
            return "emotionllama.dll";
        }
        return platform.startsWith("macos") ? "libemotionllama.1.dylib" : "libemotionllama.so.1";
    }

    /**
     * The directory with the files of the folder {@code resource}; none when there is no such folder.
     *
     * @param verify whether the checksums of files that are there already are compared
     */
    static Optional<Path> unpack(String resource, boolean verify) {
        byte[] index;
        try (InputStream stream = NativeFiles.class.getResourceAsStream(resource + "/" + INDEX)) {
            if (stream == null) {
                return Optional.empty();
            }
            index = stream.readAllBytes();
        } catch (IOException error) {
            throw failed(resource, error);
        }
        List<Entry> entries = entries(new String(index, StandardCharsets.UTF_8));
        String name = HexFormat.of().formatHex(sha256().digest(index));
        IOException first = null;
        for (Path cache : caches()) {
            try {
                return Optional.of(unpack(resource, entries, makePrivate(cache).resolve(name), verify));
            } catch (IOException | UncheckedIOException error) {
                IOException cause = error instanceof UncheckedIOException unchecked ? unchecked.getCause() : (IOException) error;
                if (first == null) {
                    first = cause;
                } else {
                    first.addSuppressed(cause);
                }
            }
        }
        throw failed(resource, first);
    }

    private static Path unpack(String resource, List<Entry> entries, Path directory, boolean verify) throws IOException {
        if (complete(entries, directory, verify)) {
            return directory;
        }
        Path scratch = Files.createTempDirectory(directory.getParent(), ".unpacking-");
        try {
            for (Entry entry : entries) {
                MessageDigest digest = sha256();
                Path file = scratch.resolve(entry.name);
                URL url = NativeFiles.class.getResource(resource + "/" + entry.name);
                if (url == null) {
                    throw new IOException("the jar has no " + resource + "/" + entry.name);
                }
                try (InputStream stream = new java.security.DigestInputStream(url.openStream(), digest)) {
                    Files.copy(stream, file);
                }
                if (!HexFormat.of().formatHex(digest.digest()).equals(entry.checksum)) {
                    throw new IOException("the jar is damaged: " + resource + "/" + entry.name + " has another checksum than " + INDEX + " says");
                }
            }
            if (Files.exists(directory, LinkOption.NOFOLLOW_LINKS) && !complete(entries, directory, true)) {
                // Damaged, or not ours: moved aside, because a library in it may be in use.
                Files.move(directory, scratch.resolveSibling(scratch.getFileName() + ".damaged"), StandardCopyOption.ATOMIC_MOVE);
            }
            try {
                Files.move(scratch, directory, StandardCopyOption.ATOMIC_MOVE);
            } catch (IOException error) {
                // Another process was quicker.
                if (!complete(entries, directory, true)) {
                    throw error;
                }
            }
            return directory;
        } finally {
            remove(scratch);
            remove(scratch.resolveSibling(scratch.getFileName() + ".damaged"));
        }
    }

    private static boolean complete(List<Entry> entries, Path directory, boolean verify) throws IOException {
        if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
            return false;
        }
        for (Entry entry : entries) {
            Path file = directory.resolve(entry.name);
            if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS) || verify && !checksum(file).equals(entry.checksum)) {
                return false;
            }
        }
        return true;
    }

    /** Where to unpack: what the property says, else the user's cache, else the directory for temporary files. */
    private static List<Path> caches() {
        String wanted = System.getProperty(CACHE_PROPERTY);
        if (wanted != null && !wanted.isEmpty()) {
            return List.of(Path.of(wanted).toAbsolutePath());
        }
        List<Path> caches = new ArrayList<>();
        String home = System.getProperty("user.home");
        String set = System.getenv(platform().startsWith("windows") ? "LOCALAPPDATA" : "XDG_CACHE_HOME");
        if (set != null && Path.of(set).isAbsolute()) {
            caches.add(Path.of(set, "emotion-llama", "java"));
        } else if (home != null && Path.of(home).isAbsolute()) {
            caches.add(Path.of(home, ".cache", "emotion-llama", "java"));
        }
        caches.add(Path.of(System.getProperty("java.io.tmpdir"), "emotion-llama-java-" + System.getProperty("user.name")).toAbsolutePath());
        return caches;
    }

    /** Makes a directory that only this user can write, or sees that it is one: whoever can write it can run code in this process. */
    private static Path makePrivate(Path directory) throws IOException {
        boolean posix = FileSystems.getDefault().supportedFileAttributeViews().contains("posix");
        FileAttribute<?>[] rights = posix
                ? new FileAttribute<?>[] {PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"))}
                : new FileAttribute<?>[0];
        Files.createDirectories(directory.getParent());
        try {
            Files.createDirectory(directory, rights);
        } catch (FileAlreadyExistsException there) {
            if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
                throw new IOException(directory + " is no directory", there);
            }
        }
        if (posix) {
            String may = PosixFilePermissions.toString(Files.getPosixFilePermissions(directory, LinkOption.NOFOLLOW_LINKS));
            if (may.charAt(4) == 'w' || may.charAt(7) == 'w') {
                throw new IOException(directory + " can be written by others (" + may + "); make it private");
            }
            // A directory that was just made belongs to this user.
            Path probe = Files.createTempFile(directory, ".owner-", "");
            try {
                Object mine = Files.getAttribute(probe, "unix:uid", LinkOption.NOFOLLOW_LINKS);
                if (!mine.equals(Files.getAttribute(directory, "unix:uid", LinkOption.NOFOLLOW_LINKS))) {
                    throw new IOException(directory + " belongs to another user");
                }
            } finally {
                Files.delete(probe);
            }
        }
        return directory;
    }

    private record Entry(String checksum, String name) {}

    private static List<Entry> entries(String index) {
        List<Entry> entries = new ArrayList<>();
        for (String line : index.split("\n")) {
            String name = line.substring(66);
            if (name.isEmpty() || name.startsWith(".") || name.contains("/") || name.contains(File.separator)) {
                throw new IllegalStateException("the jar's " + INDEX + " names " + name);
            }
            entries.add(new Entry(line.substring(0, 64), name));
        }
        return entries;
    }

    private static String checksum(Path file) throws IOException {
        MessageDigest digest = sha256();
        byte[] piece = new byte[1 << 16];
        try (InputStream stream = Files.newInputStream(file)) {
            for (int read = stream.read(piece); read >= 0; read = stream.read(piece)) {
                digest.update(piece, 0, read);
            }
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException("every Java has SHA-256", error);
        }
    }

    /** As far as it can. */
    private static void remove(Path directory) {
        if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        try (var files = Files.list(directory)) {
            for (Path file : files.toList()) {
                Files.deleteIfExists(file);
            }
            Files.deleteIfExists(directory);
        } catch (IOException error) {
            // What is left lies in the user's own cache.
        }
    }

    private static EmotionLLaMAException failed(String resource, IOException error) {
        return new EmotionLLaMAException(ErrorCode.NOT_FOUND,
                resource + " of the jar cannot be unpacked; set the system property " + CACHE_PROPERTY
                        + " to a directory that only this user can write: " + error, error);
    }
}
