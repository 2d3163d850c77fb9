// SPDX-License-Identifier: Apache-2.0
using System;
using System.Threading;
using System.Threading.Tasks;

namespace EmotionLlama
{
    /// <summary>Calls that take seconds get a thread of their own, so that the pool's few are not blocked.</summary>
    internal static class Background
    {
        internal static Task<T> Run<T>(Func<T> work)
        {
            return Task.Factory.StartNew(
                work, CancellationToken.None, TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach, TaskScheduler.Default);
        }

        internal static void Forget(Action work)
        {
            Task.Factory.StartNew(
                work, CancellationToken.None, TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach, TaskScheduler.Default);
        }
    }
}
