package org.emotionllama;

import com.google.gson.FieldNamingPolicy;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.util.List;

/** The library's JSON. Fields that a record does not have are passed over; those that are not there are null, 0 or empty. */
final class Json {
    private static final Gson GSON =
            new GsonBuilder().setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES).disableHtmlEscaping().create();

    private Json() {}

    static JsonObject object(String text) {
        try {
            return JsonParser.parseString(text).getAsJsonObject();
        } catch (JsonParseException | IllegalStateException error) {
            throw unexpected(error);
        }
    }

    static <T> T as(JsonObject object, Class<T> type) {
        try {
            return GSON.fromJson(object, type);
        } catch (JsonParseException error) {
            throw unexpected(error);
        }
    }

    static JsonObject from(Object record) {
        return GSON.toJsonTree(record).getAsJsonObject();
    }

    static <T> List<T> list(List<T> given) {
        return given == null ? List.of() : List.copyOf(given);
    }

    private static EmotionLLaMAException unexpected(Exception error) {
        return new EmotionLLaMAException(
                ErrorCode.INTERNAL, "the library's answer is not what is expected: " + error.getMessage(), error);
    }
}
