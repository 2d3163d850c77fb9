// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Concurrent;
using System.Linq;

namespace EmotionLlama.Tests
{
    internal static class LogTests
    {
        public static void MessagesComeUntilTheLogIsOff()
        {
            ConcurrentQueue<LogMessage> messages = new ConcurrentQueue<LogMessage>();
            Log.Set(messages.Enqueue, LogLevel.Trace);
            try
            {
                Places.Engine.Analyze(Places.Quick());
            }
            finally
            {
                Log.Set(null);
            }
            int count = messages.Count;
            Check.That(count > 0, "messages");
            Check.That(messages.All(message => message.Target.Length > 0 && message.Text.Length > 0), "target and text");
            Places.Engine.Analyze(Places.Quick());
            Check.Equal(count, messages.Count, "after it is off");
        }

        public static void WhatAHandlerThrowsIsDropped()
        {
            int calls = 0;
            Log.Set(message => { System.Threading.Interlocked.Increment(ref calls); throw new InvalidOperationException(); }, LogLevel.Trace);
            try
            {
                Check.That(Places.Engine.Analyze(Places.Quick()).Emotion.Length > 0, "the call goes on");
            }
            finally
            {
                Log.Set(null);
            }
            Check.That(calls > 0, "it was called");
        }

        public static void AWrongLevelIsRefused()
        {
            Check.Fails(ErrorCode.InvalidArgument, "invalid_argument", () => Log.Set(message => { }, (LogLevel)9));
        }
    }
}
