//! Laws of the comparison, over any JSON.

use std::collections::BTreeSet;

use poolshift::router::compare::rule::{Effect, Rule, Rules};
use poolshift::router::compare::{Difference, Kind, differences};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::{any_json, rule, rules};

/// Every place of a value, as pointers.
pub(super) fn places(value: &Value) -> Vec<String> {
    fn walk(value: &Value, path: &str, places: &mut Vec<String>) {
        places.push(path.to_owned());
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    walk(item, &format!("{path}/{index}"), places);
                }
            }
            Value::Object(members) => {
                for (key, member) in members {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    walk(member, &format!("{path}/{key}"), places);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}

/// Changes one place of a value; gives what must be found.
fn plant(value: &mut Value, at: &str, edit: u8) -> (&'static str, String) {
    let place = value.pointer_mut(at).expect("it is a place of this value");
    match (edit % 4, place) {
        (0, Value::Object(members)) => {
            members.insert("planted".to_owned(), json!(1));
            ("extra", format!("{at}/planted"))
        }
        (1, Value::Object(members)) if !members.is_empty() => {
            let key = members.keys().next_back().expect("there is one").clone();
            members.remove(&key);
            ("missing", format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")))
        }
        (0 | 1, Value::Array(items)) => {
            items.insert(items.len() / 2, json!("planted"));
            ("length", at.to_owned())
        }
        (2, Value::Array(items)) if items.iter().any(|item| *item != items[0]) => {
            // Turned until it is another one.
            let before = items.clone();
            while *items == before {
                items.rotate_left(1);
            }
            ("order", at.to_owned())
        }
        (_, place @ Value::String(_)) => {
            *place = json!("planted");
            ("changed", at.to_owned())
        }
        (_, place) => {
            *place = json!("planted");
            ("type", at.to_owned())
        }
    }
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let segment = prop_oneof![
        "[a-c]",
        "[0-2]",
        Just("*".to_owned()),
        Just("**".to_owned()),
        Just("~0".to_owned()),
        Just("a~1b".to_owned()),
        Just("~2".to_owned()),
    ];
    let glob = prop::collection::vec(segment, 0..4)
        .prop_map(|parts| parts.iter().map(|part| format!("/{part}")).collect::<String>());
    (glob, forgiving()).prop_map(|(at, effect)| rule(&at, effect))
}

/// Effects that ignore or tolerate.
fn forgiving() -> impl Strategy<Value = Effect> {
    prop_oneof![
        Just(Effect::Ignore),
        prop::sample::subsequence(&Kind::ALL[..6], 1..4).prop_map(Effect::IgnoreKinds),
        (0.0..2.0, 0.0..0.9).prop_map(|(abs, rel)| Effect::Tolerance { abs, rel }),
        Just(Effect::Loose),
    ]
}

fn any_shaping_rule() -> impl Strategy<Value = Rule> {
    let effect = prop_oneof![Just(Effect::Unordered), Just(Effect::Keyed("/a".to_owned()))];
    (any_rule(), effect).prop_map(|(rule, effect)| Rule { effect, ..rule })
}

/// Where one stood before, or above it.
fn covers(before: &[Difference], after: &Difference) -> bool {
    before.iter().any(|difference| {
        let below = difference.path.strip_prefix(&after.path);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Two values that have much in common.
pub(super) fn alike() -> impl Strategy<Value = (Value, Value)> {
    let edits = prop::collection::vec((any::<Index>(), any::<u8>()), 0..5);
    (any_json(), edits).prop_map(|(value, edits)| {
        let mut other = value.clone();
        for (index, edit) in edits {
            let places = places(&other);
            plant(&mut other, &places[index.index(places.len())].clone(), edit);
        }
        (value, other)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_value_is_the_same_as_itself(
        value in any_json(), list in prop::collection::vec(any_rule(), 0..4),
    ) {
        prop_assert!(differences(&Rules::default(), &value, &value).is_empty());
        prop_assert!(differences(&rules(list), &value, &value.clone()).is_empty());
    }

    #[test]
    fn each_planted_edit_is_found_at_its_place(value in any_json(), at: Index, edit: u8) {
        let places = places(&value);
        let mut edited = value.clone();
        let (kind, path) = plant(&mut edited, &places[at.index(places.len())], edit);
        let found = differences(&Rules::default(), &value, &edited).listed;
        let found: Vec<_> = found.iter().map(|of| (of.kind.as_str(), of.path.clone())).collect();
        // Of two arrays whose elements came to stand like another's, the outer is told as turned.
        let turned = found.len() == 1 && found[0].0 == "order" && path.starts_with(&found[0].1);
        prop_assert!(turned || found == [(kind, path.clone())], "{kind} {path}: {found:?}");
    }

    #[test]
    fn what_is_found_does_not_depend_on_who_is_first((one, other) in alike()) {
        let mirrored = |of: Difference| {
            let kind = match of.kind {
                Kind::Missing => Kind::Extra,
                Kind::Extra => Kind::Missing,
                kind => kind,
            };
            (of.path, kind)
        };
        let there: BTreeSet<_> = differences(&Rules::default(), &one, &other).listed.into_iter()
            .map(|of| (of.path, of.kind)).collect();
        let back: BTreeSet<_> = differences(&Rules::default(), &other, &one).listed.into_iter()
            .map(mirrored).collect();
        prop_assert_eq!(there, back);
    }

    #[test]
    fn a_rule_more_never_adds_a_mismatch(
        (v2, v3) in alike(),
        shaping in prop::collection::vec(any_shaping_rule(), 0..2),
        list in prop::collection::vec(any_rule(), 0..3),
        another in any_rule(),
    ) {
        let fewer: Vec<Rule> = shaping.into_iter().chain(list).collect();
        let more: Vec<Rule> = fewer.iter().cloned().chain([another]).collect();
        let before = differences(&rules(fewer), &v2, &v3);
        let after = differences(&rules(more), &v2, &v3);
        prop_assert!(after.count() <= before.count(), "{before:?} became {after:?}");
        for left in &after.listed {
            prop_assert!(covers(&before.listed, left), "{left:?} is new: {before:?}");
        }
    }
}
