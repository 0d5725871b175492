//! The comparison of answers: what it finds, what rules forgive, and laws over any JSON.

mod config;
mod laws;
mod noise;

use poolshift::router::compare::glob::Glob;
use poolshift::router::compare::rule::{Effect, Pattern, Place, Rule, Rules};
use poolshift::router::compare::{Kind, Skip, Verdict, compare, differences};
use poolshift::{CallError, Refusal};
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

pub(crate) fn rule(at: &str, effect: Effect) -> Rule {
    let at = match at {
        "error" => Place::Error,
        glob => Place::Value(glob.parse::<Glob>().unwrap()),
    };
    Rule { at, effect }
}

fn rules(rules: impl IntoIterator<Item = Rule>) -> Rules {
    Rules { rules: rules.into_iter().collect(), ..Rules::default() }
}

fn normalise(regex: &str, with: &str) -> Effect {
    Effect::Normalise { regex: Pattern(regex.parse().unwrap()), with: with.to_owned() }
}

/// Each difference as "kind path".
fn found(rules: &Rules, v2: &Value, v3: &Value) -> Vec<String> {
    let found = differences(rules, v2, v3);
    assert_eq!(found.beyond, 0);
    let told = found.listed.into_iter();
    told.map(|difference| format!("{} {}", difference.kind.as_str(), difference.path)).collect()
}

/// Any JSON value, with keys that need escapes in pointers and stars in globs.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        (-4_i32..5).prop_map(|n| Value::from(f64::from(n) / 2.0)),
        "[ab1]{0,2}".prop_map(Value::from),
    ];
    let key =
        prop_oneof!["[a-c]", Just("~".to_owned()), Just("a/b".to_owned()), Just("*".to_owned())];
    leaf.prop_recursive(4, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

#[test]
fn each_kind_is_told_where_it_is() {
    for (v2, v3, expected) in [
        (json!({"a": 1}), json!({"a": 2}), &["changed /a"][..]),
        (json!({"a": 1}), json!({}), &["missing /a"]),
        (json!({}), json!({"a/b": {"~": 1}}), &["extra /a~1b"]),
        (json!({"a": 1}), json!({"a": "1"}), &["type /a"]),
        (json!([1, 2, 3]), json!([3, 1, 2]), &["order "]),
        (json!({"a": [1, 2]}), json!({"a": [0, 1, 2]}), &["length /a"]),
        (json!([1, 2, 3]), json!([1, 3]), &["length "]),
        (json!([1, 2, 3, 4]), json!([1, 9, 4]), &["length ", "changed /1"]),
        (json!([{"x": 1}, {"x": 2}]), json!([{"x": 1}, {"x": 3}]), &["changed /1/x"]),
        (json!(null), json!(false), &["type "]),
        (json!(1), json!(1.0), &["changed "]),
        (
            json!([[1, 2], [3, 4]]),
            json!([[4, 3], [2, 1]]),
            &["changed /0/0", "changed /0/1", "changed /1/0", "changed /1/1"],
        ),
    ] {
        assert_eq!(found(&Rules::default(), &v2, &v3), expected, "{v2} beside {v3}");
    }
    let shapes = differences(&Rules::default(), &json!([{"*": 1}]), &json!([{"*": 2}]));
    assert_eq!((&*shapes.listed[0].path, &*shapes.listed[0].shape), ("/0/*", "/*/~2"));
}

#[test]
fn each_rule_forgives_what_it_says_and_no_more() {
    let v2 = json!({"at": 1, "score": 1.0, "tags": ["a", "b"], "n": 1, "note": "call 17 done",
                    "items": [{"id": 1, "x": 1}, {"id": 2, "x": 2}]});
    let v3 = json!({"at": 2, "score": 1.04, "tags": ["b", "a"], "n": "1.0", "note": "call 4 done",
                    "items": [{"id": 2, "x": 3}, {"id": 1, "x": 1}, {"id": 3}]});
    let all = [
        "changed /at",
        "length /items",
        "changed /items/0/id",
        "changed /items/0/x",
        "changed /items/1/id",
        "changed /items/1/x",
        "type /n",
        "changed /note",
        "changed /score",
        "order /tags",
    ];
    assert_eq!(found(&Rules::default(), &v2, &v3), all);
    let keyed = Effect::Keyed("/id".to_owned());
    let loose = Effect::Loose;
    let good = [
        rule("/at", Effect::IgnoreKinds(vec![Kind::Changed])),
        rule("/score", Effect::Tolerance { abs: 0.0, rel: 0.04 }),
        rule("/t*s", Effect::Unordered),
        rule("/n", loose),
        rule("/**/note", normalise(r"\d+", "N")),
        rule("/items", keyed),
    ];
    assert_eq!(found(&rules(good.clone()), &v2, &v3), ["changed /items/1/x", "extra /items/2"]);
    assert_eq!(found(&rules(good), &v3, &v2), ["changed /items/0/x", "missing /items/2"]);
    let not_quite = [
        rule("/at", Effect::IgnoreKinds(vec![Kind::Type, Kind::Missing])),
        rule("/score", Effect::Tolerance { abs: 0.039, rel: 0.038 }),
        rule("/tags/*", Effect::Unordered),
        rule("/n", Effect::Tolerance { abs: 1.0, rel: 1.0 }),
        rule("/note/*", normalise(r"\d+", "N")),
        rule("/item", Effect::Ignore),
    ];
    assert_eq!(found(&rules(not_quite), &v2, &v3), all);
    assert!(found(&rules([rule("", Effect::Ignore)]), &v2, &v3).is_empty());
    assert!(found(&rules([rule("/**", Effect::Ignore)]), &v2, &v3).is_empty());
}

#[test]
fn elements_in_any_order_are_paired_by_the_rules_within_them() {
    let v2 = json!([{"n": 1.0, "at": 1}, {"n": 1.9, "at": 2}]);
    let v3 = json!([{"n": 1.4, "at": 3}, {"n": 1.0, "at": 4}]);
    let ignore = rule("/*/at", Effect::Ignore);
    // Whoever takes the first partner that fits leaves 1.9 without one.
    let near = rule("/*/n", Effect::Tolerance { abs: 0.5, rel: 0.0 });
    let unordered = rule("", Effect::Unordered);
    assert!(found(&rules([ignore.clone(), near, unordered.clone()]), &v2, &v3).is_empty());
    assert_eq!(found(&rules([ignore, unordered.clone()]), &v2, &v3), ["changed "]);
    assert_eq!(
        found(&rules([unordered.clone()]), &json!([1, 1, 2]), &json!([1, 2, 2])),
        ["changed "]
    );
    assert_eq!(found(&rules([unordered]), &json!([3, 1]), &json!([1, 2, 3])), ["length "]);
}

/// Arrays in arrays, all alike and nowhere equal: what would be exponential ends in good time,
/// and ends in a difference.
#[test]
fn pairing_has_a_bound() {
    let nest = |leaf: i64| (0..12).fold(json!(leaf), |inner, _| json!([inner.clone(), inner, 0]));
    let wide = |from: i64| (from..from + 20_000).collect::<Value>();
    let everything_unordered = rules([rule("/**", Effect::Unordered)]);
    for rules in [&Rules::default(), &everything_unordered] {
        assert!(!differences(rules, &nest(1), &nest(2)).is_empty());
        assert!(!differences(rules, &wide(0), &wide(10_000)).is_empty());
    }
}

fn raised(error_type: &str, message: &str) -> CallError {
    let error_type = Some(error_type.to_owned());
    CallError::Raised { message: message.to_owned(), error_type, traceback: Vec::new() }
}

fn timeout() -> CallError {
    CallError::QueueTimeout { waited: std::time::Duration::from_secs(1), cause: None }
}

fn exec_timeout() -> CallError {
    let post_mortem = Box::default();
    let (waited, run) = Default::default();
    let ran = poolshift::Ran::Maybe;
    CallError::ExecTimeout { command: "x".to_owned(), waited, run, ran, post_mortem }
}

#[test]
fn errors_are_the_same_by_class_and_message() {
    let differs = |verdict: Verdict| match verdict {
        Verdict::Differs(found) => {
            format!("{} {}", found.listed[0].kind.as_str(), found.listed[0].path)
        }
        other => format!("{other:?}"),
    };
    let digits = rules([rule("error", normalise(r"\d+", "N"))]);
    let silent = rules([rule("error", Effect::Ignore), rule("/**", Effect::Ignore)]);
    let plain = Rules::default();
    let at = |address: &str| raised("ValueError", &format!("<App object at {address}> is bad\n"));
    for (rules, v2, v3, expected) in [
        (&plain, raised("ValueError", "no"), raised("ValueError", "no"), "Same"),
        (&plain, at("0x7f0011223344"), at("0x7f00aabbccdd"), "Excused"),
        (&plain, raised("ValueError", "row 1"), raised("ValueError", "row 2"), "changed error"),
        (&digits, raised("ValueError", "row 1"), raised("ValueError", "row 2"), "Excused"),
        (&silent, raised("ValueError", "a"), raised("ValueError", "b"), "Excused"),
        (&silent, raised("ValueError", "a"), raised("KeyError", "a"), "error error"),
        (&silent, raised("ValueError", "a"), timeout(), "error error"),
        (&plain, timeout(), exec_timeout(), "Unknown"),
        (&plain, CallError::Draining, CallError::Draining, "Same"),
        (
            &plain,
            Refusal::QueueFull { waiting: 1 }.into(),
            Refusal::QueueFull { waiting: 2 }.into(),
            "Same",
        ),
    ] {
        assert_eq!(differs(compare(rules, Err(&v2), Err(&v3))), expected, "{v2} beside {v3}");
    }
    let value = RawValue::from_string("{}".to_owned()).unwrap();
    let error = raised("ValueError", "a");
    assert_eq!(differs(compare(&silent, Ok(&value), Err(&error))), "error error");
    assert_eq!(differs(compare(&silent, Err(&error), Ok(&value))), "error error");
}

#[test]
fn what_cannot_be_compared_is_skipped_by_name() {
    let raw = |text: String| RawValue::from_string(text).unwrap();
    let (long, longer) = (raw(format!("[{}0]", "0,".repeat(99))), raw("[1]".to_owned()));
    let small = Rules { max_bytes: 100, ..Rules::default() };
    let skipped = Verdict::Skipped(Skip::TooLarge);
    assert_eq!(compare(&small, Ok(&longer), Ok(&long)), skipped);
    assert_eq!(compare(&small, Ok(&long), Ok(&long)), Verdict::Same);
    let deep = raw(format!("{}{}", "[".repeat(200), "]".repeat(200)));
    assert_eq!(compare(&small, Ok(&deep), Ok(&longer)), Verdict::Skipped(Skip::TooLarge));
    assert_eq!(compare(&Rules::default(), Ok(&deep), Ok(&longer)), Verdict::Skipped(Skip::TooDeep));
    // As Python writes the modulus of a key.
    let huge = raw(format!("[1{}]", "0".repeat(400)));
    let skipped = Verdict::Skipped(Skip::NumberTooLarge);
    assert_eq!(compare(&Rules::default(), Ok(&longer), Ok(&huge)), skipped);
    assert_eq!(compare(&Rules::default(), Ok(&huge), Ok(&huge)), Verdict::Same);
}

/// Ids of 64 bits lie closer to each other than floats of their size do.
#[test]
fn whole_numbers_are_told_apart_to_the_last_digit() {
    let (one, next) = (json!({"id": 1_u64 << 60}), json!({"id": (1_u64 << 60) + 1}));
    let quoted = json!({"id": ((1_u64 << 60) + 1).to_string()});
    let tolerance = |abs| rule("/**", Effect::Tolerance { abs, rel: 0.0 });
    let loose = || rule("/**", Effect::Loose);
    assert_eq!(found(&rules([tolerance(0.5)]), &one, &next), ["changed /id"]);
    assert!(found(&rules([tolerance(1.0)]), &one, &next).is_empty());
    assert_eq!(found(&rules([loose()]), &one, &next), ["changed /id"]);
    assert_eq!(found(&rules([loose()]), &one, &quoted), ["type /id"]);
    assert!(found(&rules([loose()]), &next, &quoted).is_empty());
    assert_eq!(found(&rules([loose()]), &json!(u64::MAX), &json!(-1)), ["changed "]);
}
