import org.emotionllama.EmotionLLaMA;
import org.emotionllama.EmotionLLaMAException;
import org.emotionllama.Event;
import org.emotionllama.EventStream;
import org.emotionllama.Request;
import org.emotionllama.Task;

/** Analyses a file: tells how far the load is, and writes the answer while it comes. Arguments: the file, and a pack or a server's URL. */
final class Analyze {
    private Analyze() {}

    public static void main(String[] arguments) {
        if (arguments.length < 1 || arguments.length > 2) {
            System.err.println("usage: java Analyze FILE [PACK|URL]");
            System.exit(2);
        }
        EmotionLLaMA.Builder builder = EmotionLLaMA.builder().progress((done, total) -> {
            System.err.printf("\rloading %d%%", 100 * done / Math.max(1, total));
            return true;
        });
        if (arguments.length == 2) {
            builder.pack(arguments[1]);
        }
        Request request = Request.videoPath(arguments[0]).task(Task.REASON);
        try (EmotionLLaMA client = builder.open(); EventStream events = client.stream(request)) {
            System.err.println();
            for (Event event : events) {
                if (event instanceof Event.Stage stage) {
                    System.err.println("[" + stage.stage() + "]");
                } else if (event instanceof Event.Text piece) {
                    System.out.print(piece.text());
                    System.out.flush();
                } else if (event instanceof Event.Result end) {
                    System.out.printf("%n%s (%s)%n", end.analysis().emotion(), end.analysis().confidence());
                }
            }
        } catch (EmotionLLaMAException error) {
            System.err.println(error.name() + ": " + error.getMessage());
            System.exit(1);
        }
    }
}
