//! An answer as it is compared: JSON that borrows its texts from the answer, which saves most of
//! what reading one costs.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Tree<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    Array(Vec<Self>),
    Object(Members<'a>),
}

/// Sorted by key; each key once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, Tree<'a>)>);

impl<'a> Members<'a> {
    /// Of members with one key, the last counts, as in Python.
    fn of(mut members: Vec<(Cow<'a, str>, Tree<'a>)>) -> Self {
        // Many a service writes its keys in this order, each once.
        if members.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Self(members);
        }
        // Stable, so the last one of a key stays behind the others.
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        members.reverse();
        members.dedup_by(|(a, _), (b, _)| a == b);
        members.reverse();
        Self(members)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Tree<'a>)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Tree<'a>> {
        let found = self.0.binary_search_by(|(other, _)| other.as_ref().cmp(key));
        found.ok().map(|index| &self.0[index].1)
    }
}

impl<'a> Tree<'a> {
    /// Whether nothing is below it.
    pub(super) const fn is_leaf(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Object(_))
    }

    /// The value at a JSON Pointer.
    pub(super) fn at(&self, pointer: &str) -> Option<&Self> {
        let mut tokens = pointer.split('/').skip(1);
        tokens.try_fold(self, |tree, token| match tree {
            Self::Object(members) => members.get(&token.replace("~1", "/").replace("~0", "~")),
            Self::Array(items) => items.get(token.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl<'a> From<&'a Value> for Tree<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Value::Object(members) => {
                let members = members.iter();
                let borrowed = members.map(|(key, value)| (Cow::Borrowed(&**key), value.into()));
                Self::Object(Members::of(borrowed.collect()))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Tree::Text(Cow::Borrowed(text)))
    }

    /// One with escapes.
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Tree::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Tree::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        // What most objects need, and none needs to grow to by steps.
        let mut object = Vec::with_capacity(8);
        while let Some((Key(key), value)) = members.next_entry()? {
            object.push((key, value));
        }
        Ok(Tree::Object(Members::of(object)))
    }
}

/// A member's name, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Name;

        impl<'de> Visitor<'de> for Name {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }

        from.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn it_reads_what_serde_json_reads() {
        for text in [
            r#"{"b": [1, -2, 3.5, 18446744073709551615], "a": {"x": null}, "": true}"#,
            r#"{"\u0041": "\n\"é", "é": "\ud83d\ude00"}"#,
            r#"{"a": 1, "b": 2, "a": 3}"#,
            "[[], {}, 1e300, -0.0, 123456789012345678901]",
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::from_str::<Tree<'_>>(text).unwrap(), Tree::from(&value));
        }
        for text in ["1e400", "{", &"[".repeat(200)] {
            let [tree, value] = [
                serde_json::from_str::<Tree<'_>>(text).unwrap_err().to_string(),
                serde_json::from_str::<Value>(text).unwrap_err().to_string(),
            ];
            assert_eq!(tree, value);
        }
    }

    #[test]
    fn a_pointer_leads_where_serde_json_s_leads() {
        let value = json!({"a": [{"id": 1}, 2], "x/y~": {"": 3}});
        let tree = Tree::from(&value);
        for pointer in ["", "/a/0/id", "/a/1", "/a/2", "/x~1y~0/", "/b", "/a/id"] {
            assert_eq!(tree.at(pointer).cloned(), value.pointer(pointer).map(Tree::from));
        }
    }

    proptest! {
        #[test]
        fn trees_are_equal_where_values_are(one in 0..6_i64, other in 0..6_i64) {
            let value = |n: i64| json!({"n": n / 2, "t": [n / 3, "x"]});
            let (one, other) = (value(one), value(other));
            prop_assert_eq!(Tree::from(&one) == Tree::from(&other), one == other);
        }
    }
}
