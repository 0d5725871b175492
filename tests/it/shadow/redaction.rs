//! No secret leaves in any file.

use std::fs;
use std::path::Path;

use poolshift::CallError;
use poolshift::report::shadow::ShadowReport;
use poolshift::shadow::Evidence;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{MIB, Pair, open};

/// Everything that can be read of a store: its files, and each form of the report.
fn all_that_is_told(folder: &Path) -> String {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let files: String = files.map(|file| fs::read_to_string(file).unwrap()).collect();
    let report = ShadowReport::of(&Evidence::read(folder).unwrap());
    [files, report.text(), report.html(), serde_json::to_string(&report).unwrap()].concat()
}

/// A JSON value with secrets under keys that hide them and, echoed, under keys that do not.
fn leaky() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0..9_i64).prop_map(Value::from),
        "[a-z \"\\\\<]{0,6}".prop_map(Value::from),
    ];
    let echo = prop_oneof![
        Just(json!("s3cr3t-A")),
        Just(json!("said \"s3cr3t-A\", twice s3cr3t-A-and-more")),
        Just(json!(77_331_155)),
    ];
    let leaf = prop_oneof![3 => plain, 1 => echo];
    let key = prop_oneof![
        3 => "[a-c]{1,2}",
        1 => Just("api_KEY".to_owned()),
        1 => Just("tokens".to_owned()),
        1 => Just("name".to_owned()),
        1 => Just("s3cr3t-A".to_owned()),
    ];
    leaf.prop_recursive(4, 30, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn redaction_leaves_no_secret_in_any_file(
        v2 in leaky(), v3 in leaky(), args in leaky(), raises: bool, noise: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path(), MIB).unwrap();
        let answer = |rest: &Value| json!({"answer": {"name": "Ada-L0velace", "rest": rest},
            "seen": "by Ada-L0velace", "Ada-L0velace": rest,
            "of Zx/9~0*Q==": rest, "session_token": {"s3cr3t-D": rest}});
        for n in 0..5 {
            let mut pair = Pair::of("login", &answer(&v2), &answer(&v3));
            if noise {
                pair = Pair::noise("login", &answer(&v2), &answer(&v3));
            }
            pair.args = json!({"password": ["s3cr3t-A-and-more", "s3cr3t-A"], "given": args,
                "pin_token": 77_331_155, "bearer_token": "Zx/9~0*Q==",
                "private_key_pem": "s3cr3t-B\n\"quoted\"",
                "auth_token": "Zoë"});
            (pair.session, pair.name) = ("of s3cr3t-A", "s3cr3t-A/call");
            if raises {
                pair.answers[1] = Err(CallError::Raised {
                    // As they are, and as Python's repr and json.dumps write them.
                    message: "no: s3cr3t-A, s3cr3t-B\n\"quoted\", Ada-L0velace \
                              's3cr3t-B\\n\"quoted\"' {\"s3cr3t-B\\n\\\"quoted\\\"\": 1} \
                              {\"name\": \"Zo\\u00eb\"}"
                        .to_owned(),
                    error_type: Some("LoginError".to_owned()),
                    traceback: vec!["s3cr3t-A".to_owned()],
                });
            }
            pair.record(&mut store, n);
            // Read while it is written, and again once it is closed.
            store.flush().unwrap();
        }
        for _ in 0..2 {
            let told = all_that_is_told(folder.path());
            let secrets = [
                "s3cr3t", "and-more", "quoted", "77331155", "Ada-L0velace", "u00eb", "Q==",
            ];
            for secret in secrets {
                prop_assert!(!told.contains(secret), "{secret} in {told}");
            }
        }
    }
}
