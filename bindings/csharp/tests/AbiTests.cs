// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Runtime.InteropServices;
using EmotionLlama.Json;
using EmotionLlama.Native;

namespace EmotionLlama.Tests
{
    /// <summary>The binding covers the whole of ffi/abi.json, and nothing else.</summary>
    internal static class AbiTests
    {
        private const BindingFlags All = BindingFlags.Static | BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public;

        private static readonly JsonObject Abi = JsonReader.ParseObject(File.ReadAllText(Places.Abi));

        public static void TheVersionIsTheHeaders()
        {
            Check.Equal(Abi.Number("abi_version").Value, (double)NativeMethods.AbiVersion, "NativeMethods.AbiVersion");
            LibraryLoader.CheckAbi(NativeMethods.AbiVersion, "x");
            EmotionLlamaException other = Check.Fails(
                ErrorCode.NotFound, "not_found", () => LibraryLoader.CheckAbi(NativeMethods.AbiVersion + 1, "/place/libemotionllama.so"));
            Check.That(other.Message.Contains("/place/libemotionllama.so") && other.Message.Contains("ABI 2"), other.Message);
        }

        public static void EveryFunctionIsDeclaredWithItsTypes()
        {
            Dictionary<string, MethodInfo> declared = typeof(NativeMethods).GetMethods(All)
                .Where(method => (method.Attributes & MethodAttributes.PinvokeImpl) != 0)
                .ToDictionary(method => method.Name);
            JsonObject functions = Abi.Object("functions");
            Check.Same(Names(functions).OrderBy(name => name), declared.Keys.OrderBy(name => name), "functions");
            foreach (KeyValuePair<string, object> function in functions.Fields)
            {
                CheckSignature(function.Key, (JsonObject)function.Value, declared[function.Key]);
            }
        }

        public static void EveryCallbackIsDeclaredWithItsTypes()
        {
            JsonObject callbacks = Abi.Object("callbacks");
            IEnumerable<string> declared = typeof(NativeMethods).GetNestedTypes(All)
                .Where(type => typeof(Delegate).IsAssignableFrom(type)).Select(type => type.Name);
            Check.Same(Names(callbacks).Select(Pascal).OrderBy(name => name), declared.OrderBy(name => name), "callbacks");
            foreach (KeyValuePair<string, object> callback in callbacks.Fields)
            {
                Type type = typeof(NativeMethods).GetNestedType(Pascal(callback.Key), All);
                CheckSignature(callback.Key, (JsonObject)callback.Value, type.GetMethod("Invoke"));
                UnmanagedFunctionPointerAttribute convention =
                    (UnmanagedFunctionPointerAttribute)Attribute.GetCustomAttribute(type, typeof(UnmanagedFunctionPointerAttribute));
                Check.Equal(CallingConvention.Cdecl, convention.CallingConvention, callback.Key);
            }
        }

        public static void EveryStructHasItsFieldsAtTheirPlaces()
        {
            JsonObject structs = Abi.Object("structs");
            IEnumerable<string> declared = typeof(NativeMethods).GetNestedTypes(All).Where(type => type.IsValueType).Select(type => type.Name);
            Check.Same(Names(structs).Select(Pascal).OrderBy(name => name), declared.OrderBy(name => name), "structs");
            foreach (KeyValuePair<string, object> given in structs.Fields)
            {
                Type type = typeof(NativeMethods).GetNestedType(Pascal(given.Key), All);
                List<string> fields = ((List<object>)given.Value).Cast<string>().SelectMany(Fields).ToList();
                Check.Same(
                    fields.Select(Name), type.GetFields(All).OrderBy(field => Marshal.OffsetOf(type, field.Name).ToInt64()).Select(f => f.Name), given.Key);
                int at = 0;
                int widest = 1;
                foreach (string field in fields)
                {
                    int size = SizeOf(field);
                    widest = Math.Max(widest, size);
                    at = (at + size - 1) / size * size;
                    FieldInfo info = type.GetField(Name(field), All);
                    Check.Equal(at, Marshal.OffsetOf(type, info.Name).ToInt32(), given.Key + "." + info.Name);
                    Check.Equal(size, Marshal.SizeOf(info.FieldType), given.Key + "." + info.Name);
                    at += size;
                }
                Check.Equal((at + widest - 1) / widest * widest, Marshal.SizeOf(type), given.Key);
            }
        }

        public static void EveryConstantHasItsValue()
        {
            Dictionary<string, long> bound = new Dictionary<string, long> { { "ABIVERSION", NativeMethods.AbiVersion } };
            Add<PixelFormat>(bound, "PIXELS");
            Add<SampleFormat>(bound, "SAMPLES");
            Add<LogLevel>(bound, "LOG");
            Add<ErrorCode>(bound, "");
            Dictionary<string, long> expected = Abi.Object("constants").Fields.ToDictionary(
                field => field.Key.Substring("EMOTION_LLAMA_".Length).Replace("_", ""), field => (long)(double)field.Value);
            Check.Same(
                expected.OrderBy(field => field.Key, StringComparer.Ordinal).Select(field => field.Key + "=" + field.Value),
                bound.OrderBy(field => field.Key, StringComparer.Ordinal).Select(field => field.Key + "=" + field.Value),
                "constants");
        }

        public static void EveryErrorHasAnHttpStatus()
        {
            foreach (ErrorCode code in Enum.GetValues(typeof(ErrorCode))) Check.That(EmotionLlamaException.StatusOf(code) >= 400, code.ToString());
            Check.Equal(null, EmotionLlamaException.StatusOf((ErrorCode)99), "a later one");
        }

        public static void EveryHandleIsASafeHandle()
        {
            // A status and a text are freed by the call that gets them.
            IEnumerable<string> expected = Abi.Texts("types").Select(Pascal).Where(name => name != "Status" && name != "Text");
            IEnumerable<string> bound = typeof(NativeHandle).Assembly.GetTypes()
                .Where(type => type.IsSubclassOf(typeof(NativeHandle))).Select(type => type.Name.Replace("Handle", ""));
            Check.Same(expected.OrderBy(name => name), bound.OrderBy(name => name), "handles");
        }

        public static void CallbacksAreStaticAndMarkedForAheadOfTimeCompilers()
        {
            foreach (KeyValuePair<Type, string> callback in new Dictionary<Type, string>
            {
                { typeof(EmotionLLaMA), "OnProgress" }, { typeof(Log), "OnMessage" },
            })
            {
                MethodInfo method = callback.Key.GetMethod(callback.Value, All);
                Check.That(method.IsStatic, callback.Value + " is static");
                Check.Equal(1, method.GetCustomAttributesData().Count(a => a.Constructor.DeclaringType.Name == "MonoPInvokeCallbackAttribute"));
            }
        }

        private static void CheckSignature(string name, JsonObject signature, MethodInfo method)
        {
            Check.Equal(Clr(signature.Text("returns"), true), method.ReturnType, name + " returns");
            Check.Same(
                signature.Texts("parameters").Select(parameter => Clr(Kind(parameter), false)),
                method.GetParameters().Select(parameter => parameter.ParameterType),
                name);
        }

        private static Type Clr(string kind, bool returned)
        {
            kind = kind.Replace("const ", "").Replace("struct ", "").Trim();
            if (kind == "void") return typeof(void);
            if (kind == "bool") return typeof(byte);
            if (kind == "uint32_t") return typeof(uint);
            if (kind == "uint64_t") return typeof(ulong);
            if (kind == "size_t") return typeof(UIntPtr);
            if (kind.EndsWith("**", StringComparison.Ordinal)) return typeof(IntPtr).MakeByRefType();
            // Texts that are given are pinned arrays; those of callbacks and results are read in place.
            if (kind == "char *") return returned ? typeof(IntPtr) : typeof(byte).MakePointerType();
            Type own = typeof(NativeMethods).GetNestedType(Pascal(kind.Replace("*", "").Trim()), All);
            if (own != null) return kind.EndsWith("*", StringComparison.Ordinal) ? own.MakePointerType() : own;
            if (kind.EndsWith("*", StringComparison.Ordinal)) return typeof(IntPtr);
            throw new CheckFailed("no rule for the C type " + kind);
        }

        /// <summary>`const char *request` without the name.</summary>
        private static string Kind(string declaration)
        {
            string kind = declaration.Substring(0, declaration.Length - Name(declaration).Length).Trim();
            // The log's strings are the only ones that a callback is given.
            bool isRead = declaration == "const char *target" || declaration == "const char *message";
            return isRead ? "void *" : kind;
        }

        private static string Name(string declaration)
        {
            return declaration.Split(' ', '*').Last();
        }

        /// <summary>An array of three as three fields.</summary>
        private static IEnumerable<string> Fields(string declaration)
        {
            if (!declaration.EndsWith("[3]", StringComparison.Ordinal)) return new[] { declaration };
            string one = declaration.Substring(0, declaration.Length - 3);
            return new[] { one + "0", one + "1", one + "2" };
        }

        private static int SizeOf(string declaration)
        {
            if (declaration.Contains("*") || declaration.StartsWith("size_t ", StringComparison.Ordinal)) return IntPtr.Size;
            if (declaration.StartsWith("uint32_t ", StringComparison.Ordinal)) return 4;
            if (declaration.StartsWith("double ", StringComparison.Ordinal)) return 8;
            throw new CheckFailed("no rule for the field " + declaration);
        }

        private static string Pascal(string name)
        {
            IEnumerable<string> words = name.Replace("emotion_llama_", "").Split('_').Where(word => word.Length > 0);
            return string.Concat(words.Select(word => char.ToUpperInvariant(word[0]) + word.Substring(1)));
        }

        private static IEnumerable<string> Names(JsonObject json)
        {
            return json.Fields.Select(field => field.Key);
        }

        private static void Add<T>(Dictionary<string, long> bound, string group)
        {
            foreach (object value in Enum.GetValues(typeof(T))) bound.Add(group + value.ToString().ToUpperInvariant(), Convert.ToInt64(value));
        }
    }
}
