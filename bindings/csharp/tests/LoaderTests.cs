// SPDX-License-Identifier: Apache-2.0
using System;
using System.Diagnostics;
using System.IO;
using System.Reflection;
using EmotionLlama.Native;

namespace EmotionLlama.Tests
{
    /// <summary>Where the library and the built-in model are found, in processes that have neither beside them.</summary>
    internal static class LoaderTests
    {
        public static void AFileThatTheEnvironmentNamesIsLoaded()
        {
            EmotionLLaMA.LibraryVersion.ToString();
            string library = Path.Combine(LibraryLoader.Directory(), "libemotionllama.so");
            if (!File.Exists(library)) library += ".1";
            Check.Equal("loaded " + EmotionLLaMA.LibraryVersion + " InvalidArgument", Said(library).Trim());
        }

        public static void WhatIsNoLibraryIsNamed()
        {
            string text = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName() + ".so");
            File.WriteAllText(text, "no library");
            try
            {
                Failed(Said(text), text);
                Failed(Said("/no/such/libemotionllama.so"), "/no/such/libemotionllama.so");
                Failed(Said("/proc/self/exe"), "");
                // Nothing is named, and nothing is installed.
                Failed(Said(""), "EMOTION_LLAMA_LIBRARY");
            }
            finally
            {
                File.Delete(text);
            }
        }

        private static void Failed(string said, string part)
        {
            Check.That(said.StartsWith("NotFound not_found ", StringComparison.Ordinal) && said.Contains(part), said);
        }

        /// <summary>What a process says that has the assemblies beside it and nothing else.</summary>
        private static string Said(string library)
        {
            string directory = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
            Directory.CreateDirectory(directory);
            try
            {
                foreach (Type type in new[] { typeof(LoaderTests), typeof(EmotionLLaMA) })
                {
                    string file = type.Assembly.Location;
                    File.Copy(file, Path.Combine(directory, Path.GetFileName(file)));
                }
                string program = Path.Combine(directory, Path.GetFileName(Assembly.GetExecutingAssembly().Location));
                using (Process child = Children.Start(program, "load", start => start.EnvironmentVariables[LibraryLoader.Variable] = library))
                {
                    string said = child.StandardOutput.ReadToEnd();
                    child.WaitForExit();
                    return said;
                }
            }
            finally
            {
                Directory.Delete(directory, true);
            }
        }

        internal static int Load()
        {
            try
            {
                string version = EmotionLLaMA.LibraryVersion;
                Console.Write("loaded " + version + " ");
                new LiveBuffer(seconds: 1000);
            }
            catch (EmotionLlamaException failure)
            {
                Console.WriteLine(failure.Code == ErrorCode.InvalidArgument ? "InvalidArgument" : failure.Code + " " + failure.Name + " " + failure.Message);
            }
            return 0;
        }
    }
}
