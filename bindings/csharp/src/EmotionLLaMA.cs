// SPDX-License-Identifier: Apache-2.0
using System;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;
using EmotionLlama.Json;
using EmotionLlama.Native;

namespace EmotionLlama
{
    /// <summary>
    /// A model, loaded here or of a running server. May be used by any number of threads at once. A call, stream or session that runs keeps
    /// the model when it is disposed.
    /// </summary>
    public sealed class EmotionLLaMA : IDisposable
    {
        private static readonly NativeMethods.ProgressFunction Report = OnProgress;

        private readonly EngineHandle handle;

        /// <summary>
        /// Loads a pack (its directory or name), or connects to the server at <paramref name="apiUrl"/>, or, without either, loads the built-in
        /// model. Takes as long as loading takes; see <see cref="OpenAsync"/>.
        /// </summary>
        public EmotionLLaMA(string pack = null, string apiUrl = null)
            : this(new EngineOptions { Pack = pack, ApiUrl = apiUrl })
        {
        }

        /// <summary>As <paramref name="options"/> say.</summary>
        public EmotionLLaMA(
            EngineOptions options,
            IProgress<LoadProgress> progress = null,
            CancellationToken cancellationToken = default(CancellationToken))
        {
            if (options == null) throw new ArgumentNullException("options");
            LibraryLoader.Load();
            handle = Open(options.ToJson(), progress, cancellationToken);
        }

        /// <summary>As the constructor, on a thread of its own. <paramref name="progress"/> is told on that thread.</summary>
        public static Task<EmotionLLaMA> OpenAsync(
            EngineOptions options = null,
            IProgress<LoadProgress> progress = null,
            CancellationToken cancellationToken = default(CancellationToken))
        {
            return Awaited(Background.Run(() => new EmotionLLaMA(options ?? new EngineOptions(), progress, cancellationToken)));
        }

        /// <summary>The version of the native library.</summary>
        public static string LibraryVersion
        {
            get
            {
                LibraryLoader.Load();
                return Version();
            }
        }

        /// <summary>How many threads each call computes with, for engines that are opened later; 0 for one per processor.</summary>
        public static void SetThreadCount(int threads)
        {
            if (threads < 0) throw new ArgumentOutOfRangeException("threads", threads, "give 0 or more threads");
            LibraryLoader.Load();
            SetThreads((uint)threads);
        }

        /// <summary>What the engine is and can.</summary>
        public EngineInfo Info
        {
            get
            {
                using (NativeHandle.Borrowed engine = Borrow())
                {
                    IntPtr text;
                    Status.Check(NativeMethods.emotion_llama_engine_info(engine.Pointer, out text));
                    return new EngineInfo(Utf8.Take(text));
                }
            }
        }

        /// <summary>Analyses a file and waits for the result.</summary>
        public Analysis Analyze(
            string videoPath,
            string task = null,
            string prompt = null,
            CancellationToken cancellationToken = default(CancellationToken))
        {
            return Analyze(Request(videoPath, task, prompt), cancellationToken);
        }

        /// <summary>Analyses a clip and waits for the result.</summary>
        public Analysis Analyze(AnalyzeRequest request, CancellationToken cancellationToken = default(CancellationToken))
        {
            if (request == null) throw new ArgumentNullException("request");
            return Analyze(request, request.ReadStream(), cancellationToken);
        }

        /// <summary>Analyses a file.</summary>
        public Task<Analysis> AnalyzeAsync(
            string videoPath,
            string task = null,
            string prompt = null,
            CancellationToken cancellationToken = default(CancellationToken))
        {
            return AnalyzeAsync(Request(videoPath, task, prompt), cancellationToken);
        }

        /// <summary>Analyses a clip.</summary>
        public async Task<Analysis> AnalyzeAsync(
            AnalyzeRequest request, CancellationToken cancellationToken = default(CancellationToken))
        {
            if (request == null) throw new ArgumentNullException("request");
            EmotionLlamaCanceledException.ThrowIf(cancellationToken);
            ArraySegment<byte>? streamed = await request.ReadStreamAsync(cancellationToken).ConfigureAwait(false);
            return await Background.Run(() => Analyze(request, streamed, cancellationToken)).ConfigureAwait(false);
        }

        /// <summary>Begins the analysis of a file and gives its events.</summary>
        public EventStream AnalyzeStream(
            string videoPath,
            string task = null,
            string prompt = null,
            CancellationToken cancellationToken = default(CancellationToken))
        {
            return AnalyzeStream(Request(videoPath, task, prompt), cancellationToken);
        }

        /// <summary>Begins an analysis and gives its events. The clip's bytes are not needed any more once this returns.</summary>
        public unsafe EventStream AnalyzeStream(
            AnalyzeRequest request, CancellationToken cancellationToken = default(CancellationToken))
        {
            if (request == null) throw new ArgumentNullException("request");
            byte[] json = Utf8.Terminated(request.ToJson());
            Clip clip = request.Clip(request.ReadStream());
            using (NativeHandle.Borrowed engine = Borrow())
            {
                return Streamed(cancellationToken, (IntPtr cancel, out IntPtr stream) => clip.With(
                    (NativeMethods.Media* media, out IntPtr result) =>
                    {
                        fixed (byte* text = json)
                        {
                            return NativeMethods.emotion_llama_analyze_stream(engine.Pointer, text, media, cancel, out result);
                        }
                    },
                    out stream));
            }
        }

        /// <summary>Begins a conversation about a clip. The request says only what concerns the clip.</summary>
        public Session StartSession(AnalyzeRequest request, CancellationToken cancellationToken = default(CancellationToken))
        {
            if (request == null) throw new ArgumentNullException("request");
            return StartSession(request, request.ReadStream(), cancellationToken);
        }

        /// <summary>Begins a conversation about a file.</summary>
        public Session StartSession(string videoPath, CancellationToken cancellationToken = default(CancellationToken))
        {
            return StartSession(Request(videoPath, null, null), cancellationToken);
        }

        /// <summary>Begins a conversation about a clip. The request says only what concerns the clip.</summary>
        public async Task<Session> StartSessionAsync(
            AnalyzeRequest request, CancellationToken cancellationToken = default(CancellationToken))
        {
            if (request == null) throw new ArgumentNullException("request");
            EmotionLlamaCanceledException.ThrowIf(cancellationToken);
            ArraySegment<byte>? streamed = await request.ReadStreamAsync(cancellationToken).ConfigureAwait(false);
            return await Background.Run(() => StartSession(request, streamed, cancellationToken)).ConfigureAwait(false);
        }

        /// <summary>Begins a conversation about a file.</summary>
        public Task<Session> StartSessionAsync(string videoPath, CancellationToken cancellationToken = default(CancellationToken))
        {
            return StartSessionAsync(Request(videoPath, null, null), cancellationToken);
        }

        /// <summary>Lets go of the model. What runs goes on. Safe to be called twice and from any thread.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        internal static AnalyzeRequest Question(string prompt, string task)
        {
            return new AnalyzeRequest { Prompt = prompt, Task = task };
        }

        /// <summary>A call that is given a cancel token and writes a handle.</summary>
        internal delegate IntPtr StreamCall(IntPtr cancel, out IntPtr stream);

        /// <summary>Begins a stream that can be cancelled whether or not the caller's token can: disposing it does.</summary>
        internal static EventStream Streamed(CancellationToken token, StreamCall call)
        {
            EmotionLlamaCanceledException.ThrowIf(token);
            CancelHandle cancel = CancelHandle.Make();
            try
            {
                IntPtr stream;
                using (NativeHandle.Borrowed borrowed = cancel.Borrow()) Status.Check(call(borrowed.Pointer, out stream), token);
                return new EventStream(new StreamHandle(stream, cancel), cancel, token);
            }
            catch
            {
                cancel.Dispose();
                throw;
            }
        }

        private static AnalyzeRequest Request(string videoPath, string task, string prompt)
        {
            if (videoPath == null) throw new ArgumentNullException("videoPath");
            return new AnalyzeRequest { VideoPath = videoPath, Task = task, Prompt = prompt };
        }

        /// <summary>So that a cancelled load ends as a cancelled task.</summary>
        private static async Task<T> Awaited<T>(Task<T> work)
        {
            return await work.ConfigureAwait(false);
        }

        private unsafe Analysis Analyze(AnalyzeRequest request, ArraySegment<byte>? streamed, CancellationToken token)
        {
            byte[] json = Utf8.Terminated(request.ToJson());
            using (NativeHandle.Borrowed engine = Borrow())
            using (CancelScope cancel = new CancelScope(token))
            {
                IntPtr text;
                IntPtr status = request.Clip(streamed).With(
                    (NativeMethods.Media* media, out IntPtr result) =>
                    {
                        fixed (byte* options = json)
                        {
                            return NativeMethods.emotion_llama_analyze(engine.Pointer, options, media, cancel.Pointer, out result);
                        }
                    },
                    out text);
                Status.Check(status, token);
                return Analysis.Parse(Utf8.Take(text));
            }
        }

        private unsafe Session StartSession(AnalyzeRequest request, ArraySegment<byte>? streamed, CancellationToken token)
        {
            byte[] json = Utf8.Terminated(request.ToJson());
            using (NativeHandle.Borrowed engine = Borrow())
            using (CancelScope cancel = new CancelScope(token))
            {
                IntPtr session;
                IntPtr status = request.Clip(streamed).With(
                    (NativeMethods.Media* media, out IntPtr result) =>
                    {
                        fixed (byte* options = json)
                        {
                            return NativeMethods.emotion_llama_session_new(engine.Pointer, options, media, cancel.Pointer, out result);
                        }
                    },
                    out session);
                Status.Check(status, token);
                return new Session(new SessionHandle(session));
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static string Version()
        {
            return Utf8.Read(NativeMethods.emotion_llama_version());
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void SetThreads(uint threads)
        {
            NativeMethods.emotion_llama_set_thread_count(threads);
        }

        private NativeHandle.Borrowed Borrow()
        {
            try
            {
                return handle.Borrow();
            }
            catch (ObjectDisposedException)
            {
                throw new ObjectDisposedException("EmotionLLaMA");
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static unsafe EngineHandle Open(string options, IProgress<LoadProgress> progress, CancellationToken token)
        {
            byte[] json = Utf8.Terminated(options);
            Load load = new Load { Progress = progress };
            GCHandle userdata = GCHandle.Alloc(load);
            try
            {
                using (CancelScope cancel = new CancelScope(token))
                {
                    fixed (byte* text = json)
                    {
                        IntPtr engine;
                        IntPtr status = NativeMethods.emotion_llama_engine_open(
                            text, cancel.Pointer, progress == null ? null : Report, GCHandle.ToIntPtr(userdata), out engine);
                        if (load.Failure != null)
                        {
                            NativeMethods.emotion_llama_status_free(status);
                            if (status == IntPtr.Zero) NativeMethods.emotion_llama_engine_free(engine);
                            ExceptionDispatchInfo.Capture(load.Failure).Throw();
                        }
                        Status.Check(status, token);
                        return new EngineHandle(engine);
                    }
                }
            }
            finally
            {
                userdata.Free();
            }
        }

        /// <summary>Who is told of a load, and what he threw: no exception may cross native code.</summary>
        private sealed class Load
        {
            internal IProgress<LoadProgress> Progress;
            internal Exception Failure;
        }

        [MonoPInvokeCallback(typeof(NativeMethods.ProgressFunction))]
        private static byte OnProgress(IntPtr userdata, ulong done, ulong total)
        {
            Load load = (Load)GCHandle.FromIntPtr(userdata).Target;
            try
            {
                if (load.Failure == null) load.Progress.Report(new LoadProgress(done, total));
            }
            catch (Exception failure)
            {
                load.Failure = failure;
            }
            return load.Failure == null ? (byte)1 : (byte)0;
        }
    }
}
