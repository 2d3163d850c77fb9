// SPDX-License-Identifier: Apache-2.0
using System;
using System.Threading;

namespace EmotionLlama
{
    /// <summary>The kinds of failure. The numbers are the same in every release; later releases may have more.</summary>
    public enum ErrorCode
    {
        /// <summary>An option or argument has a value that cannot be used.</summary>
        InvalidArgument = 1,

        /// <summary>The input is not media that can be decoded.</summary>
        MediaUndecodable = 2,

        /// <summary>The input goes beyond a limit.</summary>
        MediaTooLarge = 3,

        /// <summary>A file, pack or library is not there.</summary>
        NotFound = 4,

        /// <summary>A pack is there but cannot be used.</summary>
        PackInvalid = 5,

        /// <summary>Memory or threads ran out.</summary>
        OutOfMemory = 6,

        /// <summary>Too much is already running; try again.</summary>
        Overloaded = 7,

        /// <summary>The caller cancelled the work. Comes as an <see cref="EmotionLlamaCanceledException"/>.</summary>
        Cancelled = 8,

        /// <summary>The work took longer than the caller allowed.</summary>
        Timeout = 9,

        /// <summary>A defect in the library.</summary>
        Internal = 10,

        /// <summary>A server cannot be reached, or is none.</summary>
        Unreachable = 11,
    }

    /// <summary>Why a call failed. The message is for a person: what happened, where, and what to do.</summary>
    public class EmotionLlamaException : Exception
    {
        internal EmotionLlamaException(ErrorCode code, string name, string message) : base(message)
        {
            Code = code;
            Name = name;
        }

        /// <summary>The kind, as a number; may be one that this version has no name for.</summary>
        public ErrorCode Code { get; private set; }

        /// <summary>The kind's stable name, for example <c>not_found</c>.</summary>
        public string Name { get; private set; }

        /// <summary>The HTTP status that the server gives it, for example 404; null for a kind that this version has no name for.</summary>
        public int? HttpStatus
        {
            get { return StatusOf(Code); }
        }

        internal static int? StatusOf(ErrorCode code)
        {
            switch (code)
            {
                case ErrorCode.InvalidArgument: return 400;
                case ErrorCode.MediaUndecodable: return 400;
                case ErrorCode.MediaTooLarge: return 413;
                case ErrorCode.NotFound: return 404;
                case ErrorCode.PackInvalid: return 500;
                case ErrorCode.OutOfMemory: return 503;
                case ErrorCode.Overloaded: return 503;
                case ErrorCode.Cancelled: return 499;
                case ErrorCode.Timeout: return 504;
                case ErrorCode.Internal: return 500;
                case ErrorCode.Unreachable: return 502;
                default: return null;
            }
        }
    }

    /// <summary>
    /// The work was cancelled: an <see cref="OperationCanceledException"/> as the platform expects it, so that a task ends as cancelled.
    /// </summary>
    public class EmotionLlamaCanceledException : OperationCanceledException
    {
        internal EmotionLlamaCanceledException(string message, CancellationToken token) : base(message, token)
        {
        }

        internal static void ThrowIf(CancellationToken token)
        {
            if (token.IsCancellationRequested) throw new EmotionLlamaCanceledException("the call was cancelled before it began", token);
        }

        /// <summary>Always <see cref="ErrorCode.Cancelled"/>.</summary>
        public ErrorCode Code
        {
            get { return ErrorCode.Cancelled; }
        }

        /// <summary>Always <c>cancelled</c>.</summary>
        public string Name
        {
            get { return "cancelled"; }
        }

        /// <summary>Always 499, as the server has it.</summary>
        public int? HttpStatus
        {
            get { return EmotionLlamaException.StatusOf(Code); }
        }
    }
}
