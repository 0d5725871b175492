//! Keeping secrets out of logs: JSON text with the values of some keys left out.

/// Stands for a value that is left out.
const HIDDEN: &str = "\"***\"";

/// Parts of key names, in lower case, whose values nobody wants in a log.
pub const SECRETS: [&str; 10] = [
    "api_key",
    "apikey",
    "api-key",
    "authorization",
    "cookie",
    "credential",
    "passw",
    "private_key",
    "secret",
    "token",
];

/// Which members of JSON objects are left out: those whose key contains one of these texts,
/// whatever its case.
///
/// What stands inside of a text (JSON in JSON, a prompt, an error message) is not looked at.
///
/// ```
/// use poolshift::worker::redaction::Redaction;
///
/// let redaction = Redaction::default();
/// let shown = redaction.excerpt(br#"{"model":"m","GEMINI_API_KEY":"s3cret","n":1}"#, 256);
/// assert_eq!(shown, r#"{"model":"m","GEMINI_API_KEY":"***","n":1}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    keys: Vec<String>,
}

impl Default for Redaction {
    fn default() -> Self {
        Self::of(SECRETS.map(str::to_owned))
    }
}

impl Redaction {
    /// Leaves out the values of keys that contain one of these texts.
    #[must_use]
    pub fn of(keys: impl IntoIterator<Item = String>) -> Self {
        Self { keys: keys.into_iter().map(|key| key.to_lowercase()).collect() }
    }

    /// The beginning of some JSON text without what is to be left out, at most `max` bytes of
    /// it, with control characters escaped. Text that is not JSON comes out as it is.
    #[must_use]
    pub fn excerpt(&self, json: &[u8], max: usize) -> String {
        let mut shown = Vec::with_capacity(max);
        let mut rest = json;
        while shown.len() < max && !rest.is_empty() {
            rest = self.step(rest, &mut shown);
        }
        shown.truncate(max);
        let text = String::from_utf8_lossy(&shown);
        text.chars().fold(String::with_capacity(max), |mut out, char| {
            match char.is_control() {
                true => out.extend(char.escape_default()),
                false => out.push(char),
            }
            out
        })
    }

    /// Copies one text with what belongs to it, or one byte, and gives what comes after it.
    fn step<'a>(&self, rest: &'a [u8], shown: &mut Vec<u8>) -> &'a [u8] {
        if rest[0] != b'"' {
            shown.push(rest[0]);
            return &rest[1..];
        }
        let (text, after) = rest.split_at(text_length(rest));
        shown.extend_from_slice(text);
        let colon = blanks(after);
        if after.get(colon) != Some(&b':') || !self.hides(text) {
            return after;
        }
        let value = colon + 1 + blanks(&after[colon + 1..]);
        shown.extend_from_slice(&after[..value]);
        shown.extend_from_slice(HIDDEN.as_bytes());
        &after[value + value_length(&after[value..])..]
    }

    /// Whether the value of this key is left out.
    #[must_use]
    pub fn hides_key(&self, key: &str) -> bool {
        let key = key.to_lowercase();
        self.keys.iter().any(|hidden| key.contains(hidden))
    }

    fn hides(&self, key_bytes: &[u8]) -> bool {
        // A key may be written with escapes; one that cannot be read is compared as it stands.
        let key = serde_json::from_slice::<String>(key_bytes);
        self.hides_key(&key.unwrap_or_else(|_| String::from_utf8_lossy(key_bytes).into_owned()))
    }
}

fn blanks(json: &[u8]) -> usize {
    json.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// From the opening quote to behind the closing one, or to the end of what there is.
fn text_length(json: &[u8]) -> usize {
    let mut at = 1;
    while at < json.len() {
        match json[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

/// The length of the value at the beginning: a text, an object, an array, or a bare word.
fn value_length(json: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'"' => at += text_length(&json[at..]) - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
        let whole = matches!(json[at - 1], b'"' | b'}' | b']');
        if depth == 0 && whole {
            return at;
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn shown(json: &str) -> String {
        Redaction::default().excerpt(json.as_bytes(), 256)
    }

    #[test]
    fn values_of_secret_keys_are_left_out_whatever_they_are() {
        for (json, expected) in [
            (r#"{"token":"a\"b","n":1}"#, r#"{"token":"***","n":1}"#),
            (r#"{"a":{"Secrets":[1,{"b":"}"}],"c":2}}"#, r#"{"a":{"Secrets":"***","c":2}}"#),
            (r#"{"password" : 12.5 , "n":1}"#, r#"{"password" : "***", "n":1}"#),
            (r#"{"api\u005fkey":"x"}"#, r#"{"api\u005fkey":"***"}"#),
            (r#"{"x":"token","token":null}"#, r#"{"x":"token","token":"***"}"#),
            (r#"{"max_tokens":[]}"#, r#"{"max_tokens":"***"}"#),
            ("[\"token\",\"a\nb\"]", r#"["token","a\nb"]"#),
            ("Traceback: no JSON", "Traceback: no JSON"),
        ] {
            assert_eq!(shown(json), expected);
        }
        let own = Redaction::of(["Patient".to_owned()]);
        assert_eq!(
            own.excerpt(br#"{"patient_name":"x","token":1}"#, 99),
            r#"{"patient_name":"***","token":1}"#
        );
    }

    #[test]
    fn a_long_frame_is_cut_and_a_cut_secret_is_none_the_less_left_out() {
        let long = format!(r#"{{"a":"{}","token":"s3cret"}}"#, "x".repeat(300));
        assert_eq!(shown(&long).len(), 256);
        assert_eq!(shown(&format!(r#"{{"token":"{}"#, "s3cret".repeat(100))), r#"{"token":"***""#);
        assert_eq!(shown(r#"{"token":"#), r#"{"token":"***""#);
        assert_eq!(shown(r#"{"token"#), r#"{"token"#);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\PC\"\\\\]{0,8}".prop_map(Value::from),
        ];
        let keys = prop_oneof![Just("token".to_owned()), "[a-c\"\\\\]{0,3}"];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(keys.clone(), inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn plainly(value: Value) -> Value {
        match value {
            Value::Object(members) => {
                let hide = |(key, value): (String, Value)| match key.as_str() {
                    "token" => (key, json!("***")),
                    _ => (key, plainly(value)),
                };
                Value::Object(members.into_iter().map(hide).collect())
            }
            Value::Array(items) => items.into_iter().map(plainly).collect(),
            other => other,
        }
    }

    proptest! {
        #[test]
        fn the_scan_agrees_with_a_walk_of_the_parsed_value(value in value(), pretty: bool) {
            let text = match pretty {
                true => serde_json::to_string_pretty(&value).unwrap(),
                false => value.to_string(),
            };
            let shown = Redaction::default().excerpt(text.as_bytes(), usize::MAX >> 44);
            // Pretty texts hold line ends, which come out escaped.
            let shown = shown.replace("\\n", "\n");
            prop_assume!(!text.contains("\\n"));
            prop_assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), plainly(value));
        }

        #[test]
        fn bytes_of_any_kind_are_bounded_and_harmless(bytes: Vec<u8>, max in 0_usize..300) {
            let shown = Redaction::default().excerpt(&bytes, max);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
