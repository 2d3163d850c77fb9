package org.emotionllama;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.sun.jna.Callback;
import com.sun.jna.Pointer;
import com.sun.jna.Structure;
import com.sun.jna.ptr.PointerByReference;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.junit.jupiter.api.Test;

/** Compares what is bound with ffi/abi.json. */
class AbiTest {
    private static final String PREFIX = "emotion_llama_";

    private final JsonObject abi = abi();

    private static JsonObject abi() {
        try {
            return Json.object(Files.readString(Places.repository("ffi/abi.json")));
        } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }

    @Test
    void theNumberOfTheAbiIsTheSame() {
        assertEquals(abi.get("abi_version").getAsInt(), Ffi.ABI_VERSION);
    }

    @Test
    void everyConstantIsBound() {
        Map<String, Function<String, Integer>> groups = Map.of(
                "PIXELS_", name -> PixelFormat.valueOf(name).code(),
                "SAMPLES_", name -> SampleFormat.valueOf(name).code(),
                "LOG_", name -> LogLevel.valueOf(name).code());
        for (Map.Entry<String, JsonElement> constant : abi.getAsJsonObject("constants").entrySet()) {
            String name = constant.getKey().substring(PREFIX.length());
            String group = groups.keySet().stream().filter(name::startsWith).findFirst().orElse("");
            int bound = name.equals("ABI_VERSION") ? Ffi.ABI_VERSION
                    : groups.getOrDefault(group, label -> ErrorCode.valueOf(label).code()).apply(name.substring(group.length()));
            assertEquals(constant.getValue().getAsInt(), bound, constant.getKey());
        }
    }

    @Test
    void everyFunctionIsBoundWithItsTypes() {
        List<String> bound = new ArrayList<>();
        for (Method method : Ffi.Abi.class.getDeclaredMethods()) {
            bound.add(method.getName());
            JsonObject function = abi.getAsJsonObject("functions").getAsJsonObject(method.getName());
            assertNotNull(function, method.getName() + " is not in the ABI");
            assertSignature(method.getName(), function, method);
        }
        assertAll(abi.getAsJsonObject("functions").keySet().stream().map(name -> () -> assertTrue(bound.contains(name), name + " is not bound")));
    }

    @Test
    void everyCallbackIsBoundWithItsTypes() throws ReflectiveOperationException {
        for (Map.Entry<String, JsonElement> callback : abi.getAsJsonObject("callbacks").entrySet()) {
            Class<?> bound = bound(callback.getKey());
            assertTrue(Callback.class.isAssignableFrom(bound));
            assertEquals(1, bound.getDeclaredMethods().length);
            assertSignature(callback.getKey(), callback.getValue().getAsJsonObject(), bound.getDeclaredMethods()[0]);
        }
    }

    @Test
    void everyStructHasTheSameFieldsInTheSameOrderAtTheSamePlaces() throws ReflectiveOperationException {
        for (Map.Entry<String, JsonElement> struct : abi.getAsJsonObject("structs").entrySet()) {
            Class<?> bound = bound(struct.getKey());
            List<String> order = Arrays.asList(bound.getAnnotation(Structure.FieldOrder.class).value());
            List<String> wanted = new ArrayList<>();
            int offset = 0;
            int widest = 1;
            Structure made = (Structure) bound.getConstructor().newInstance();
            for (JsonElement element : struct.getValue().getAsJsonArray()) {
                String field = element.getAsString();
                String name = field.replaceAll("^.*[ *]([a-z_0-9]+)(\\[\\d+\\])?$", "$1");
                int many = field.endsWith("]") ? Integer.parseInt(field.replaceAll("^.*\\[(\\d+)\\]$", "$1")) : 1;
                String type = field.substring(0, field.lastIndexOf(name)).trim();
                wanted.add(name);
                Field java = bound.getField(name);
                assertEquals(javaType(type), many == 1 ? java.getType() : java.getType().getComponentType(), field);
                int width = width(type);
                offset = (offset + width - 1) / width * width;
                assertEquals(offset, offsetOf(made, name), struct.getKey() + "." + name);
                offset += many * width;
                widest = Math.max(widest, width);
            }
            assertEquals(wanted, order, struct.getKey());
            assertEquals((offset + widest - 1) / widest * widest, made.size(), struct.getKey());
        }
    }

    private static int offsetOf(Structure made, String name) throws ReflectiveOperationException {
        Method method = Structure.class.getDeclaredMethod("fieldOffset", String.class);
        method.setAccessible(true);
        return (int) method.invoke(made, name);
    }

    private static void assertSignature(String name, JsonObject function, Method method) {
        assertEquals(javaType(function.get("returns").getAsString()), method.getReturnType(), name);
        List<Class<?>> wanted = new ArrayList<>();
        for (JsonElement parameter : function.getAsJsonArray("parameters")) {
            wanted.add(javaType(parameter.getAsString().replaceAll("[a-z_0-9]+$", "").trim()));
        }
        List<Class<?>> given = new ArrayList<>(Arrays.asList(method.getParameterTypes()));
        for (int i = 0; i < given.size() && i < wanted.size(); i++) {
            // Text that is given is a String in functions; what a callback is given, or a function gives, is read by hand.
            if (given.get(i) == String.class && wanted.get(i) == Pointer.class) {
                assertEquals("const char *", function.getAsJsonArray("parameters").get(i).getAsString().replaceAll("[a-z_0-9]+$", "").trim());
                given.set(i, Pointer.class);
            }
        }
        assertEquals(wanted, given, name);
    }

    /** The Java type for a C type; structs and callbacks by their names. */
    private static Class<?> javaType(String c) {
        switch (c) {
            case "void":
                return void.class;
            case "bool":
                return byte.class;
            case "uint32_t":
                return int.class;
            case "uint64_t", "size_t":
                return long.class;
            case "double":
                return double.class;
            default:
                if (c.endsWith("**")) {
                    return PointerByReference.class;
                }
                String name = c.replace("const ", "").replace("struct ", "").replace("*", "").trim();
                try {
                    return name.startsWith(PREFIX) ? bound(name) : Pointer.class;
                } catch (ClassNotFoundException opaque) {
                    assertTrue(abi().getAsJsonArray("types").asList().stream().anyMatch(type -> type.getAsString().equals(name)), c);
                    return Pointer.class;
                }
        }
    }

    private static int width(String c) {
        return switch (c) {
            case "uint32_t" -> 4;
            default -> 8;
        };
    }

    private static Class<?> bound(String c) throws ClassNotFoundException {
        StringBuilder name = new StringBuilder("org.emotionllama.Ffi$");
        for (String word : c.substring(PREFIX.length()).split("_")) {
            name.append(Character.toUpperCase(word.charAt(0))).append(word.substring(1));
        }
        return Class.forName(name.toString());
    }
}
