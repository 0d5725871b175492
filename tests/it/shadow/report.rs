//! `poolshift shadow report`, on a store with three planted faults and two kinds of noise.

use poolshift::CallError;
use poolshift::shadow::Store;
use serde_json::{Value, json};

use super::{MIB, Pair, open};
use crate::tool::Tool;

fn answer(n: u64, turn: bool) -> Value {
    let tags = if turn { ["b", "a"] } else { ["a", "b"] };
    json!({"at": n, "tags": tags, "score": 0.5, "hint": "x", "items": [{"id": 1}, {"id": 2}]})
}

fn raised(class: &str) -> CallError {
    let (message, error_type) = ("bad input <3>".to_owned(), Some(class.to_owned()));
    CallError::Raised { message, error_type, traceback: Vec::new() }
}

/// 300 pairs of `predict`, 200 of noise; 40 of `check`, all alike; one that was skipped.
pub(super) fn fill(store: &mut Store) {
    for n in 0..200 {
        Pair::noise("predict", &answer(n, false), &answer(n + 1, n % 2 == 0)).record(store, n);
    }
    for n in 0..300 {
        let mut pair = Pair::of("predict", &answer(n, false), &answer(n + 1, n % 3 == 0));
        if let Ok(v3) = &mut pair.answers[1] {
            if n % 5 == 0 {
                v3["score"] = json!(0.75);
            }
            if n % 10 == 1 {
                v3.as_object_mut().unwrap().remove("hint");
            }
        }
        if n % 10 == 7 {
            pair.answers = [Err(raised("ValueError")), Err(raised("KeyError"))];
        }
        pair.took_ms = [20 + n % 7, 8 + n % 5];
        pair.record(store, n);
    }
    for n in 0..40 {
        Pair::of("check", &json!(1), &json!(1)).record(store, n);
    }
    store.skip("check", "stale");
}

fn filled() -> Tool {
    let tool = Tool::new();
    let mut store = open(&tool.path("shadow.d"), MIB).unwrap();
    fill(&mut store);
    tool
}

#[test]
fn the_report_names_the_three_faults_and_proposes_rules_for_the_noise() {
    let tool = filled();
    let told = tool.run(&["shadow", "report", "--json"]).json();
    let paths = told["by_path"].as_array().unwrap();
    let of = |standing: &str| -> Vec<String> {
        let of_this = paths.iter().filter(|path| path["standing"] == standing);
        let shown = of_this.map(|path| {
            let [path, kind, count] = ["path", "kind", "count"].map(|key| path[key].clone());
            format!("{} {} {count}", path.as_str().unwrap(), kind.as_str().unwrap())
        });
        shown.collect()
    };
    let faults = ["/score changed 60", "/hint missing 30", "error error 30"];
    assert_eq!(of("mismatch"), faults);
    assert_eq!(of("noise"), ["/at changed 270", "/tags order 90"]);
    assert_eq!(of("undecided").len(), 0);
    let count = |key: &str| told[key].as_u64().unwrap();
    assert_eq!((count("compared"), count("matched"), count("mismatched")), (340, 40, 120));
    assert_eq!((count("noise"), count("undecided"), count("noise_pairs")), (180, 0, 200));
    assert_eq!(told["skipped"], json!({"stale": 1}));
    let hint = paths.iter().find(|path| path["path"] == "/hint").unwrap();
    assert_eq!((&hint["noise_count"], &hint["first"]), (&json!(0), &json!("call-1")));
    assert_eq!((&hint["sample"]["v2"], &hint["sample"]["v3"]), (&json!("\"x\""), &json!(null)));
    assert_eq!(hint["last_seen_s"], json!(1_700_000_291.0));
    assert_eq!((&hint["sample"]["n"], &hint["sample"]["id"]), (&json!(29), &json!("call-291")));
    let kept = hint["samples"].as_array().unwrap();
    let kept: Vec<u64> = kept.iter().map(|sample| sample["n"].as_u64().unwrap()).collect();
    assert_eq!((&kept[..2], &kept[5..], kept.is_sorted()), (&[0, 1][..], &[27, 28, 29][..], true));
    let tags = paths.iter().find(|path| path["path"] == "/tags").unwrap();
    let counts = (&tags["noise_count"], &tags["noise_pairs"], &tags["noise_rate"]["value"]);
    assert_eq!(counts, (&json!(100), &json!(200), &json!(0.5)));
    // Wilson's interval for 30 of 300 at 99 %, by hand.
    let rate = ["value", "low", "high"].map(|key| hint["rate"][key].as_f64().unwrap());
    let near = |(found, expected): (f64, f64)| (found - expected).abs() < 5e-5;
    assert!(rate.into_iter().zip([0.1, 0.0637, 0.1536]).all(near), "{rate:?}");
    let command = told["commands"].as_array().unwrap().iter().find(|of| of["command"] == "predict");
    let [v2, v3] = ["v2", "v3"].map(|lane| command.unwrap()[lane]["p50_ms"].as_f64().unwrap());
    assert!((22.0..24.0).contains(&v2) && (9.0..11.0).contains(&v3), "{v2} {v3}");

    let rules = tool.run(&["shadow", "report", "--rules"]).stdout;
    tool.write("poolshift.toml", &rules);
    assert_eq!(tool.run(&["config", "check"]).code, Some(0), "{rules}");
    assert_eq!(rules.matches("[[compare.predict]]").count(), 2, "{rules}");
    assert!(rules.contains("at = \"/tags\"\nunordered = true"), "{rules}");
    assert!(rules.contains("at = \"/at\"\nignore = [\"changed\"]"), "{rules}");
}

#[test]
fn text_and_page_tell_the_same_and_the_page_needs_nothing_else() {
    let tool = filled();
    let ran = tool.run(&["shadow", "report", "--html", "report.html"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), "written: report.html (the page)\n"));
    let page = std::fs::read_to_string(tool.path("report.html")).unwrap();
    for told in [
        "340 compared: 40 matched",
        "120 mismatched",
        "predict /score changed: 60 of 300",
        "call-1",
        "2023-11-14 22:13:20 UTC",
        "unordered = true",
    ] {
        assert!(ran.stdout.contains(told), "{told}: {}", ran.stdout);
    }
    for told in [
        "No: 120 of 340 pairs are mismatched (35.29 %)",
        "60 of 300",
        "/hint",
        "ValueError: bad input &lt;3&gt;",
        "8 calls that are kept",
        "<td><code>call-11</code></td><td><time>2023-11-14 22:13:31 UTC</time></td>",
        "unordered = true",
    ] {
        assert!(page.contains(told), "{told}");
    }
    for fetched in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(fetched), "{fetched}");
    }
    assert!(page.contains("prefers-color-scheme: dark"));
}

#[test]
fn a_gate_holds_above_its_percentage_and_where_nothing_is_known() {
    let tool = filled();
    for (limit, code) in [("35.2", 3), ("35.3", 0), ("100", 0)] {
        let ran = tool.run(&["shadow", "report", "--max-mismatch", limit]);
        assert_eq!(tool.code_unread(&["shadow", "report", "--max-mismatch", limit]), ran.code);
        assert_eq!(ran.code, Some(code), "{limit}: {}", ran.stderr);
    }
    let mut empty = open(&tool.path("empty"), MIB).unwrap();
    empty.skip("predict", "stale");
    drop(empty);
    let ran = tool.run(&["shadow", "report", "empty", "--max-mismatch", "100"]);
    assert!(ran.code == Some(3) && ran.stderr.contains("nothing was compared"), "{}", ran.stderr);
    let ran = tool.run(&["shadow", "report", "nowhere"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("nowhere"), "{}", ran.stderr);
    tool.write("poolshift.toml", "[shadow]\nstore = \"elsewhere\"\n");
    let ran = tool.run(&["shadow", "report"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("elsewhere"), "{}", ran.stderr);
    tool.write("poolshift.toml", "[shadow]\nstoer = 1\n");
    assert_eq!(tool.run(&["shadow", "report"]).code, Some(4));
    assert_eq!(tool.run(&["shadow", "report", "--max-mismatch", "-1"]).code, Some(2));
}

/// Two pairs differ, and nobody knows whether V2 differs from itself there.
#[test]
fn what_is_undecided_is_no_pass() {
    let tool = Tool::new();
    let mut store = open(&tool.path("shadow.d"), MIB).unwrap();
    for n in 0..20 {
        Pair::noise("predict", &json!(1), &json!(1)).record(&mut store, n);
        Pair::of("predict", &json!(1), &json!(if n < 2 { 2 } else { 1 })).record(&mut store, n);
    }
    drop(store);
    let told = tool.run(&["shadow", "report", "--json"]).json();
    assert_eq!((&told["undecided"], &told["mismatched"]), (&json!(2), &json!(0)), "{told}");
    for (limit, code) in [("9.9", 3), ("10", 0)] {
        let ran = tool.run(&["shadow", "report", "--max-mismatch", limit]);
        assert_eq!(ran.code, Some(code), "{limit}: {}", ran.stderr);
    }
}

#[test]
fn several_stores_are_told_as_one() {
    let tool = filled();
    let mut other = open(&tool.path("other"), MIB).unwrap();
    fill(&mut other);
    drop(other);
    let one = tool.run(&["shadow", "report", "--json"]).json();
    let both = tool.run(&["shadow", "report", "shadow.d", "other", "--json"]).json();
    for key in ["compared", "matched", "mismatched", "noise", "noise_pairs"] {
        assert_eq!(both[key].as_u64(), one[key].as_u64().map(|count| 2 * count), "{key}");
    }
    let counts = |told: &Value| -> Vec<(Value, u64)> {
        let paths = told["by_path"].as_array().unwrap().iter();
        paths.map(|path| (path["path"].clone(), path["count"].as_u64().unwrap())).collect()
    };
    let twice: Vec<_> = counts(&one).into_iter().map(|(path, count)| (path, 2 * count)).collect();
    assert_eq!(counts(&both), twice);
}

/// Writes the page for a look at it: `POOLSHIFT_PAGE=out.html cargo test -- --ignored a_page`.
#[test]
#[ignore = "for people to look at"]
fn a_page_to_look_at() {
    let tool = filled();
    let mut other = open(&tool.path("other"), MIB).unwrap();
    let long = "a long text <b>with</b> \"quotes\" ".repeat(60);
    for n in 0..40 {
        Pair::noise("summarise_a_long_document", &json!(1), &json!(1)).record(&mut other, n);
        let v3 = json!({"a-very-long-key-of-an-answer": {"sections": [{"sentences": [long]}]}});
        let mut v2 = v3.clone();
        if n % 9 == 0 {
            v2["a-very-long-key-of-an-answer"]["sections"][0]["sentences"][0] = json!(n);
        }
        Pair::of("summarise_a_long_document", &v2, &v3).record(&mut other, n);
    }
    drop(other);
    tool.run(&["shadow", "report", "shadow.d", "other", "--html", "page.html"]);
    let to = std::env::var("POOLSHIFT_PAGE").unwrap();
    std::fs::copy(tool.path("page.html"), to).unwrap();
}
