// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace EmotionLlama.Json
{
    /// <summary>An object; its fields keep their order.</summary>
    internal sealed class JsonObject
    {
        private readonly List<KeyValuePair<string, object>> fields = new List<KeyValuePair<string, object>>();
        private readonly Dictionary<string, int> places = new Dictionary<string, int>(StringComparer.Ordinal);

        internal IReadOnlyList<KeyValuePair<string, object>> Fields
        {
            get { return fields; }
        }

        /// <summary>Null where there is no such field, and where it is null.</summary>
        internal object this[string name]
        {
            get
            {
                int place;
                return places.TryGetValue(name, out place) ? fields[place].Value : null;
            }
        }

        internal bool Has(string name)
        {
            return places.ContainsKey(name);
        }

        internal void Set(string name, object value)
        {
            int place;
            KeyValuePair<string, object> field = new KeyValuePair<string, object>(name, value);
            if (places.TryGetValue(name, out place))
            {
                fields[place] = field;
                return;
            }
            places[name] = fields.Count;
            fields.Add(field);
        }

        // Each gives null (or nothing) for a field that is absent, null, or of another type: a later version's answer is no error.

        internal string Text(string name)
        {
            return this[name] as string;
        }

        internal double? Number(string name)
        {
            return this[name] as double?;
        }

        internal long Whole(string name)
        {
            double number = Number(name) ?? 0;
            return number >= long.MinValue && number <= long.MaxValue ? (long)number : 0;
        }

        internal JsonObject Object(string name)
        {
            return this[name] as JsonObject;
        }

        internal IReadOnlyList<T> List<T>(string name, Func<JsonObject, T> read)
        {
            List<T> result = new List<T>();
            List<object> values = this[name] as List<object>;
            if (values == null) return result;
            foreach (object value in values)
            {
                JsonObject item = value as JsonObject;
                if (item != null) result.Add(read(item));
            }
            return result;
        }

        internal IReadOnlyList<string> Texts(string name)
        {
            List<string> result = new List<string>();
            List<object> values = this[name] as List<object>;
            if (values == null) return result;
            foreach (object value in values)
            {
                string text = value as string;
                if (text != null) result.Add(text);
            }
            return result;
        }
    }

    /// <summary>
    /// Reads RFC 8259 JSON: null, bool, double, string, List&lt;object&gt;, JsonObject. There is no JSON reader in netstandard2.0 without a package, and
    /// those that are packages make code at run time or need reflection that IL2CPP strips.
    /// </summary>
    internal sealed class JsonReader
    {
        private const int MaxDepth = 64;
        private readonly string text;
        private int at;
        private int depth;

        private JsonReader(string text)
        {
            this.text = text;
        }

        internal static object Parse(string text)
        {
            JsonReader reader = new JsonReader(text);
            object value = reader.Value();
            reader.Space();
            if (reader.at != text.Length) throw reader.Wrong("text after the value");
            return value;
        }

        internal static JsonObject ParseObject(string text)
        {
            JsonObject value = Parse(text) as JsonObject;
            if (value == null) throw new FormatException("not a JSON object");
            return value;
        }

        private FormatException Wrong(string what)
        {
            return new FormatException("JSON, character " + at.ToString(CultureInfo.InvariantCulture) + ": " + what);
        }

        private void Space()
        {
            while (at < text.Length && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r')) at++;
        }

        private bool Take(char expected)
        {
            Space();
            if (at >= text.Length || text[at] != expected) return false;
            at++;
            return true;
        }

        private object Value()
        {
            Space();
            if (at >= text.Length) throw Wrong("it ends too early");
            switch (text[at])
            {
                case '{': return Nested(Object);
                case '[': return Nested(Array);
                case '"': return String();
                case 't': return Word("true", true);
                case 'f': return Word("false", false);
                case 'n': return Word("null", null);
                default: return Number();
            }
        }

        private object Nested(Func<object> read)
        {
            if (++depth > MaxDepth) throw Wrong("nested too deep");
            at++;
            object value = read();
            depth--;
            return value;
        }

        private object Object()
        {
            JsonObject result = new JsonObject();
            if (Take('}')) return result;
            do
            {
                Space();
                if (at >= text.Length || text[at] != '"') throw Wrong("a field's name is missing");
                string name = String();
                if (!Take(':')) throw Wrong("a colon is missing");
                result.Set(name, Value());
            }
            while (Take(','));
            if (!Take('}')) throw Wrong("a comma or brace is missing");
            return result;
        }

        private object Array()
        {
            List<object> result = new List<object>();
            if (Take(']')) return result;
            do result.Add(Value());
            while (Take(','));
            if (!Take(']')) throw Wrong("a comma or bracket is missing");
            return result;
        }

        private object Word(string word, object value)
        {
            if (string.CompareOrdinal(text, at, word, 0, word.Length) != 0) throw Wrong("an unknown word");
            at += word.Length;
            return value;
        }

        private object Number()
        {
            int start = at;
            if (at < text.Length && text[at] == '-') at++;
            int digits = at;
            Digits();
            if (at - digits > 1 && text[digits] == '0') throw Wrong("a number begins with 0");
            if (at < text.Length && text[at] == '.')
            {
                at++;
                Digits();
            }
            if (at < text.Length && (text[at] == 'e' || text[at] == 'E'))
            {
                at++;
                if (at < text.Length && (text[at] == '+' || text[at] == '-')) at++;
                Digits();
            }
            double number;
            string part = text.Substring(start, at - start);
            // Beyond the range of doubles older runtimes give no value, newer ones infinity.
            if (!double.TryParse(part, NumberStyles.Float, CultureInfo.InvariantCulture, out number) || double.IsInfinity(number))
            {
                throw Wrong("a number is too large");
            }
            return number;
        }

        private void Digits()
        {
            int start = at;
            while (at < text.Length && text[at] >= '0' && text[at] <= '9') at++;
            if (at == start) throw Wrong("no value");
        }

        private string String()
        {
            int start = ++at;
            while (at < text.Length && text[at] != '"' && text[at] != '\\' && text[at] >= ' ') at++;
            if (at < text.Length && text[at] == '"') return text.Substring(start, at++ - start);
            StringBuilder result = new StringBuilder(text, start, at - start, 64 + at - start);
            while (true)
            {
                if (at >= text.Length) throw Wrong("a string does not end");
                char next = text[at++];
                if (next == '"') return result.ToString();
                if (next < ' ') throw Wrong("a control character in a string");
                result.Append(next == '\\' ? Escape() : next);
            }
        }

        private char Escape()
        {
            if (at >= text.Length) throw Wrong("a string does not end");
            char kind = text[at++];
            switch (kind)
            {
                case '"':
                case '\\':
                case '/': return kind;
                case 'b': return '\b';
                case 'f': return '\f';
                case 'n': return '\n';
                case 'r': return '\r';
                case 't': return '\t';
                case 'u':
                    ushort unit;
                    if (at + 4 > text.Length
                        || !ushort.TryParse(text.Substring(at, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out unit))
                    {
                        throw Wrong("four hexadecimal digits are missing");
                    }
                    at += 4;
                    return (char)unit;
                default: throw Wrong("an unknown escape");
            }
        }
    }
}
