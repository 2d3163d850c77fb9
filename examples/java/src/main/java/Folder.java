import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.emotionllama.Analysis;
import org.emotionllama.EmotionLLaMA;
import org.emotionllama.EmotionLLaMAException;

/** Analyses the files of a folder, four at a time. Arguments: the folder, and a pack or a server's URL. */
final class Folder {
    private static final int AT_ONCE = 4;

    private Folder() {}

    public static void main(String[] arguments) throws IOException, InterruptedException {
        if (arguments.length < 1 || arguments.length > 2) {
            System.err.println("usage: java Folder FOLDER [PACK|URL]");
            System.exit(2);
        }
        List<Path> files;
        try (var listed = Files.list(Path.of(arguments[0]))) {
            files = listed.filter(Files::isRegularFile).sorted().toList();
        }
        EmotionLLaMA.Builder builder = EmotionLLaMA.builder();
        if (arguments.length == 2) {
            builder.pack(arguments[1]);
        }
        ExecutorService workers = Executors.newFixedThreadPool(AT_ONCE);
        boolean failed = false;
        try (EmotionLLaMA client = builder.open()) {
            List<Future<Analysis>> results = new ArrayList<>();
            for (Path file : files) {
                results.add(workers.submit(() -> client.analyze(file)));
            }
            for (int i = 0; i < files.size(); i++) {
                try {
                    Analysis result = results.get(i).get();
                    System.out.printf("%s: %s (%s)%n", files.get(i).getFileName(), result.emotion(), result.confidence());
                } catch (ExecutionException error) {
                    String name = error.getCause() instanceof EmotionLLaMAException known ? known.name() : "failed";
                    System.out.printf("%s: %s: %s%n", files.get(i).getFileName(), name, error.getCause().getMessage());
                    failed = true;
                }
            }
        } finally {
            workers.shutdownNow();
        }
        System.exit(failed ? 1 : 0);
    }
}
