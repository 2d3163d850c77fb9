// SPDX-License-Identifier: Apache-2.0
using System.Collections.Generic;
using EmotionLlama.Json;

namespace EmotionLlama
{
    /// <summary>What an engine is and can.</summary>
    public sealed class EngineInfo
    {
        internal EngineInfo(string text)
        {
            JsonObject json = JsonReader.ParseObject(text);
            Json = text;
            Version = json.Text("version") ?? "";
            AbiVersion = (int)json.Whole("abi_version");
            Pack = new PackInfo(json.Object("pack") ?? new JsonObject());
            Labels = json.Texts("labels");
            Tasks = json.Texts("tasks");
            Devices = json.Texts("devices");
            Threads = (int)json.Whole("threads");
        }

        /// <summary>All of it as JSON.</summary>
        public string Json { get; private set; }

        /// <summary>Version of the library, or of the server.</summary>
        public string Version { get; private set; }

        /// <summary>Number of the ABI.</summary>
        public int AbiVersion { get; private set; }

        /// <summary>The pack.</summary>
        public PackInfo Pack { get; private set; }

        /// <summary>The labels that the model chooses among when none are given.</summary>
        public IReadOnlyList<string> Labels { get; private set; }

        /// <summary>The tasks that it knows.</summary>
        public IReadOnlyList<string> Tasks { get; private set; }

        /// <summary>What it computes on.</summary>
        public IReadOnlyList<string> Devices { get; private set; }

        /// <summary>Threads of each call; 0 when a server does not tell.</summary>
        public int Threads { get; private set; }
    }

    /// <summary>A pack.</summary>
    public sealed class PackInfo
    {
        internal PackInfo(JsonObject json)
        {
            Name = json.Text("name") ?? "";
            Version = json.Text("version") ?? "";
            Digest = json.Text("digest") ?? "";
            FormatVersion = (int)json.Whole("format_version");
            Architecture = json.Text("architecture") ?? "";
            Description = json.Text("description") ?? "";
        }

        /// <summary>Its name.</summary>
        public string Name { get; private set; }

        /// <summary>Its version.</summary>
        public string Version { get; private set; }

        /// <summary>SHA-256 of its manifest.</summary>
        public string Digest { get; private set; }

        /// <summary>Version of the format that it is written in.</summary>
        public int FormatVersion { get; private set; }

        /// <summary>What kind of model it holds.</summary>
        public string Architecture { get; private set; }

        /// <summary>A sentence about it.</summary>
        public string Description { get; private set; }
    }
}
