// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;

namespace EmotionLlama.Tests
{
    internal static class StreamTests
    {
        private static AnalyzeRequest Reason()
        {
            AnalyzeRequest request = Places.Quick();
            request.Task = "reason";
            return request;
        }

        private static void IsWhole(List<AnalysisEvent> events)
        {
            Check.Same(new[] { "decode", "observe", "respond" }, events.OfType<StageEvent>().Select(stage => stage.Stage), "stages");
            ResultEvent last = events.Last() as ResultEvent;
            Check.That(last != null, "the result is the last event");
            LabelEvent label = events[3] as LabelEvent;
            Check.That(label != null, "the label comes before the text");
            Check.Equal(last.Analysis.Emotion, label.Emotion, "the label");
            Check.That(last.Analysis.Confidence == label.Confidence, "its probability");
            Check.That(last.Analysis.Probabilities.SequenceEqual(label.Probabilities), "the probabilities");
            Check.That(events.OfType<TextEvent>().Count() > 1, "pieces of text");
            Check.Equal(last.Analysis.Response, string.Concat(events.OfType<TextEvent>().Select(text => text.Text)), "text");
        }

        public static void EventsComeInAForeach()
        {
            List<AnalysisEvent> events = new List<AnalysisEvent>();
            using (EventStream stream = Places.Engine.AnalyzeStream(Reason()))
            {
                foreach (AnalysisEvent next in stream) events.Add(next);
                Check.Throws<ObjectDisposedException>(() => stream.GetEnumerator());
            }
            IsWhole(events);
        }

        public static void NextGivesNullAtTheEnd()
        {
            List<AnalysisEvent> events = new List<AnalysisEvent>();
            using (EventStream stream = Places.Engine.AnalyzeStream(Reason()))
            {
                for (AnalysisEvent next = stream.Next(); next != null; next = stream.Next()) events.Add(next);
                Check.Equal(null, stream.Next(), "after the end");
            }
            IsWhole(events);
        }

        // What a compiler makes of `await foreach`; mcs has none.
        private static async Task<List<AnalysisEvent>> Collect(EventStream stream, CancellationToken token = default(CancellationToken))
        {
            List<AnalysisEvent> events = new List<AnalysisEvent>();
            EventStream.AsyncEnumerator each = stream.GetAsyncEnumerator(token);
            try
            {
                while (await each.MoveNextAsync()) events.Add(each.Current);
            }
            finally
            {
                await each.DisposeAsync();
            }
            return events;
        }

        public static void EventsComeInAnAwaitForeach()
        {
            IsWhole(Check.Wait(Collect(Places.Engine.AnalyzeStream(Reason()))));
        }

#if NETSTANDARD2_1_OR_GREATER
        private static async Task<List<AnalysisEvent>> CollectByInterface(IAsyncEnumerable<AnalysisEvent> stream)
        {
            List<AnalysisEvent> events = new List<AnalysisEvent>();
            IAsyncEnumerator<AnalysisEvent> each = stream.GetAsyncEnumerator();
            while (await each.MoveNextAsync()) events.Add(each.Current);
            await each.DisposeAsync();
            return events;
        }

        public static void AStreamIsAnIAsyncEnumerable()
        {
            IsWhole(Check.Wait(CollectByInterface(Places.Engine.AnalyzeStream(Reason()))));
        }
#endif

        public static void EventsComeToAHandler()
        {
            List<AnalysisEvent> events = new List<AnalysisEvent>();
            Analysis result = Check.Wait(Places.Engine.AnalyzeStream(Reason()).ForEachAsync(events.Add));
            IsWhole(events);
            Check.Equal(((ResultEvent)events.Last()).Analysis.Json, result.Json);
        }

        public static void WhatAHandlerThrowsComesOutAndStopsTheAnalysis()
        {
            EventStream stream = Places.Engine.AnalyzeStream(Reason());
            Check.Throws<InvalidTimeZoneException>(() => Check.Wait(stream.ForEachAsync(next => { throw new InvalidTimeZoneException(); })));
            Check.Throws<ObjectDisposedException>(() => stream.Next());
        }

        public static void TheEventsCanBeTakenOnce()
        {
            using (EventStream stream = Places.Engine.AnalyzeStream(Reason()))
            {
                stream.GetEnumerator();
                Check.Throws<InvalidOperationException>(() => stream.GetAsyncEnumerator());
            }
        }

        public static void CancellingTheCallEndsTheEvents()
        {
            foreach (string stage in new[] { "observe", "respond" })
            {
                using (CancellationTokenSource source = new CancellationTokenSource())
                {
                    EmotionLlamaCanceledException stopped = Check.Throws<EmotionLlamaCanceledException>(() =>
                    {
                        foreach (AnalysisEvent next in Places.Engine.AnalyzeStream(Places.Clip, "reason", cancellationToken: source.Token))
                        {
                            StageEvent begun = next as StageEvent;
                            if (begun != null && begun.Stage == stage) source.Cancel();
                        }
                    });
                    Check.Equal(source.Token, stopped.CancellationToken, stage);
                }
            }
        }

        public static void CancellingTheEnumerationEndsTheEvents()
        {
            using (CancellationTokenSource source = new CancellationTokenSource(150))
            {
                Task<List<AnalysisEvent>> task = Collect(Places.Engine.AnalyzeStream(Places.Clip, "reason"), source.Token);
                Check.Equal(source.Token, Check.Throws<EmotionLlamaCanceledException>(() => Check.Wait(task)).CancellationToken);
                Check.That(task.IsCanceled, "the task is cancelled");
            }
        }

        public static void DisposingWakesWhoeverWaits()
        {
            EventStream stream = Places.Engine.AnalyzeStream(Places.Clip, "reason");
            Task<List<AnalysisEvent>> task = Collect(stream);
            Thread.Sleep(50);
            stream.Dispose();
            stream.Dispose();
            try
            {
                Check.Wait(task);
                throw new CheckFailed("the analysis came to its end");
            }
            catch (OperationCanceledException)
            {
            }
            catch (ObjectDisposedException)
            {
            }
        }

        public static void LeavingTheLoopStopsTheAnalysis()
        {
            EventStream stream = Places.Engine.AnalyzeStream(Reason());
            foreach (AnalysisEvent next in stream) break;
            Check.Throws<ObjectDisposedException>(() => stream.Next());
        }

        public static void AFailureComesAfterTheEventsBefore()
        {
            AnalyzeRequest request = new AnalyzeRequest { VideoBytes = new ArraySegment<byte>(new byte[] { 1, 2, 3 }) };
            Check.Fails(ErrorCode.MediaUndecodable, "media_undecodable", () => Check.Wait(Collect(Places.Engine.AnalyzeStream(request))));
        }
    }
}
