import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import org.emotionllama.EmotionLLaMA;
import org.emotionllama.Event;
import org.emotionllama.EventStream;
import org.emotionllama.Request;
import org.emotionllama.Task;

/** Seconds that an analysis with its text takes through the Java SDK: Sdk PACK CLIP THREADS, one for each line that comes in. */
final class Sdk {
    private Sdk() {}

    public static void main(String[] arguments) throws IOException {
        Request request = Request.videoPath(arguments[1]).task(Task.REASON).greedy(true);
        EmotionLLaMA.Builder builder = EmotionLLaMA.builder().pack(arguments[0]).verify(false);
        try (EmotionLLaMA client = builder.threads(Integer.parseInt(arguments[2])).open()) {
            BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            while (lines.readLine() != null) {
                long began = System.nanoTime();
                try (EventStream events = client.stream(request)) {
                    for (Event event : events) {
                        assert event != null;
                    }
                }
                System.out.println((System.nanoTime() - began) / 1e9);
            }
        }
    }
}
