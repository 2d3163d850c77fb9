// SPDX-License-Identifier: Apache-2.0
using System;
using System.Threading;
using System.Threading.Tasks;
using EmotionLlama.Native;

namespace EmotionLlama
{
    /// <summary>A conversation about one clip, which is read once. Answers one question at a time.</summary>
    public sealed class Session : IDisposable
    {
        private readonly SessionHandle handle;

        internal Session(SessionHandle handle)
        {
            this.handle = handle;
        }

        /// <summary>Asks a question after those before and waits for the answer.</summary>
        public Analysis Ask(string prompt = null, string task = null, CancellationToken cancellationToken = default(CancellationToken))
        {
            return Ask(EmotionLLaMA.Question(prompt, task), cancellationToken);
        }

        /// <summary>Asks a question. The request says nothing of the clip.</summary>
        public unsafe Analysis Ask(AnalyzeRequest request, CancellationToken cancellationToken = default(CancellationToken))
        {
            byte[] json = Json(request);
            using (NativeHandle.Borrowed session = Borrow())
            using (CancelScope cancel = new CancelScope(cancellationToken))
            {
                fixed (byte* options = json)
                {
                    IntPtr text;
                    IntPtr status = NativeMethods.emotion_llama_session_ask(session.Pointer, options, cancel.Pointer, out text);
                    Status.Check(status, cancellationToken);
                    return Analysis.Parse(Utf8.Take(text));
                }
            }
        }

        /// <summary>Asks a question after those before.</summary>
        public Task<Analysis> AskAsync(
            string prompt = null, string task = null, CancellationToken cancellationToken = default(CancellationToken))
        {
            return AskAsync(EmotionLLaMA.Question(prompt, task), cancellationToken);
        }

        /// <summary>Asks a question. The request says nothing of the clip.</summary>
        public async Task<Analysis> AskAsync(
            AnalyzeRequest request, CancellationToken cancellationToken = default(CancellationToken))
        {
            return await Background.Run(() => Ask(request, cancellationToken)).ConfigureAwait(false);
        }

        /// <summary>Asks a question and gives the events of the answer.</summary>
        public EventStream AskStream(
            string prompt = null, string task = null, CancellationToken cancellationToken = default(CancellationToken))
        {
            return AskStream(EmotionLLaMA.Question(prompt, task), cancellationToken);
        }

        /// <summary>Asks a question and gives the events of the answer. The request says nothing of the clip.</summary>
        public unsafe EventStream AskStream(AnalyzeRequest request, CancellationToken cancellationToken = default(CancellationToken))
        {
            byte[] json = Json(request);
            using (NativeHandle.Borrowed session = Borrow())
            {
                return EmotionLLaMA.Streamed(cancellationToken, (IntPtr cancel, out IntPtr stream) =>
                {
                    fixed (byte* options = json)
                    {
                        return NativeMethods.emotion_llama_session_ask_stream(session.Pointer, options, cancel, out stream);
                    }
                });
            }
        }

        /// <summary>Forgets questions and answers and keeps the clip.</summary>
        public void Reset()
        {
            using (NativeHandle.Borrowed session = Borrow()) Status.Check(NativeMethods.emotion_llama_session_reset(session.Pointer));
        }

        /// <summary>Ends the conversation; a question that is being answered is answered. Safe to be called twice.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        private static byte[] Json(AnalyzeRequest request)
        {
            if (request == null) throw new ArgumentNullException("request");
            if (request.VideoBytes != null || request.VideoStream != null || request.Live != null)
            {
                throw new EmotionLlamaException(
                    ErrorCode.InvalidArgument, "invalid_argument", "a session's clip is given when it begins; ask without one");
            }
            return Utf8.Terminated(request.ToJson());
        }

        private NativeHandle.Borrowed Borrow()
        {
            try
            {
                return handle.Borrow();
            }
            catch (ObjectDisposedException)
            {
                throw new ObjectDisposedException("Session");
            }
        }
    }
}
