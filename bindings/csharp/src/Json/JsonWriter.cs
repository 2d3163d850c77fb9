// SPDX-License-Identifier: Apache-2.0
using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace EmotionLlama.Json
{
    /// <summary>Writes one JSON object, field by field. Fields that are null are left out.</summary>
    internal sealed class JsonWriter
    {
        private readonly StringBuilder text = new StringBuilder("{");

        internal JsonWriter Field(string name, object value)
        {
            if (value == null) return this;
            if (text.Length > 1) text.Append(',');
            String(name);
            text.Append(':');
            Value(value);
            return this;
        }

        internal JsonWriter Fields(IEnumerable<KeyValuePair<string, object>> fields)
        {
            if (fields == null) return this;
            foreach (KeyValuePair<string, object> field in fields) Field(field.Key, field.Value);
            return this;
        }

        internal string End()
        {
            return text.Append('}').ToString();
        }

        private void Value(object value)
        {
            string word = value as string;
            JsonObject parsed = value as JsonObject;
            IEnumerable<KeyValuePair<string, object>> fields = value as IEnumerable<KeyValuePair<string, object>>;
            IEnumerable items = value as IEnumerable;
            if (value == null) text.Append("null");
            else if (word != null) String(word);
            else if (value is bool) text.Append((bool)value ? "true" : "false");
            else if (value is float) text.Append(((float)value).ToString("R", CultureInfo.InvariantCulture));
            else if (value is double) text.Append(((double)value).ToString("R", CultureInfo.InvariantCulture));
            else if (parsed != null) Object(parsed.Fields);
            else if (fields != null) Object(fields);
            else if (items != null) List(items);
            else if (value is IFormattable) text.Append(((IFormattable)value).ToString(null, CultureInfo.InvariantCulture));
            else throw new ArgumentException("a " + value.GetType().Name + " cannot be written as JSON");
        }

        private void Object(IEnumerable<KeyValuePair<string, object>> fields)
        {
            text.Append('{');
            bool first = true;
            foreach (KeyValuePair<string, object> field in fields)
            {
                if (!first) text.Append(',');
                first = false;
                String(field.Key);
                text.Append(':');
                Value(field.Value);
            }
            text.Append('}');
        }

        private void List(IEnumerable items)
        {
            text.Append('[');
            bool first = true;
            foreach (object item in items)
            {
                if (!first) text.Append(',');
                first = false;
                Value(item);
            }
            text.Append(']');
        }

        /// <summary>
        /// Half of a surrogate pair is escaped, so that the library refuses it, where an encoder would put another character in its place.
        /// </summary>
        private void String(string value)
        {
            text.Append('"');
            for (int at = 0; at < value.Length; at++)
            {
                char next = value[at];
                if (next == '"' || next == '\\') text.Append('\\').Append(next);
                else if (char.IsHighSurrogate(next) && at + 1 < value.Length && char.IsLowSurrogate(value[at + 1]))
                {
                    text.Append(next).Append(value[++at]);
                }
                else if (next < ' ' || char.IsSurrogate(next))
                {
                    text.Append("\\u").Append(((int)next).ToString("x4", CultureInfo.InvariantCulture));
                }
                else text.Append(next);
            }
            text.Append('"');
        }
    }
}
