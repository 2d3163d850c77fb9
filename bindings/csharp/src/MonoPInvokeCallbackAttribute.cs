// SPDX-License-Identifier: Apache-2.0
using System;

namespace EmotionLlama
{
    /// <summary>
    /// Tells ahead-of-time compilers (Mono's, Unity's IL2CPP) that native code calls a static method. They look for the name alone, so the
    /// library needs no reference to Unity.
    /// </summary>
    [AttributeUsage(AttributeTargets.Method)]
    internal sealed class MonoPInvokeCallbackAttribute : Attribute
    {
        internal MonoPInvokeCallbackAttribute(Type type)
        {
            Type = type;
        }

        internal Type Type { get; private set; }
    }
}
