// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using EmotionLlama.Json;

namespace EmotionLlama.Tests
{
    /// <summary>Runs conformance/cases, embedded and against the stub server; conformance/README.md says what they mean.</summary>
    internal static class Conformance
    {
        internal static int Run()
        {
            string root = Path.Combine(Places.Root, "conformance");
            string[] files = Directory.GetFiles(Path.Combine(root, "cases"), "*.json");
            Array.Sort(files, StringComparer.Ordinal);
            List<JsonObject> cases = files.Select(file => JsonReader.ParseObject(File.ReadAllText(file))).ToList();
            bool isWell = cases.Count > 0 && RunAll(cases, "embedded", null);
            using (StubServer server = new StubServer(Path.Combine(root, "server.py"))) return RunAll(cases, "server", server.Url) && isWell ? 0 : 1;
        }

        private static bool RunAll(List<JsonObject> cases, string mode, string server)
        {
            bool isWell = true;
            using (EmotionLLaMA shared = server == null ? new EmotionLLaMA(pack: Places.Pack) : new EmotionLLaMA(apiUrl: server))
            {
                foreach (JsonObject each in cases)
                {
                    List<string> modes = each.Texts("modes").ToList();
                    string outcome;
                    if (modes.Count > 0 && !modes.Contains(mode)) outcome = "- (not for this mode)";
                    else
                    {
                        try
                        {
                            new ConformanceCase((JsonObject)Placed(each, server), shared).Run();
                            outcome = "ok";
                        }
                        catch (Exception failure)
                        {
                            isWell = false;
                            CheckFailed check = failure as CheckFailed;
                            outcome = "FAILED " + (check == null ? failure.ToString() : check.Message).Replace("\n", " ");
                        }
                    }
                    Console.WriteLine("csharp {0} {1} {2}", mode, each.Text("name"), outcome);
                }
            }
            return isWell;
        }

        /// <summary>The case with its places filled in.</summary>
        private static object Placed(object value, string server)
        {
            string text = value as string;
            JsonObject json = value as JsonObject;
            List<object> list = value as List<object>;
            if (text != null)
            {
                return text.Replace("${source}", server ?? Places.Pack).Replace("${pack}", Places.Pack).Replace("${clips}", Places.Clips)
                    .Replace("${files}", Path.Combine(Places.Root, "conformance/files")).Replace("${server}", server ?? "");
            }
            if (list != null) return list.Select(item => Placed(item, server)).ToList();
            if (json == null) return value;
            JsonObject result = new JsonObject();
            foreach (KeyValuePair<string, object> field in json.Fields) result.Set(field.Key, Placed(field.Value, server));
            return result;
        }

        /// <summary>conformance/server.py, which ends with this process as its standard input does.</summary>
        private sealed class StubServer : IDisposable
        {
            private readonly Process process;

            internal StubServer(string script)
            {
                Url = Environment.GetEnvironmentVariable("EMOTION_LLAMA_SERVER");
                if (!string.IsNullOrEmpty(Url)) return;
                process = Process.Start(new ProcessStartInfo("python3", "\"" + script + "\"")
                {
                    UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true,
                });
                const string greeting = "listening on ";
                string line = process.StandardOutput.ReadLine() ?? "";
                if (!line.StartsWith(greeting, StringComparison.Ordinal)) throw new CheckFailed("the stub server said: " + line);
                Url = line.Substring(greeting.Length).Trim();
            }

            internal string Url { get; private set; }

            public void Dispose()
            {
                if (process == null) return;
                process.StandardInput.Close();
                process.WaitForExit();
                process.Dispose();
            }
        }
    }

    internal sealed class ConformanceCase
    {
        private readonly JsonObject given;
        private readonly EmotionLLaMA shared;

        internal ConformanceCase(JsonObject given, EmotionLLaMA shared)
        {
            this.given = given;
            this.shared = shared;
        }

        internal void Run()
        {
            JsonObject expect = given.Object("expect") ?? new JsonObject();
            JsonObject error = expect.Object("error");
            if (error == null)
            {
                Call(expect);
                return;
            }
            try
            {
                Call(new JsonObject());
            }
            catch (EmotionLlamaException failure)
            {
                CheckError(error, failure.Code, failure.Name, failure.HttpStatus, failure.Message);
                return;
            }
            catch (EmotionLlamaCanceledException failure)
            {
                CheckError(error, failure.Code, failure.Name, failure.HttpStatus, failure.Message);
                return;
            }
            throw new CheckFailed("no failure, expected " + error.Text("name"));
        }

        private static void CheckError(JsonObject error, ErrorCode code, string name, int? status, string message)
        {
            Check.Equal(error.Text("name"), name, "name (" + message + ")");
            if (error.Has("code")) Check.Equal(error.Whole("code"), (long)code, "code");
            if (error.Has("http_status")) Check.Equal(error.Whole("http_status"), (long)(status ?? 0), "HTTP status");
            string part = error.Text("message_has");
            if (part != null) Check.That(message.Contains(part), "the message has no \"" + part + "\": " + message);
        }

        private void Call(JsonObject expect)
        {
            EmotionLLaMA engine = given.Has("open") ? new EmotionLLaMA(Options(given.Object("open"))) : shared;
            try
            {
                switch (given.Text("call") ?? "analyze")
                {
                    case "open": CheckInfo(expect.Object("info"), engine.Info); break;
                    case "stream": Stream(engine, expect); break;
                    case "session": Converse(engine); break;
                    default: Analyze(engine, expect); break;
                }
            }
            finally
            {
                if (engine != shared) engine.Dispose();
            }
        }

        private void Analyze(EmotionLLaMA engine, JsonObject expect)
        {
            CancellationToken token = new CancellationToken(given.Text("cancel") == "before");
            int count = (int)Math.Max(1, given.Whole("concurrent"));
            using (LiveBuffer live = Live())
            {
                // One after the other and at once are the two ways that callers have.
                if (count == 1) CheckAnalysis(expect, engine.Analyze(Request(given.Object("request"), live), token));
                if (count == 1) return;
                Task<Analysis>[] tasks = Enumerable.Range(0, count)
                    .Select(i => engine.AnalyzeAsync(Request(given.Object("request"), live), token)).ToArray();
                Analysis[] results = tasks.Select(Check.Wait).ToArray();
                foreach (Analysis result in results)
                {
                    CheckAnalysis(expect, result);
                    Check.Equal(results[0].Response, result.Response, "response");
                    foreach (KeyValuePair<string, double> label in results[0].Probabilities) Check.Near(label.Value, result.Probabilities[label.Key], 1e-5);
                }
            }
        }

        private void Stream(EmotionLLaMA engine, JsonObject expect)
        {
            string cancel = given.Text("cancel");
            List<string> names = new List<string>();
            string text = "";
            LabelEvent told = null;
            Analysis result = null;
            using (CancellationTokenSource source = new CancellationTokenSource())
            using (LiveBuffer live = Live())
            {
                if (cancel == "before") source.Cancel();
                foreach (AnalysisEvent next in engine.AnalyzeStream(Request(given.Object("request"), live), source.Token))
                {
                    Check.That(result == null, "an event after the result");
                    StageEvent stage = next as StageEvent;
                    LabelEvent label = next as LabelEvent;
                    TextEvent piece = next as TextEvent;
                    ResultEvent last = next as ResultEvent;
                    if (stage != null && stage.Stage != "upload") names.Add(stage.Stage);
                    if (stage != null && stage.Stage == cancel) source.Cancel();
                    if (label != null) names.Add("label");
                    if (label != null) told = label;
                    if (piece != null) text += piece.Text;
                    if (piece != null && names.LastOrDefault() != "text") names.Add("text");
                    if (last != null) names.Add("result");
                    if (last != null) result = last.Analysis;
                }
            }
            Check.That(result != null, "there is no result");
            Check.Equal(result.Response, text, "the pieces");
            if (told != null)
            {
                Check.Equal(result.Emotion, told.Emotion, "the label");
                Check.That(result.Confidence == told.Confidence, "the label's confidence");
                Check.Same(result.Probabilities.Keys, told.Probabilities.Keys, "the label's probabilities");
            }
            if (expect.Has("events")) Check.Same(expect.Texts("events"), names, "events");
            CheckAnalysis(expect, result);
        }

        private void Converse(EmotionLLaMA engine)
        {
            using (LiveBuffer live = Live())
            using (Session session = engine.StartSession(Request(given.Object("request"), live)))
            {
                foreach (JsonObject question in given.List("questions", item => item))
                {
                    if (question["reset"] is bool && (bool)question["reset"]) session.Reset();
                    CheckAnalysis(question.Object("expect"), session.Ask(Asked(question.Object("request"))));
                }
            }
        }

        private static EngineOptions Options(JsonObject json)
        {
            EngineOptions options = new EngineOptions { Additional = new Dictionary<string, object>() };
            foreach (KeyValuePair<string, object> field in json.Fields)
            {
                string text = field.Value as string;
                double number = field.Value is double ? (double)field.Value : 0;
                switch (field.Key)
                {
                    case "source":
                        if (text.Contains("://")) options.ApiUrl = text;
                        else options.Pack = text;
                        break;
                    case "api_key": options.ApiKey = text; break;
                    case "upload": options.Upload = text; break;
                    case "ca_file": options.CaFile = text; break;
                    case "timeout_s": options.Timeout = TimeSpan.FromSeconds(number); break;
                    case "connect_timeout_s": options.ConnectTimeout = TimeSpan.FromSeconds(number); break;
                    case "threads": options.Threads = (int)number; break;
                    case "verify": options.Verify = (bool)field.Value; break;
                    default: options.Additional[field.Key] = field.Value; break;
                }
            }
            return options;
        }

        private AnalyzeRequest Request(JsonObject json, LiveBuffer live)
        {
            AnalyzeRequest request = Asked(json);
            JsonObject clip = given.Object("clip");
            if (clip == null) return request;
            if (clip.Has("path")) request.VideoPath = clip.Text("path");
            if (clip.Has("base64")) request.VideoBytes = new ArraySegment<byte>(Convert.FromBase64String(clip.Text("base64")));
            if (clip.Has("bytes_of"))
            {
                byte[] bytes = File.ReadAllBytes(clip.Text("bytes_of"));
                request.VideoBytes = new ArraySegment<byte>(bytes, 0, clip.Has("first") ? (int)clip.Whole("first") : bytes.Length);
            }
            request.Live = live;
            if (live != null) request.LiveSeconds = clip.Object("live").Number("seconds") ?? 0;
            return request;
        }

        /// <summary>As a program would write it; what its types do not take goes as an additional field.</summary>
        private static AnalyzeRequest Asked(JsonObject json)
        {
            AnalyzeRequest request = new AnalyzeRequest { Additional = new Dictionary<string, object>() };
            foreach (KeyValuePair<string, object> field in (json ?? new JsonObject()).Fields)
            {
                object value = field.Value;
                if (value is string && SetText(request, field.Key, (string)value)) continue;
                if (value is double && SetNumber(request, field.Key, (double)value)) continue;
                if (field.Key == "greedy" && value is bool) request.Greedy = (bool)value;
                else if (field.Key == "labels") request.Labels = ((List<object>)value).Cast<string>();
                else if (field.Key == "limits")
                {
                    JsonObject limits = (JsonObject)value;
                    request.Limits = new ClipLimits
                    {
                        MaxBytes = (long?)limits.Number("max_bytes"), MaxDurationSeconds = limits.Number("max_duration_s"),
                        MaxPixels = (long?)limits.Number("max_pixels"), MaxStreams = (int?)limits.Number("max_streams"),
                    };
                }
                else request.Additional[field.Key] = value;
            }
            return request;
        }

        private static bool SetText(AnalyzeRequest request, string name, string value)
        {
            switch (name)
            {
                case "task": request.Task = value; return true;
                case "prompt": request.Prompt = value; return true;
                case "transcript": request.Transcript = value; return true;
                case "prompt_path": request.PromptPath = value; return true;
                case "frame": request.Frame = value; return true;
                default: return false;
            }
        }

        private static bool SetNumber(AnalyzeRequest request, string name, double value)
        {
            switch (name)
            {
                case "frame": request.Frame = value; return true;
                case "seed": request.Seed = (ulong)value; return true;
                case "max_new_tokens": request.MaxNewTokens = (int)value; return true;
                case "temperature": request.Temperature = value; return true;
                case "top_p": request.TopP = value; return true;
                case "top_k": request.TopK = (int)value; return true;
                case "repetition_penalty": request.RepetitionPenalty = value; return true;
                default: return false;
            }
        }

        private LiveBuffer Live()
        {
            JsonObject json = given.Object("clip") == null ? null : given.Object("clip").Object("live");
            if (json == null) return null;
            JsonObject options = json.Object("options") ?? new JsonObject();
            LiveBuffer live = new LiveBuffer(
                options.Number("seconds"), (int?)options.Number("max_side"), options.Number("max_frames_per_second"));
            PushPictures(live, json.Object("pictures"));
            PushSound(live, json.Object("sound"));
            JsonObject info = json.Object("info");
            if (info != null && info.Has("frames")) Check.Equal(info.Whole("frames"), live.Info.Frames, "frames");
            if (info != null && info.Has("duration_s")) Check.Near(info.Number("duration_s").Value, live.Info.DurationSeconds, 1e-6, "duration");
            return live;
        }

        private static void PushPictures(LiveBuffer live, JsonObject pictures)
        {
            if (pictures == null) return;
            int width = (int)pictures.Whole("width");
            int height = (int)pictures.Whole("height");
            bool isGray = pictures.Text("format") == "gray";
            int channels = isGray ? 1 : 3;
            for (int i = 0; i < pictures.Whole("count"); i++)
            {
                byte[] pixels = new byte[width * height * channels];
                for (int y = 0; y < height; y++)
                {
                    for (int x = 0; x < width; x++)
                    {
                        for (int c = 0; c < channels; c++) pixels[(y * width + x) * channels + c] = (byte)((3 * x + 5 * y + 7 * i + 40 * c) % 256);
                    }
                }
                live.PushFrame(isGray ? PixelFormat.Gray : PixelFormat.Rgb, width, height, pixels, i / pictures.Number("per_second").Value);
            }
        }

        private static void PushSound(LiveBuffer live, JsonObject sound)
        {
            if (sound == null) return;
            int rate = (int)sound.Whole("rate");
            int channels = (int)sound.Whole("channels");
            int pieces = (int)sound.Whole("pieces");
            int each = (int)(rate * sound.Number("seconds").Value) / pieces;
            for (int piece = 0; piece < pieces; piece++)
            {
                short[] samples = new short[each * channels];
                for (int n = 0; n < each; n++)
                {
                    for (int c = 0; c < channels; c++) samples[n * channels + c] = (short)(((piece * each + n) % 64 - 32) * 256);
                }
                double time = (double)piece * each / rate;
                if (sound.Text("format") == "f32") live.PushSamples(samples.Select(sample => sample / 32768f).ToArray(), rate, channels, time);
                else live.PushSamples(samples, rate, channels, time);
            }
        }

        private static void CheckInfo(JsonObject expect, EngineInfo info)
        {
            if (expect == null) return;
            if (expect.Has("labels")) Check.Same(expect.Texts("labels"), info.Labels, "labels");
            if (expect.Has("tasks")) Check.Same(expect.Texts("tasks"), info.Tasks, "tasks");
            if (expect.Object("pack") != null) Check.Equal(expect.Object("pack").Text("name"), info.Pack.Name, "pack");
        }

        private static void CheckAnalysis(JsonObject expect, Analysis result)
        {
            if (expect == null) expect = new JsonObject();
            if (expect.Has("emotion")) Check.Equal(expect.Text("emotion"), result.Emotion, "emotion");
            if (expect.Has("response")) Check.Equal(expect.Text("response"), result.Response, "response");
            if (expect.Has("language")) Check.Equal(expect.Text("language"), result.Language, "language");
            if (expect.Has("transcript")) Check.Equal(expect.Text("transcript"), result.Transcript, "transcript");
            string begin = expect.Text("response_begins");
            if (begin != null) Check.That(result.Response.StartsWith(begin, StringComparison.Ordinal), "the response is: " + result.Response);
            CheckSome(expect, "explanation", result.Explanation.Length);
            CheckSome(expect, "cues", result.Cues.Count);
            CheckSome(expect, "cached_tokens", result.Usage.CachedTokens);
            JsonObject probabilities = expect.Object("probabilities");
            if (probabilities != null)
            {
                Check.Same(probabilities.Fields.Select(field => field.Key), result.Probabilities.Keys, "labels");
                double tolerance = expect.Number("tolerance").Value;
                foreach (KeyValuePair<string, object> field in probabilities.Fields)
                {
                    Check.Near((double)field.Value, result.Probabilities[field.Key], tolerance, field.Key);
                }
            }
            if (expect.Has("labels")) Check.Same(expect.Texts("labels"), result.Probabilities.Keys, "labels");
            if (expect.Has("faces")) Check.Equal(expect.Whole("faces"), (long)result.Faces.Count, "faces");
            if (expect.Has("frame")) Check.Equal((bool)expect["frame"], result.Frame != null, "frame");
            if (expect.Has("notes")) Check.Same(expect.Texts("notes"), result.Notes.Select(note => note.Name), "notes");
            if (expect.Has("model")) Check.Equal(expect.Text("model") ?? "", result.Model.Name, "model");
            if (expect.Has("confidence"))
            {
                Check.Equal(null, result.Confidence, "confidence");
                Check.Equal(0, result.Probabilities.Count, "probabilities");
                return;
            }
            Check.Near(result.Probabilities[result.Emotion], result.Confidence, 1e-6, "confidence and its label");
            Check.Near(result.Probabilities.Values.Max(), result.Confidence, 1e-6, "confidence and the greatest");
            Check.Near(1, result.Probabilities.Values.Sum(), 1e-3, "sum");
        }

        private static void CheckSome(JsonObject expect, string name, long count)
        {
            if (expect.Has(name)) Check.Equal(expect.Text(name) == "some", count > 0, name);
        }
    }
}
