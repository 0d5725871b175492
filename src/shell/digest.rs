//! What tells one call from another when workers die of it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::call::{Call, SessionId};
use crate::machine::Digest;
use crate::session::commands::Commands;

/// Deeper than this, what differs in white space only is not seen as the same.
const MAX_DEPTH: usize = 32;

/// Of the command and the args, whatever the order of their members and the white space between
/// them. Ids do not count, as a caller that tries again has a new one; nor do sessions, unless
/// the command loads, so that the worker is given data of the session.
pub(super) fn digest(call: &Call, commands: &Commands) -> Digest {
    let mut hash = Sha256::new();
    let loads = commands.get(&call.command).loads.is_some();
    let session = call.session.as_ref().filter(|_| loads);
    for text in [&*call.command, session.map_or("", SessionId::as_str)] {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    add(&mut hash, call.args.as_json(), MAX_DEPTH);
    let [front @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _]: [u8; 32] =
        hash.finalize().into();
    Digest(u128::from_be_bytes(front))
}

/// Numbers count by their own text: two that one float cannot tell apart are not the same.
fn add(hash: &mut Sha256, json: &str, depth: usize) {
    let members = serde_json::from_str::<BTreeMap<String, &RawValue>>(json);
    let items = serde_json::from_str::<Vec<&RawValue>>(json);
    match (members, items, serde_json::from_str::<String>(json)) {
        (Ok(members), ..) if depth > 0 => {
            hash.update(b"{");
            for (name, value) in members {
                hash.update(name.len().to_be_bytes());
                hash.update(name);
                add(hash, value.get(), depth - 1);
            }
            hash.update(b"}");
        }
        (_, Ok(items), _) if depth > 0 => {
            hash.update(b"[");
            items.into_iter().for_each(|item| add(hash, item.get(), depth - 1));
            hash.update(b"]");
        }
        (_, _, Ok(text)) => {
            hash.update(b"\"");
            hash.update(text.len().to_be_bytes());
            hash.update(text);
        }
        _ => {
            let text = json.trim_ascii();
            hash.update(b"=");
            hash.update(text.len().to_be_bytes());
            hash.update(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Args;

    fn of(command: &str, args: &str) -> Digest {
        let call = Call::new(command, Args::parse(args).expect("it is an object"));
        digest(&call, &Commands::default())
    }

    #[test]
    fn order_and_space_do_not_matter_and_everything_else_does() {
        let one = of("echo", r#"{"a": 1, "b": {"c": [1, 2], "d": null}}"#);
        assert_eq!(one, of("echo", r#" {"b":{"d":null,"c":[1,2]},"a":1}"#));
        for other in [r#"{"a":2,"b":{"c":[1,2],"d":null}}"#, r#"{"a":1,"b":{"c":[2,1]}}"#, "{}"] {
            assert_ne!(one, of("echo", other));
        }
        assert_ne!(of("a", "{}"), of("b", "{}"));
        let huge = format!(r#"{{"a":1{}}}"#, "0".repeat(400));
        assert_eq!(of("a", &huge), of("a", &huge));
        // One float holds both.
        let (odd, even) = (r#"{"id": 36028797018963969123}"#, r#"{"id": 36028797018963969124}"#);
        assert_ne!(of("a", odd), of("a", even));
        assert_ne!(of("a", r#"{"a": "1"}"#), of("a", r#"{"a": 1}"#));
        assert_eq!(of("a", r#"{"\u0061": "\u0062"}"#), of("a", r#"{"a": "b"}"#));
        let deep = |depth: usize| format!(r#"{{"a":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_ne!(of("a", &deep(100_000)), of("a", &deep(100_001)));
    }

    #[test]
    fn a_session_counts_where_its_data_reach_the_worker() {
        let commands = Commands::default();
        let of = |session: &str, command: &str| {
            let call = Call::new(command, Args::default());
            digest(&call.with_session(session).expect("it is a name"), &commands)
        };
        let loads = "execute_program";
        assert!(commands.get(loads).loads.is_some() && commands.get("echo").loads.is_none());
        assert_ne!(of("x", loads), of("y", loads));
        assert_eq!(of("x", "echo"), of("y", "echo"));
    }
}
