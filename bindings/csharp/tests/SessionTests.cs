// SPDX-License-Identifier: Apache-2.0
using System;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;

namespace EmotionLlama.Tests
{
    internal static class SessionTests
    {
        private static readonly AnalyzeRequest Clip = new AnalyzeRequest { VideoPath = Places.Clip, Transcript = "none" };

        private static AnalyzeRequest Question(string task)
        {
            return new AnalyzeRequest { Task = task, Greedy = true, MaxNewTokens = 8 };
        }

        public static void AFollowUpKnowsWhatWasRead()
        {
            using (Session session = Check.Wait(Places.Engine.StartSessionAsync(Clip)))
            {
                Analysis first = session.Ask(Question("emotion"));
                Analysis second = Check.Wait(session.AskAsync(Question("reason")));
                Check.That(second.Usage.CachedTokens > 0, "cached tokens");
                session.Reset();
                Check.Equal(first.Response, session.Ask(Question("emotion")).Response, "after a reset");
                Check.Equal("result", session.AskStream(Question("reason")).Last().Type);
            }
        }

        public static void ASessionWorksAfterItsEngineIsDisposed()
        {
            Session session;
            using (EmotionLLaMA engine = new EmotionLLaMA(pack: Places.Pack)) session = engine.StartSession(Clip);
            using (session) Check.That(session.Ask(Question("emotion")).Emotion.Length > 0, "an answer");
        }

        public static void AQuestionHasNoClip()
        {
            using (Session session = Places.Engine.StartSession(Clip))
            {
                Check.Fails(ErrorCode.InvalidArgument, "invalid_argument", () => session.Ask(new AnalyzeRequest { VideoPath = "x" }));
                Check.Fails(ErrorCode.InvalidArgument, "invalid_argument", () => session.Ask(
                    new AnalyzeRequest { VideoBytes = new ArraySegment<byte>(new byte[1]) }));
                Check.Throws<OperationCanceledException>(() => session.Ask("Why?", cancellationToken: new CancellationToken(true)));
                Check.That(session.Ask(Question("emotion")).Emotion.Length > 0, "the conversation is as before");
            }
        }

        public static void AnEndedSessionSaysSo()
        {
            Session session = Places.Engine.StartSession(Clip);
            session.Dispose();
            session.Dispose();
            Check.Throws<ObjectDisposedException>(() => session.Ask("Why?"));
            Check.Throws<ObjectDisposedException>(() => session.AskStream("Why?"));
            Check.Throws<ObjectDisposedException>(() => session.Reset());
        }
    }
}
