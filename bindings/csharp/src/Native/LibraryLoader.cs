// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.IO;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace EmotionLlama.Native
{
    /// <summary>
    /// Finds the native library before the first call: in the package, then where EMOTION_LLAMA_LIBRARY says, else as the system's loader
    /// finds it.
    /// </summary>
    /// <remarks>
    /// Mono looks a native function up when it compiles a method that calls it, so a method that calls <see cref="Load"/> calls no native
    /// function itself, and those that it calls are not to be inlined.
    /// </remarks>
    internal static class LibraryLoader
    {
        internal const string Variable = "EMOTION_LLAMA_LIBRARY";

        private static readonly object Lock = new object();
        private static bool loaded;
        private static string chosen;

        /// <summary>Throws `not_found` when there is no library, or one of another ABI.</summary>
        internal static void Load()
        {
            lock (Lock)
            {
                if (loaded) return;
                chosen = Choose();
                if (chosen != null) Bind(chosen);
                uint abi;
                try
                {
                    abi = Abi();
                }
                catch (DllNotFoundException error)
                {
                    throw Missing("libemotionllama could not be loaded"
                        + (chosen == null ? "" : " from " + chosen) + " (" + error.Message + "); install the package EmotionLlama for this "
                        + "platform, or give the library's file in the environment variable " + Variable);
                }
                catch (BadImageFormatException)
                {
                    throw Missing((chosen ?? "libemotionllama") + " is for another processor or system than this program");
                }
                catch (EntryPointNotFoundException)
                {
                    throw Missing((chosen ?? "the library that was found") + " is not libemotionllama");
                }
                CheckAbi(abi, chosen);
                loaded = true;
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static uint Abi()
        {
            return NativeMethods.emotion_llama_abi_version();
        }

        internal static void CheckAbi(uint abi, string file)
        {
            if (abi == NativeMethods.AbiVersion) return;
            throw Missing((file ?? "libemotionllama") + " has ABI " + abi + ", but this version of EmotionLlama needs ABI "
                + NativeMethods.AbiVersion + "; install versions that belong together");
        }

        /// <summary>The library's directory; null where it is not known.</summary>
        internal static string Directory()
        {
            if (chosen != null) return Path.GetDirectoryName(chosen);
            const string maps = "/proc/self/maps";
            try
            {
                if (!File.Exists(maps)) return null;
                foreach (string line in File.ReadAllLines(maps))
                {
                    int path = line.IndexOf('/');
                    if (path >= 0 && Path.GetFileName(line).StartsWith("libemotionllama.", StringComparison.Ordinal))
                    {
                        return Path.GetDirectoryName(line.Substring(path));
                    }
                }
            }
            catch (IOException)
            {
            }
            catch (UnauthorizedAccessException)
            {
            }
            return null;
        }

        /// <summary>Directories of the program and of this assembly, without those that the runtime does not tell.</summary>
        internal static List<string> Homes()
        {
            List<string> homes = new List<string>();
            // A program in one file, and IL2CPP, have no assembly files.
            string assembly = typeof(LibraryLoader).Assembly.Location;
            if (!string.IsNullOrEmpty(assembly)) homes.Add(Path.GetDirectoryName(assembly));
            string program = AppDomain.CurrentDomain.BaseDirectory;
            if (!string.IsNullOrEmpty(program) && !homes.Contains(program)) homes.Add(program);
            return homes;
        }

        private static string Choose()
        {
            foreach (string home in Homes())
            {
                // A published program; a program that was built; an unpacked package, whose assembly is in lib/<framework>.
                string native = Path.Combine("runtimes", Platform(), "native");
                string[] places = { home, Path.Combine(home, native), Path.Combine(home, "..", "..", native) };
                foreach (string place in places)
                {
                    foreach (string name in FileNames())
                    {
                        string file = Path.Combine(place, name);
                        if (File.Exists(file)) return Path.GetFullPath(file);
                    }
                }
            }
            string given = Environment.GetEnvironmentVariable(Variable);
            if (string.IsNullOrEmpty(given)) return null;
            if (!File.Exists(given)) throw Missing(given + ", which " + Variable + " names, is not there");
            return Path.GetFullPath(given);
        }

        private static string[] FileNames()
        {
            if (RuntimeInformation.IsOSPlatform(OSPlatform.Windows)) return new[] { "emotionllama.dll" };
            return RuntimeInformation.IsOSPlatform(OSPlatform.OSX)
                ? new[] { "libemotionllama.dylib", "libemotionllama.1.dylib" }
                : new[] { "libemotionllama.so", "libemotionllama.so.1" };
        }

        /// <summary>The runtime identifier, as the folders of a package are called.</summary>
        internal static string Platform()
        {
            string system = RuntimeInformation.IsOSPlatform(OSPlatform.Windows) ? "win"
                : RuntimeInformation.IsOSPlatform(OSPlatform.OSX) ? "osx" : "linux";
            return system + "-" + RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant();
        }

        /// <summary>Makes the runtime take `file` for the library that the declarations name.</summary>
        private static void Bind(string file)
        {
            if (!SetResolver() && !MapOnMono(file) && RuntimeInformation.IsOSPlatform(OSPlatform.Windows))
            {
                // .NET Framework: a module that is loaded is found by its name.
                LoadLibraryW(file);
            }
        }

        /// <summary>.NET Core 3.0 and later; the class is not part of netstandard.</summary>
        private static bool SetResolver()
        {
            Type libraries = Type.GetType("System.Runtime.InteropServices.NativeLibrary, System.Runtime.InteropServices", false);
            Type resolver = Type.GetType("System.Runtime.InteropServices.DllImportResolver, System.Runtime.InteropServices", false);
            if (libraries == null || resolver == null) return false;
            MethodInfo load = libraries.GetMethod("Load", new[] { typeof(string) });
            MethodInfo set = libraries.GetMethod("SetDllImportResolver");
            MethodInfo resolve = typeof(LibraryLoader).GetMethod("Resolve", BindingFlags.Static | BindingFlags.NonPublic);
            if (load == null || set == null || resolve == null) return false;
            loadFile = (Func<string, IntPtr>)Delegate.CreateDelegate(typeof(Func<string, IntPtr>), load);
            set.Invoke(null, new object[] { typeof(LibraryLoader).Assembly, Delegate.CreateDelegate(resolver, resolve) });
            return true;
        }

        private static Func<string, IntPtr> loadFile;

        private static IntPtr Resolve(string name, Assembly assembly, DllImportSearchPath? path)
        {
            return name == NativeMethods.Library ? loadFile(chosen) : IntPtr.Zero;
        }

        private static bool MapOnMono(string file)
        {
            if (Type.GetType("Mono.Runtime", false) == null) return false;
            IntPtr insert = MonoFunction("mono_dllmap_insert");
            // Unity's Mono finds plugins by itself.
            if (insert == IntPtr.Zero) return false;
            MapInsert map = (MapInsert)Marshal.GetDelegateForFunctionPointer(insert, typeof(MapInsert));
            map(IntPtr.Zero, Utf8.Terminated(NativeMethods.Library), IntPtr.Zero, Utf8.Terminated(file), IntPtr.Zero);
            return true;
        }

        /// <summary>A function of the program itself; zero where there is none of that name.</summary>
        private static IntPtr MonoFunction(string name)
        {
            IntPtr everywhere = RuntimeInformation.IsOSPlatform(OSPlatform.OSX) ? (IntPtr)(-2) : IntPtr.Zero;
            try
            {
                return LibDl.dlsym(everywhere, Utf8.Terminated(name));
            }
            catch (DllNotFoundException)
            {
            }
            catch (EntryPointNotFoundException)
            {
            }
            try
            {
                return LibC.dlsym(everywhere, Utf8.Terminated(name));
            }
            catch (DllNotFoundException)
            {
                return IntPtr.Zero;
            }
            catch (EntryPointNotFoundException)
            {
                return IntPtr.Zero;
            }
        }

        private static EmotionLlamaException Missing(string message)
        {
            return new EmotionLlamaException(ErrorCode.NotFound, "not_found", message);
        }

        // Not DllImport("__Internal"): IL2CPP would want Mono's function when it links the game.
        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void MapInsert(IntPtr assembly, byte[] library, IntPtr function, byte[] file, IntPtr target);

        private static class LibDl
        {
            [DllImport("libdl.so.2", CallingConvention = CallingConvention.Cdecl)]
            internal static extern IntPtr dlsym(IntPtr handle, byte[] name);
        }

        private static class LibC
        {
            [DllImport("libc", CallingConvention = CallingConvention.Cdecl)]
            internal static extern IntPtr dlsym(IntPtr handle, byte[] name);
        }

        [DllImport("kernel32", CharSet = CharSet.Unicode, ExactSpelling = true)]
        private static extern IntPtr LoadLibraryW(string file);
    }
}
