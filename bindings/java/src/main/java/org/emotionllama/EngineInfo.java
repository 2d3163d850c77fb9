package org.emotionllama;

import com.google.gson.JsonObject;
import java.util.List;

/**
 * What an engine is and can.
 *
 * @param version version of the library
 * @param abiVersion number of its C interface
 * @param pack the pack
 * @param labels the labels that it knows
 * @param tasks the tasks that it knows
 * @param devices where it computes
 * @param threads how many threads each call computes with; null for a server
 * @param json all of it as the library gave it, with what a later release adds
 */
public record EngineInfo(
        String version, int abiVersion, Pack pack, List<String> labels, List<String> tasks, List<String> devices, Integer threads,
        String json) {

    /** Lists are copied; null stands for an empty one. */
    public EngineInfo {
        labels = Json.list(labels);
        tasks = Json.list(tasks);
        devices = Json.list(devices);
    }

    static EngineInfo fromJson(String json) {
        JsonObject object = Json.object(json);
        EngineInfo read = Json.as(object, EngineInfo.class);
        return new EngineInfo(
                read.version, read.abiVersion, read.pack, read.labels, read.tasks, read.devices, read.threads, json);
    }

    /**
     * A pack.
     *
     * @param name its name
     * @param version its version
     * @param digest SHA-256 of its manifest
     * @param formatVersion version of the format; null for a server's
     * @param architecture how it computes
     * @param description a sentence, or null
     */
    public record Pack(
            String name, String version, String digest, Integer formatVersion, String architecture, String description) {}
}
