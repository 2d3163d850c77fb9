// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;

namespace EmotionLlama.Tests
{
    internal static class EngineTests
    {
        public static void TheDocumentedCallWorks()
        {
            Analysis result = Places.Engine.Analyze(videoPath: Places.Clip, task: "reason");
            Check.That(result.Explanation.Length > 0 && result.Response.Length > 0, "an explanation");
            Check.Near(result.Probabilities[result.Emotion], result.Confidence, 1e-9, "confidence");
            Check.Near(1, result.Probabilities.Values.Sum(), 1e-3, "sum");
            Check.Equal("Don't forget a jacket.", result.Transcript);
            Check.Equal("en", result.Language);
            Check.That(result.Faces.Count == 1 && result.Faces[0].Box.Width > 10 && result.Faces[0].Score > 0.5, "a face");
            Check.That(result.Frame != null && result.Frame.Face != null, "a frame");
            Check.That(result.Cues.Any(cue => cue.Name == "pitch" && cue.Unit == "hertz" && cue.Value > 50), "cues");
            Check.That(result.Usage.PromptTokens > 0 && result.Usage.CompletionTokens > 0, "usage");
            Check.That(result.Timings.TotalMs > 0 && result.Timings.DecodeMs > 0, "timings");
            Check.Equal("emotion-llama-mini", result.Model.Name);
            Check.Equal(0, result.Notes.Count);
            Check.Equal(result.Json, Analysis.Parse(result.Json).Json, "stored and read again");
        }

        public static void InfoTellsOfThePack()
        {
            EngineInfo info = Places.Engine.Info;
            Check.Equal(EmotionLLaMA.LibraryVersion, info.Version);
            Check.Equal(1, info.AbiVersion);
            Check.Equal(8, info.Labels.Count);
            Check.Same(new[] { "emotion", "reason" }, info.Tasks);
            Check.That(info.Devices.Contains("cpu") && info.Threads > 0, "devices and threads");
            Check.That(info.Pack.Digest.Length == 64 && info.Pack.Architecture == "cues" && info.Pack.FormatVersion > 0, "the pack");
        }

        public static void BytesStreamAndFileGiveTheSame()
        {
            byte[] file = File.ReadAllBytes(Places.Clip);
            byte[] padded = new byte[file.Length + 100];
            Array.Copy(file, 0, padded, 60, file.Length);
            Analysis fromFile = Places.Engine.Analyze(Places.Quick());
            Func<Action<AnalyzeRequest>, AnalyzeRequest> given = set =>
            {
                AnalyzeRequest request = Places.Quick();
                request.VideoPath = null;
                set(request);
                return request;
            };
            MemoryStream held = new MemoryStream();
            held.Write(new byte[7], 0, 7);
            held.Write(file, 0, file.Length);
            held.Position = 7;
            Analysis[] others =
            {
                Places.Engine.Analyze(given(r => r.VideoBytes = new ArraySegment<byte>(padded, 60, file.Length))),
                Places.Engine.Analyze(given(r => r.VideoStream = new MemoryStream(file, false))),
                Places.Engine.Analyze(given(r => r.VideoStream = held)),
                Check.Wait(Places.Engine.AnalyzeAsync(given(r => r.VideoStream = File.OpenRead(Places.Clip)))),
            };
            foreach (Analysis other in others)
            {
                Check.Equal(fromFile.Response, other.Response);
                foreach (string label in fromFile.Probabilities.Keys)
                {
                    Check.Near(fromFile.Probabilities[label], other.Probabilities[label], 1e-6, label);
                }
            }
            Check.Equal(held.Length, held.Position, "a stream is read to its end");
        }

        public static void FourAtOnceAreEqual()
        {
            Task<Analysis>[] tasks = Enumerable.Range(0, 4).Select(i => Places.Engine.AnalyzeAsync(Places.Quick())).ToArray();
            Task.WaitAll(tasks);
            Check.Equal(1, tasks.Select(task => task.Result.Response).Distinct().Count(), "answers");
        }

        public static void AnAwaitingThreadIsFree()
        {
            // As in a window or a game: the thread that awaits goes on.
            Task<Analysis> task = Places.Engine.AnalyzeAsync(Places.Quick());
            int turns = 0;
            while (!task.IsCompleted)
            {
                turns++;
                Thread.Sleep(1);
            }
            Check.That(turns > 3, "turns: " + turns);
            Check.That(task.Result.Emotion.Length > 0, "an emotion");
        }

        public static void LabelsOfEveryScriptComeBack()
        {
            AnalyzeRequest request = Places.Quick();
            request.Labels = new[] { "😀 joy", "حزين", "悲しい" };
            Analysis result = Places.Engine.Analyze(request);
            Check.Same(request.Labels, result.Probabilities.Keys);
            Check.That(request.Labels.Contains(result.Emotion), result.Emotion);
        }

        public static void CancelledBeforeNothingBegins()
        {
            CancellationToken cancelled = new CancellationToken(true);
            Check.Equal(cancelled, Check.Throws<EmotionLlamaCanceledException>(() => Places.Engine.Analyze(Places.Quick(), cancelled)).CancellationToken);
            Check.Throws<EmotionLlamaCanceledException>(() => Places.Engine.AnalyzeStream(Places.Quick(), cancelled));
            Check.Throws<OperationCanceledException>(() => Places.Engine.StartSession(Places.Quick(), cancelled));
            Task<Analysis> task = Places.Engine.AnalyzeAsync(Places.Quick(), cancelled);
            Check.Throws<EmotionLlamaCanceledException>(() => Check.Wait(task));
            Check.That(task.IsCanceled, "the task is cancelled");
        }

        public static void CancelledInTheMiddleTheTaskEndsAsCancelled()
        {
            using (CancellationTokenSource source = new CancellationTokenSource())
            {
                Task<Analysis> task = Places.Engine.AnalyzeAsync(Places.Clip, task: "reason", cancellationToken: source.Token);
                Thread.Sleep(60);
                Check.That(!task.IsCompleted, "it runs");
                Stopwatch clock = Stopwatch.StartNew();
                source.Cancel();
                EmotionLlamaCanceledException stopped = Check.Throws<EmotionLlamaCanceledException>(() => Check.Wait(task));
                Console.WriteLine("       cancelled after {0} ms", clock.ElapsedMilliseconds);
                Check.That(task.IsCanceled, "the task is cancelled");
                Check.Equal(source.Token, stopped.CancellationToken);
                Check.That(stopped.Code == ErrorCode.Cancelled && stopped.Name == "cancelled" && stopped.Message.Length > 0, "code and name");
            }
        }

        public static void ATokenThatIsNotUsedLeavesNothingBehind()
        {
            using (CancellationTokenSource source = new CancellationTokenSource())
            {
                Places.Engine.Analyze(Places.Quick(), source.Token);
                source.Cancel();
                Check.That(Places.Engine.Analyze(Places.Quick()).Emotion.Length > 0, "the next call");
            }
        }

        private sealed class Reports : IProgress<LoadProgress>
        {
            internal readonly List<LoadProgress> Told = new List<LoadProgress>();
            internal Action<LoadProgress> Then = progress => { };

            public void Report(LoadProgress value)
            {
                Told.Add(value);
                Then(value);
            }
        }

        public static void ALoadTellsHowFarItIs()
        {
            Reports reports = new Reports();
            using (EmotionLLaMA engine = Check.Wait(EmotionLLaMA.OpenAsync(new EngineOptions { Pack = Places.Pack, Threads = 1 }, reports)))
            {
                Check.Equal(1, engine.Info.Threads);
            }
            Check.That(reports.Told.Count > 1, "more than one report");
            for (int i = 1; i < reports.Told.Count; i++) Check.That(reports.Told[i].Done > reports.Told[i - 1].Done, "it grows");
            Check.Equal(reports.Told.Last().Total, reports.Told.Last().Done, "the end");
        }

        public static void ALoadCanBeStopped()
        {
            using (CancellationTokenSource source = new CancellationTokenSource())
            {
                Reports reports = new Reports { Then = progress => source.Cancel() };
                Task<EmotionLLaMA> task = EmotionLLaMA.OpenAsync(new EngineOptions { Pack = Places.Pack }, reports, source.Token);
                Check.Throws<OperationCanceledException>(() => Check.Wait(task));
                Check.That(task.IsCanceled, "the task is cancelled");
            }
        }

        public static void WhatAProgressHandlerThrowsComesOut()
        {
            Reports reports = new Reports { Then = progress => { throw new InvalidTimeZoneException("mine"); } };
            Check.Equal("mine", Check.Throws<InvalidTimeZoneException>(
                () => new EmotionLLaMA(new EngineOptions { Pack = Places.Pack }, reports)).Message);
            Check.Equal(1, reports.Told.Count, "it is not told again");
        }

        public static void ThreadsAreAsSet()
        {
            EmotionLLaMA.SetThreadCount(2);
            try
            {
                using (EmotionLLaMA engine = new EmotionLLaMA(pack: Places.Pack)) Check.Equal(2, engine.Info.Threads);
            }
            finally
            {
                EmotionLLaMA.SetThreadCount(0);
            }
            Check.Throws<ArgumentOutOfRangeException>(() => EmotionLLaMA.SetThreadCount(-1));
        }
    }
}
