package org.emotionllama;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** Something that happened in a running analysis. The last one is a {@link Result}. */
public sealed interface Event {
    /**
     * A stage begins.
     *
     * @param stage {@code decode}, {@code observe} or {@code respond}; later releases may have more
     */
    record Stage(String stage) implements Event {}

    /**
     * The label is known; the text follows. A server of the published API does not tell it.
     *
     * @param emotion the label with the highest probability
     * @param confidence its probability, 0 to 1
     * @param probabilities each allowed label with its probability, in the order of the labels
     */
    record Label(String emotion, double confidence, Map<String, Double> probabilities) implements Event {
        /** The map is copied; null stands for an empty one. */
        public Label {
            probabilities =
                    probabilities == null ? Map.of() : Collections.unmodifiableMap(new LinkedHashMap<>(probabilities));
        }
    }

    /**
     * A piece of the answer.
     *
     * @param text the piece; the pieces add up to the response
     */
    record Text(String text) implements Event {}

    /**
     * The end.
     *
     * @param analysis the result
     */
    record Result(Analysis analysis) implements Event {}

    /**
     * An event that this release of the client does not know.
     *
     * @param json the event as the library gave it
     */
    record Other(String json) implements Event {}

    /** The event of {@code json}. */
    static Event fromJson(String json) {
        JsonObject object = Json.object(json);
        JsonElement type = object.get("type");
        return switch (type == null ? "" : type.getAsString()) {
            case "stage" -> new Stage(object.get("stage").getAsString());
            case "label" -> Json.as(object, Label.class);
            case "text" -> new Text(object.get("text").getAsString());
            case "result" -> {
                JsonObject analysis = object.getAsJsonObject("analysis");
                yield new Result(Analysis.from(analysis, analysis.toString()));
            }
            default -> new Other(json);
        };
    }
}
