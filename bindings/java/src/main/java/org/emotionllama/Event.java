package org.emotionllama;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;

/** Something that happened in a running analysis. The last one is a {@link Result}. */
public sealed interface Event {
    /**
     * A stage begins.
     *
     * @param stage {@code decode}, {@code observe} or {@code respond}; later releases may have more
     */
    record Stage(String stage) implements Event {}

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
            case "text" -> new Text(object.get("text").getAsString());
            case "result" -> {
                JsonObject analysis = object.getAsJsonObject("analysis");
                yield new Result(Analysis.from(analysis, analysis.toString()));
            }
            default -> new Other(json);
        };
    }
}
