//! From noise to rules and back: what is proposed silences exactly what it was proposed for.

use std::collections::BTreeSet;

use poolshift::config::Config;
use poolshift::router::compare::noise::proposals;
use poolshift::router::compare::rule::{Effect, Rules};
use poolshift::router::compare::{Difference, Kind, differences};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::laws::alike;
use super::{any_json, found, normalise, rule};

/// The rules of a command, by way of the config's text.
fn pasted(text: &str, command: &str) -> Rules {
    let config = Config::parse("poolshift.toml", text, []).unwrap_or_else(|error| {
        panic!("{error}\n{text}");
    });
    Rules::clone(config.shadow.rules.of(command))
}

fn proposed(noise: &[(String, Kind)]) -> String {
    let noise = noise.iter().map(|(shape, kind)| (shape.as_str(), *kind));
    proposals(noise).iter().map(|rule| rule.to_toml("predict")).collect()
}

#[test]
fn what_is_proposed_leaves_everything_else() {
    let noise = [
        ("/at".to_owned(), Kind::Changed),
        ("/items/*/took".to_owned(), Kind::Changed),
        ("/items/*/took".to_owned(), Kind::Type),
        ("/tags".to_owned(), Kind::Order),
        ("/odd~1~0~2key".to_owned(), Kind::Missing),
        ("error".to_owned(), Kind::Changed),
        ("error".to_owned(), Kind::Error),
    ];
    let text = proposed(&noise);
    let rules = pasted(&text, "predict");
    assert_eq!(rules.rules.len(), 5, "none for an error against a value: {text}");
    assert!(pasted(&text, "other").rules.is_empty());
    let v2 = json!({"at": 1, "items": [{"took": 1, "n": 1}], "tags": [1, 2], "odd/~*key": 1});
    let v3 = json!({"at": 2, "items": [{"took": "2", "n": 1}], "tags": [2, 1]});
    assert!(found(&rules, &v2, &v3).is_empty());
    // The same places, in another way.
    let v3 = json!({"items": [{"n": 2}], "tags": [2, 3], "odd/~*key": 2, "odd/~xkey": 2});
    let left = [
        "missing /at",
        "changed /items/0/n",
        "missing /items/0/took",
        "changed /odd~1~0*key",
        "changed /tags",
        "extra /odd~1~0xkey",
    ];
    assert_eq!(found(&rules, &v2, &v3), left);
}

#[test]
fn every_rule_survives_the_way_through_the_config() {
    let all = [
        rule("", Effect::Ignore),
        rule("/a\u{7f}\n\"\\'/**/~2", Effect::IgnoreKinds(vec![Kind::Changed, Kind::Length])),
        rule("/x*", Effect::Tolerance { abs: 1e-9, rel: 0.25 }),
        rule("/x", Effect::Tolerance { abs: 1e300, rel: 0.0 }),
        rule("/tags", Effect::Unordered),
        rule("/items", Effect::Keyed("/id/~1".to_owned())),
        rule("error", normalise(r#"\d+ "[a-z]\b'"#, "$1 <\\n>")),
        rule("error", Effect::Ignore),
        rule("/n", Effect::Loose),
    ];
    for command in ["predict", "with.dots and \"quotes\"", "*"] {
        let text: String = all.iter().map(|rule| rule.to_toml(command)).collect();
        assert_eq!(pasted(&text, command).rules, all, "{text}");
    }
}

/// An edit at one place: the kinds of noise that values show by themselves.
fn noisy(value: &Value, at: &Index) -> Value {
    let mut other = value.clone();
    let places = super::laws::places(value);
    let place = other.pointer_mut(&places[at.index(places.len())]).unwrap();
    match place {
        Value::Array(items) if items.len() > 1 => items.rotate_left(1),
        place => *place = json!("noise"),
    }
    other
}

fn keys(of: &[Difference]) -> BTreeSet<(String, Kind)> {
    of.iter().map(|of| (of.shape.clone(), of.kind)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn pasting_silences_exactly_those_paths(
        value in any_json(), at: Index, (v2, v3) in alike(),
    ) {
        let noise = differences(&Rules::default(), &value, &noisy(&value, &at)).listed;
        let noise: Vec<_> = keys(&noise).into_iter().collect();
        let rules = pasted(&proposed(&noise), "predict");
        prop_assert!(differences(&rules, &value, &noisy(&value, &at)).is_empty());
        // Of another pair nothing is lost but these, as long as arrays are paired by index: which
        // elements belong together depends on which are alike.
        let before = keys(&differences(&Rules::default(), &v2, &v3).listed);
        let after = keys(&differences(&rules, &v2, &v3).listed);
        let paired_otherwise = |kind: &Kind| matches!(kind, Kind::Length | Kind::Order);
        let mut kinds = noise.iter().chain(&before).chain(&after).map(|(_, kind)| kind);
        if kinds.any(paired_otherwise) {
            return Ok(());
        }
        let lost: Vec<_> = before.difference(&after).collect();
        // A star of an array's index is a key of an object elsewhere.
        let segments = |shape: &str| shape.split('/').map(str::to_owned).collect::<Vec<_>>();
        let is_meant = |(shape, kind): &(String, Kind), lost: &(String, Kind)| {
            let (meant, lost_at) = (segments(shape), segments(&lost.0));
            let mut parts = meant.iter().zip(&lost_at);
            let fits = parts.all(|(meant, lost)| meant == "*" || meant == lost);
            fits && meant.len() == lost_at.len() && *kind == lost.1
        };
        let meant = |lost: &&(String, Kind)| noise.iter().any(|of| is_meant(of, lost));
        prop_assert!(lost.iter().all(meant), "{noise:?} lost {lost:?}");
    }
}
