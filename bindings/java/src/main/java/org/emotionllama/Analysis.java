package org.emotionllama;

import com.google.gson.JsonObject;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a person in a clip feels, and what shows it.
 *
 * @param response the text as the model gave it
 * @param emotion the label with the highest probability
 * @param confidence its probability, 0 to 1; null when it is not known, as with a published server
 * @param probabilities each allowed label with its probability, in the order of the labels
 * @param explanation what shows it, in sentences; empty when only the label was asked for
 * @param transcript what is said in the clip; null when nothing is, or when it was not wanted
 * @param language ISO 639-1 code of the language that the speech recognition heard, or null
 * @param faces every face that was found, the described one first
 * @param frame the frame that was described; null without a face or without pictures
 * @param cues what was measured
 * @param usage tokens read and written by the language model
 * @param timingsMs where the time went
 * @param timeToLabelMs milliseconds until the label and its probability were known; the text follows
 * @param model which model answered
 * @param notes what the caller should know of this input, for example that it has no sound
 * @param json all of it as the library gave it, with what a later release adds
 */
public record Analysis(
        String response,
        String emotion,
        Double confidence,
        Map<String, Double> probabilities,
        String explanation,
        String transcript,
        String language,
        List<Face> faces,
        DescribedFrame frame,
        List<Cue> cues,
        Usage usage,
        Timings timingsMs,
        double timeToLabelMs,
        ModelInfo model,
        List<Note> notes,
        String json) {

    /** Lists and maps are copied; null stands for an empty one. */
    public Analysis {
        probabilities =
                probabilities == null ? Map.of() : Collections.unmodifiableMap(new LinkedHashMap<>(probabilities));
        explanation = explanation == null ? "" : explanation;
        faces = Json.list(faces);
        cues = Json.list(cues);
        notes = Json.list(notes);
    }

    /**
     * Reads an analysis from its JSON, as {@link #json()}, the command line and the server give it.
     *
     * @param json a JSON object
     * @return the analysis
     * @throws EmotionLLaMAException {@code internal}, when it is none
     */
    public static Analysis fromJson(String json) {
        return from(Json.object(json), json);
    }

    static Analysis from(JsonObject object, String json) {
        Analysis read = Json.as(object, Analysis.class);
        return new Analysis(read.response, read.emotion, read.confidence, read.probabilities, read.explanation, read.transcript,
                read.language, read.faces, read.frame, read.cues, read.usage, read.timingsMs, read.timeToLabelMs,
                read.model, read.notes, json);
    }

    /**
     * A rectangle in pixels of the source picture, after rotation.
     *
     * @param x left edge
     * @param y upper edge
     * @param width width
     * @param height height
     */
    public record Rect(float x, float y, float width, float height) {}

    /**
     * A face, followed through the clip.
     *
     * @param box where it is, in the frame at {@code timeS}
     * @param score how sure the detector is, 0 to 1
     * @param track number of the person, the same through the clip
     * @param timeS time of the frame, in seconds
     */
    public record Face(Rect box, float score, int track, double timeS) {}

    /**
     * The frame that was described.
     *
     * @param timeS its time, in seconds
     * @param index its number in the stream, from 0
     * @param face the face in it, or null
     */
    public record DescribedFrame(double timeS, long index, Rect face) {}

    /**
     * A measurement.
     *
     * @param name stable name, for example {@code mouth_corner} or {@code pitch}
     * @param value the measurement in {@code unit}, or null when it has none beside {@code z}
     * @param unit unit of {@code value}, for example {@code hertz}, or null
     * @param z standard deviations from the norm
     * @param level {@code low}, {@code normal} or {@code high}
     * @param reading the level in words, for example {@code raised}
     */
    public record Cue(String name, Double value, String unit, double z, String level, String reading) {}

    /**
     * Tokens read and written.
     *
     * @param promptTokens positions of the prompt
     * @param completionTokens tokens of the response
     * @param cachedTokens positions of the prompt that a session had read before
     */
    public record Usage(int promptTokens, int completionTokens, int cachedTokens) {}

    /**
     * Wall-clock milliseconds of each stage; some run side by side.
     *
     * @param decode demuxing and decoding
     * @param preprocess finding, aligning and reading faces
     * @param encode voice features, prosody and speech recognition; the encoders of a converted pack
     * @param prefill projection, and reading the prompt
     * @param generate scoring the labels and writing the answer
     * @param total the whole call
     */
    public record Timings(double decode, double preprocess, double encode, double prefill, double generate, double total) {}

    /**
     * Which model answered.
     *
     * @param name name of the pack
     * @param version version of the pack
     * @param digest SHA-256 of the pack's manifest
     */
    public record ModelInfo(String name, String version, String digest) {}

    /**
     * Something that is not an error but that the caller should know.
     *
     * @param name stable name, for example {@code no_face}
     * @param message one sentence for a person
     */
    public record Note(String name, String message) {}
}
