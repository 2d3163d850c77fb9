// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Reflection;

namespace EmotionLlama.Tests
{
    /// <summary>
    /// tests [WORD]           runs every test whose name has WORD in it
    /// tests conformance      runs the cases of conformance/cases
    /// tests memory N         runs N analyses and prints what the process holds
    /// tests child KIND       what a test runs in a process of its own
    /// tests load             the same: loads the library and says how that went
    /// </summary>
    internal static class Program
    {
        private static readonly Type[] Suites =
        {
            typeof(AbiTests), typeof(JsonTests), typeof(ErrorTests), typeof(EngineTests), typeof(StreamTests), typeof(SessionTests),
            typeof(LiveTests), typeof(LogTests), typeof(LifeTests), typeof(LoaderTests),
        };

        private static int Main(string[] arguments)
        {
            string command = arguments.Length > 0 ? arguments[0] : "";
            if (command == "conformance") return Conformance.Run();
            if (command == "memory") return Memory.Run(int.Parse(arguments[1]));
            if (command == "child") return Children.Run(arguments[1]);
            if (command == "load") return LoaderTests.Load();
            return Tests(command);
        }

        private static int Tests(string word)
        {
            int passed = 0;
            List<string> failed = new List<string>();
            foreach (Type suite in Suites)
            {
                foreach (MethodInfo test in suite.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.DeclaredOnly))
                {
                    string name = suite.Name + "." + test.Name;
                    if (name.IndexOf(word, StringComparison.OrdinalIgnoreCase) < 0) continue;
                    Stopwatch clock = Stopwatch.StartNew();
                    try
                    {
                        test.Invoke(null, null);
                        passed++;
                        Console.WriteLine("ok     {0} ({1} ms)", name, clock.ElapsedMilliseconds);
                    }
                    catch (TargetInvocationException wrapped)
                    {
                        failed.Add(name);
                        Console.WriteLine("FAILED {0}\n{1}", name, wrapped.InnerException);
                    }
                }
            }
            Console.WriteLine("{0} passed, {1} failed{2}", passed, failed.Count, failed.Count == 0 ? "" : ": " + string.Join(", ", failed));
            return failed.Count == 0 && passed > 0 ? 0 : 1;
        }
    }
}
