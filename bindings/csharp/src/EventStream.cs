// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Runtime.ExceptionServices;
using System.Threading;
using System.Threading.Tasks;
using EmotionLlama.Json;
using EmotionLlama.Native;

namespace EmotionLlama
{
    /// <summary>Something that happens during an analysis. A type that a later library adds comes as this class itself.</summary>
    public class AnalysisEvent
    {
        internal AnalysisEvent(string type, string json)
        {
            Type = type;
            Json = json;
        }

        /// <summary><c>stage</c>, <c>label</c>, <c>text</c> or <c>result</c>.</summary>
        public string Type { get; private set; }

        /// <summary>The event as JSON.</summary>
        public string Json { get; private set; }

        internal static AnalysisEvent Parse(string text)
        {
            JsonObject json = JsonReader.ParseObject(text);
            string type = json.Text("type") ?? "";
            if (type == "stage") return new StageEvent(json, text);
            if (type == "label") return new LabelEvent(json, text);
            if (type == "text") return new TextEvent(json, text);
            JsonObject analysis = json.Object("analysis");
            if (type == "result" && analysis != null)
            {
                return new ResultEvent(new Analysis(analysis, new JsonWriter().Fields(analysis.Fields).End()), text);
            }
            return new AnalysisEvent(type, text);
        }
    }

    /// <summary>A stage begins.</summary>
    public sealed class StageEvent : AnalysisEvent
    {
        internal StageEvent(JsonObject json, string text) : base("stage", text)
        {
            Stage = json.Text("stage") ?? "";
        }

        /// <summary><c>decode</c>, <c>observe</c> or <c>respond</c>; with a server also <c>upload</c>.</summary>
        public string Stage { get; private set; }
    }

    /// <summary>The label is known; the text follows. A server of the published API does not tell it.</summary>
    public sealed class LabelEvent : AnalysisEvent
    {
        internal LabelEvent(JsonObject json, string text) : base("label", text)
        {
            Emotion = json.Text("emotion") ?? "";
            Confidence = json.Number("confidence") ?? 0;
            Probabilities = new OrderedNumbers(json.Object("probabilities"));
        }

        /// <summary>The label with the highest probability.</summary>
        public string Emotion { get; private set; }

        /// <summary>Its probability, 0..1.</summary>
        public double Confidence { get; private set; }

        /// <summary>Each allowed label with its probability, in the order of the labels.</summary>
        public IReadOnlyDictionary<string, double> Probabilities { get; private set; }
    }

    /// <summary>A piece of the answer.</summary>
    public sealed class TextEvent : AnalysisEvent
    {
        internal TextEvent(JsonObject json, string text) : base("text", text)
        {
            Text = json.Text("text") ?? "";
        }

        /// <summary>The piece; all of them make <see cref="Analysis.Response"/>.</summary>
        public string Text { get; private set; }
    }

    /// <summary>The last event.</summary>
    public sealed class ResultEvent : AnalysisEvent
    {
        internal ResultEvent(Analysis analysis, string text) : base("result", text)
        {
            Analysis = analysis;
        }

        /// <summary>The result.</summary>
        public Analysis Analysis { get; private set; }
    }

    /// <summary>
    /// A running analysis. Its events can be gone through once: with <c>foreach</c>, which blocks; with <c>await foreach</c>; or with
    /// <see cref="ForEachAsync"/>. Disposing it stops the analysis.
    /// </summary>
    /// <remarks>
    /// <c>await foreach</c> needs no interface, only the methods, so that it works on netstandard2.0 too. Where the target has
    /// IAsyncEnumerable, this is one.
    /// </remarks>
    public sealed class EventStream : IEnumerable<AnalysisEvent>, IDisposable
#if NETSTANDARD2_1_OR_GREATER || NETCOREAPP3_0_OR_GREATER
        , IAsyncEnumerable<AnalysisEvent>, IAsyncDisposable
#endif
    {
        private readonly StreamHandle handle;
        private readonly CancelHandle cancel;
        private readonly CancellationToken token;
        private CancellationTokenRegistration registration;
        private CancellationToken enumerationToken;
        private int taken;
        private int disposed;

        internal EventStream(StreamHandle handle, CancelHandle cancel, CancellationToken token)
        {
            this.handle = handle;
            this.cancel = cancel;
            this.token = token;
            // The callback holds the cancel token alone: a stream that is dropped can be collected.
            registration = token.Register(CancelScope.Request, cancel);
        }

        /// <summary>Waits for the next event; null when there is nothing more. Throws what the analysis failed with.</summary>
        public AnalysisEvent Next()
        {
            if (Volatile.Read(ref disposed) != 0) throw new ObjectDisposedException("EventStream");
            string text;
            object call = new object();
            RunningCalls.Add(call, cancel);
            try
            {
                using (NativeHandle.Borrowed stream = handle.Borrow())
                {
                    IntPtr given;
                    CancellationToken stopper = token.IsCancellationRequested ? token : enumerationToken;
                    Status.Check(NativeMethods.emotion_llama_stream_next(stream.Pointer, out given), stopper);
                    text = Utf8.Take(given);
                }
            }
            catch (ObjectDisposedException)
            {
                throw new ObjectDisposedException("EventStream");
            }
            finally
            {
                RunningCalls.Remove(call);
            }
            return text == null ? null : AnalysisEvent.Parse(text);
        }

        /// <summary>The events as they come; waiting for one blocks the thread.</summary>
        public IEnumerator<AnalysisEvent> GetEnumerator()
        {
            TakeOnce();
            return Events();
        }

        IEnumerator IEnumerable.GetEnumerator()
        {
            return GetEnumerator();
        }

        /// <summary>For <c>await foreach</c>. Cancelling <paramref name="cancellationToken"/> stops the analysis.</summary>
        public AsyncEnumerator GetAsyncEnumerator(CancellationToken cancellationToken = default(CancellationToken))
        {
            TakeOnce();
            enumerationToken = cancellationToken;
            return new AsyncEnumerator(this, cancellationToken.Register(CancelScope.Request, cancel));
        }

#if NETSTANDARD2_1_OR_GREATER || NETCOREAPP3_0_OR_GREATER
        IAsyncEnumerator<AnalysisEvent> IAsyncEnumerable<AnalysisEvent>.GetAsyncEnumerator(CancellationToken cancellationToken)
        {
            return GetAsyncEnumerator(cancellationToken);
        }

        ValueTask IAsyncDisposable.DisposeAsync()
        {
            Dispose();
            return default(ValueTask);
        }
#endif

        /// <summary>
        /// Calls <paramref name="handler"/> with each event and gives the result, for languages and compilers without <c>await foreach</c>. The
        /// handler runs where the caller's awaits go on: in Unity and in windows on the main thread.
        /// </summary>
        public async Task<Analysis> ForEachAsync(Action<AnalysisEvent> handler)
        {
            if (handler == null) throw new ArgumentNullException("handler");
            AsyncEnumerator events = GetAsyncEnumerator();
            Analysis result = null;
            try
            {
                while (await events.MoveNextAsync())
                {
                    handler(events.Current);
                    ResultEvent last = events.Current as ResultEvent;
                    if (last != null) result = last.Analysis;
                }
            }
            finally
            {
                Dispose();
            }
            return result;
        }

        /// <summary>Stops the analysis if it still runs, without waiting for it. Safe to be called twice and from any thread.</summary>
        public void Dispose()
        {
            if (Interlocked.Exchange(ref disposed, 1) != 0) return;
            // Who waits in Next holds the handle: he is woken first.
            cancel.Request();
            registration.Dispose();
            handle.Dispose();
            cancel.Dispose();
        }

        private void TakeOnce()
        {
            if (Volatile.Read(ref disposed) != 0) throw new ObjectDisposedException("EventStream");
            if (Interlocked.Exchange(ref taken, 1) != 0)
            {
                throw new InvalidOperationException("the events of an analysis can be gone through once");
            }
        }

        private IEnumerator<AnalysisEvent> Events()
        {
            try
            {
                for (AnalysisEvent next = Next(); next != null; next = Next()) yield return next;
            }
            finally
            {
                Dispose();
            }
        }

        /// <summary>Events that a thread of its own fetches.</summary>
        public sealed class AsyncEnumerator
#if NETSTANDARD2_1_OR_GREATER || NETCOREAPP3_0_OR_GREATER
            : IAsyncEnumerator<AnalysisEvent>
#endif
        {
            private readonly EventStream stream;
            private readonly ConcurrentQueue<Fetched> fetched = new ConcurrentQueue<Fetched>();
            private readonly SemaphoreSlim available = new SemaphoreSlim(0);
            private CancellationTokenRegistration registration;
            private bool begun;
            private bool ended;

            internal AsyncEnumerator(EventStream stream, CancellationTokenRegistration registration)
            {
                this.stream = stream;
                this.registration = registration;
            }

            /// <summary>The event.</summary>
            public AnalysisEvent Current { get; private set; }

            /// <summary>Waits for the next event; false when there is nothing more.</summary>
            public async Task<bool> MoveNextAsync()
            {
                if (ended) return false;
                if (!begun)
                {
                    begun = true;
                    Background.Forget(Fetch);
                }
                await available.WaitAsync().ConfigureAwait(false);
                Fetched next;
                fetched.TryDequeue(out next);
                Current = next.Event;
                if (next.Event != null) return true;
                ended = true;
                if (next.Failure != null) next.Failure.Throw();
                return false;
            }

            /// <summary>Stops the analysis if it still runs.</summary>
            public Task DisposeAsync()
            {
                ended = true;
                registration.Dispose();
                stream.Dispose();
                return Task.FromResult(true);
            }

#if NETSTANDARD2_1_OR_GREATER || NETCOREAPP3_0_OR_GREATER
            ValueTask<bool> IAsyncEnumerator<AnalysisEvent>.MoveNextAsync()
            {
                return new ValueTask<bool>(MoveNextAsync());
            }

            ValueTask IAsyncDisposable.DisposeAsync()
            {
                return new ValueTask(DisposeAsync());
            }
#endif

            private void Fetch()
            {
                Fetched next;
                do
                {
                    next = new Fetched();
                    try
                    {
                        next.Event = stream.Next();
                    }
                    catch (Exception failure)
                    {
                        next.Failure = ExceptionDispatchInfo.Capture(failure);
                    }
                    fetched.Enqueue(next);
                    available.Release();
                }
                while (next.Event != null);
            }

            private sealed class Fetched
            {
                internal AnalysisEvent Event;
                internal ExceptionDispatchInfo Failure;
            }
        }
    }
}
