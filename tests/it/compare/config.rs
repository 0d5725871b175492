//! `[[compare.NAME]]`: what is refused, and where the message says it is.

use poolshift::config::Config;
use poolshift::router::compare::rule::{Effect, RuleBook};

use super::rule;

fn problems(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let error = Config::parse("poolshift.toml", text, env).unwrap_err();
    error.problems.iter().map(|of| format!("{}: {}", of.place, of.message)).collect()
}

fn book(text: &str, env: &[(&str, &str)]) -> RuleBook {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse("poolshift.toml", text, env).unwrap().shadow.rules
}

#[test]
fn a_bad_rule_is_named_with_its_place() {
    let text = r#"[v3]
size = 2
[[compare.predict]]
at = "/fine"
ignore = true
[[compare.predict]]
at = "items/0"
ignore = true
[[compare.predict]]
at = "/a**"
unordered = true
[[compare.predict]]
at = "/a"
regex = "(["
with = ""
[[compare.predict]]
at = "/a"
abs = -1e-9
[[compare.predict]]
at = "/a"
rel = nan
[[compare.predict]]
at = "/a"
[[compare.predict]]
at = "/a"
ignor = true
[[compare.predict]]
at = "/a"
ignore = ["error"]
[[compare.predict]]
at = "/a"
rel = 0.5
unordered = true
[[compare."*"]]
at = "error"
unordered = true
[[compare."*"]]
at = "/a"
key = "/items/*"
[[compare."*"]]
at = "/a"
regex = "a"
[compare]
ping = 7
list = [3]
"#;
    let told = problems(text, &[]);
    let expected = [
        "poolshift.toml:7: [[compare.predict]] rule 2: at: \"items/0\" is no JSON Pointer: begin ",
        "poolshift.toml:10: [[compare.predict]] rule 3: at: \"/a**\" has ** beside other text",
        "poolshift.toml:14: [[compare.predict]] rule 4: regex: \"([\" is no pattern: unclosed",
        "poolshift.toml:18: [[compare.predict]] rule 5: abs: -0.000000001 is wrong: expected",
        "poolshift.toml:21: [[compare.predict]] rule 6: rel: nan is wrong: expected a number from",
        "poolshift.toml:22: [[compare.predict]] rule 7: has no effect; give it one of ignore, abs",
        "poolshift.toml:24: [[compare.predict]] rule 8: ignor: no such key; did you mean ignore?",
        "poolshift.toml:29: [[compare.predict]] rule 9: ignore: [\"error\"] is wrong: expected tr",
        "poolshift.toml:30: [[compare.predict]] rule 10: has more than one effect; write a rule",
        "poolshift.toml:35: [[compare.*]] rule 1: at: \"error\" takes ignore = true, or regex",
        "poolshift.toml:39: [[compare.*]] rule 2: key: \"/items/*\" names no one member",
        "poolshift.toml:40: [[compare.*]] rule 3: with: needs with = \"…\"",
        "poolshift.toml:44: [[compare.ping]] rule 1: 7 is wrong: expected a list of rules",
        "poolshift.toml:45: [[compare.list]] rule 1: 3 is wrong: expected a rule",
    ];
    for expected in expected {
        assert!(told.iter().any(|got| got.starts_with(expected)), "{expected}: {told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn what_is_kept_of_answers_is_checked_too() {
    for (text, expected) in [
        ("store = \"\"", "store: \"\" is wrong: expected a path"),
        ("store_max_bytes = 1000", "store_max_bytes: 1000 holds no samples"),
        ("max_compare_bytes = 0", "max_compare_bytes: 0 would compare nothing"),
        ("redact = [\"\"]", "redact: an empty text is part of every key"),
        ("redact = [\"/a~9\"]", "redact: \"/a~9\" has a lone ~"),
        ("sample = 1.5", "sample: 1.5 is wrong: expected a number from 0 to 1"),
        ("max_per_s = 0", "max_per_s: 0 admits no shadow"),
        ("timeout = \"0s\"", "timeout: 0s is over before"),
    ] {
        let told = problems(&format!("[shadow]\n{text}\n"), &[]);
        let place = format!("poolshift.toml:2: [shadow] {expected}");
        assert!(told.len() == 1 && told[0].starts_with(&place), "{expected}: {told:?}");
    }
    let many = "[[compare.x]]\nat = \"/a\"\nignore = true\n".repeat(257);
    assert!(problems(&many, &[])[0].contains("at most 256 rules"));
}

#[test]
fn rules_for_every_command_hold_for_each_and_a_variable_replaces_a_list() {
    let text = "[[compare.\"*\"]]\nat = \"/**/at\"\nignore = true\n\
                [[compare.predict]]\nat = \"/n\"\nabs = 1\n\
                [shadow]\nmax_compare_bytes = 99\n";
    let ignore = rule("/**/at", Effect::Ignore);
    let near = rule("/n", Effect::Tolerance { abs: 1.0, rel: 0.0 });
    let plain = book(text, &[]);
    assert_eq!(plain.of("predict").rules, [ignore.clone(), near]);
    assert_eq!(plain.of("other").rules, std::slice::from_ref(&ignore));
    assert_eq!((plain.of("predict").max_bytes, plain.of("other").max_bytes), (99, 99));
    let name = "POOLSHIFT__COMPARE__PREDICT";
    let replaced = book(text, &[(name, "[{at = \"/tags\", unordered = true}]")]);
    assert_eq!(replaced.of("predict").rules, [ignore, rule("/tags", Effect::Unordered)]);
    let told = problems(text, &[(name, "[{at = \"tags\", unordered = true}]")]);
    assert!(told[0].starts_with("POOLSHIFT__COMPARE__PREDICT: [[compare.predict]] rule 1: at:"));
    let told = problems(text, &[(name, "nonsense")]);
    assert!(told[0].contains("expected a list of rules"), "{told:?}");
}
