namespace EmotionLlama.Tests { internal static class Conformance { internal static int Run() { return 0; } } }
