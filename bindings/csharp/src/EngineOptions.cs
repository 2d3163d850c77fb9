// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.IO;
using EmotionLlama.Json;
using EmotionLlama.Native;

namespace EmotionLlama
{
    /// <summary>Which model answers, and how. What is null has the library's default.</summary>
    public sealed class EngineOptions
    {
        /// <summary>The environment variable that names the built-in model's directory.</summary>
        public const string PackVariable = "EMOTION_LLAMA_PACK";

        private const string BuiltIn = "emotion-llama-mini";

        /// <summary>A pack's directory, or a pack's name. Null, without a server: the built-in model.</summary>
        public string Pack { get; set; }

        /// <summary>The URL of a running server that answers in place of a pack.</summary>
        public string ApiUrl { get; set; }

        /// <summary>Directories in which packs are looked for by name. Null: beside the program and the library.</summary>
        public IEnumerable<string> Search { get; set; }

        /// <summary>Whether the checksums of a pack's files are compared.</summary>
        public bool? Verify { get; set; }

        /// <summary>How many threads each call computes with.</summary>
        public int? Threads { get; set; }

        /// <summary>Where it computes: <c>auto</c> (a graphics processor if one can be used), <c>cpu</c>, <c>cuda</c>, <c>cuda:1</c> or <c>cuda:UUID</c>.</summary>
        public string Device { get; set; }

        /// <summary>The server's key.</summary>
        public string ApiKey { get; set; }

        /// <summary>How long a call to a server may take.</summary>
        public TimeSpan? Timeout { get; set; }

        /// <summary>How long connecting to a server may take.</summary>
        public TimeSpan? ConnectTimeout { get; set; }

        /// <summary>A PEM file with the authorities that the server's certificate is checked with.</summary>
        public string CaFile { get; set; }

        /// <summary><c>auto</c>: files that can be read here are sent; <c>never</c>: every path is one of the server's machine.</summary>
        public string Upload { get; set; }

        /// <summary>Further options, by the names of the C ABI, for libraries that are newer than this binding.</summary>
        public IDictionary<string, object> Additional { get; set; }

        internal string ToJson()
        {
            if (Pack != null && ApiUrl != null)
            {
                throw new EmotionLlamaException(
                    ErrorCode.InvalidArgument, "invalid_argument", "a pack and a server are given; give one of them");
            }
            List<string> search = Search == null ? null : new List<string>(Search);
            if (search == null && Pack != null) search = PackDirectories();
            return new JsonWriter()
                .Field("source", ApiUrl ?? Pack ?? FindBuiltIn())
                .Field("search", search == null || search.Count == 0 ? null : search)
                .Field("verify", Verify)
                .Field("threads", Threads)
                .Field("device", Device)
                .Field("api_key", ApiKey)
                .Field("timeout_s", Timeout == null ? (double?)null : Timeout.Value.TotalSeconds)
                .Field("connect_timeout_s", ConnectTimeout == null ? (double?)null : ConnectTimeout.Value.TotalSeconds)
                .Field("ca_file", CaFile)
                .Field("upload", Upload)
                .Fields(Additional)
                .End();
        }

        /// <summary>`packs` beside the program, the assembly and the library, and where `make install` puts packs; those that exist.</summary>
        private static List<string> PackDirectories()
        {
            List<string> places = new List<string>();
            foreach (string home in LibraryLoader.Homes()) places.Add(Path.Combine(home, "packs"));
            string library = LibraryLoader.Directory();
            if (library != null)
            {
                places.Add(Path.Combine(library, "..", "share", "emotion-llama", "packs"));
                places.Add(Path.Combine(library, "packs"));
            }
            List<string> found = new List<string>();
            foreach (string place in places)
            {
                string full = Path.GetFullPath(place);
                if (Directory.Exists(full) && !found.Contains(full)) found.Add(full);
            }
            return found;
        }

        private static string FindBuiltIn()
        {
            foreach (string directory in PackDirectories())
            {
                string pack = Path.Combine(directory, BuiltIn);
                if (File.Exists(Path.Combine(pack, "pack.json"))) return pack;
            }
            string given = Environment.GetEnvironmentVariable(PackVariable);
            if (!string.IsNullOrEmpty(given)) return given;
            throw new EmotionLlamaException(
                ErrorCode.NotFound,
                "not_found",
                "the built-in model is not there; put the pack " + BuiltIn + " into a directory called packs beside the program, or name its "
                + "directory in the environment variable " + PackVariable + ", or give a pack or a server's URL");
        }
    }

    /// <summary>How far a load is.</summary>
    public struct LoadProgress
    {
        internal LoadProgress(ulong done, ulong total) : this()
        {
            Done = done;
            Total = total;
        }

        /// <summary>Bytes that were read.</summary>
        public ulong Done { get; private set; }

        /// <summary>Bytes in all.</summary>
        public ulong Total { get; private set; }
    }
}
