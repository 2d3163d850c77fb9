// SPDX-License-Identifier: Apache-2.0
using System.Reflection;
using System.Runtime.CompilerServices;

[assembly: AssemblyTitle("EmotionLlama")]
[assembly: AssemblyProduct("emotion-llama")]
[assembly: AssemblyDescription("What a person in a clip feels, and what shows it")]
[assembly: AssemblyCopyright("Apache-2.0")]
[assembly: InternalsVisibleTo("EmotionLlama.Tests")]

#if RETARGET
namespace EmotionLlama
{
    // mcs compiles against Mono's mscorlib; tools/sdk_csharp.py points the reference to netstandard, and needs this name for it.
    internal static class Retargeted_to_netstandard
    {
    }
}
#endif
