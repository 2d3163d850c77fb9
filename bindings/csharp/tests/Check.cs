// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading.Tasks;

namespace EmotionLlama.Tests
{
    internal sealed class CheckFailed : Exception
    {
        internal CheckFailed(string message) : base(message) { }
    }

    internal static class Check
    {
        internal static void That(bool holds, string what)
        {
            if (!holds) throw new CheckFailed(what);
        }

        internal static void Equal<T>(T expected, T got, string what = "")
        {
            if (!EqualityComparer<T>.Default.Equals(expected, got)) throw new CheckFailed(what + ": expected " + expected + ", got " + got);
        }

        internal static void Same<T>(IEnumerable<T> expected, IEnumerable<T> got, string what = "")
        {
            if (!expected.SequenceEqual(got))
            {
                throw new CheckFailed(what + ": expected [" + string.Join(", ", expected) + "], got [" + string.Join(", ", got) + "]");
            }
        }

        internal static void Near(double expected, double? got, double tolerance, string what = "")
        {
            if (got == null || !(Math.Abs(got.Value - expected) <= tolerance)) throw new CheckFailed(what + ": expected " + expected + ", got " + got);
        }

        /// <summary>Whatever a task or call throws, which must be a T or derived from it.</summary>
        internal static T Throws<T>(Action action) where T : Exception
        {
            try
            {
                action();
            }
            catch (T expected)
            {
                return expected;
            }
            throw new CheckFailed("no " + typeof(T).Name + " was thrown");
        }

        internal static EmotionLlamaException Fails(ErrorCode code, string name, Action action)
        {
            EmotionLlamaException failure = Throws<EmotionLlamaException>(action);
            Equal(code, failure.Code, "code");
            Equal(name, failure.Name, "name");
            That(failure.Message.Length > 0, "a message");
            return failure;
        }

        /// <summary>Waits as `await` does, without wrapping failures.</summary>
        internal static T Wait<T>(Task<T> task)
        {
            return task.GetAwaiter().GetResult();
        }
    }
}
