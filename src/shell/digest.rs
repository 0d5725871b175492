//! What tells one call from another when workers die of it.

use sha2::{Digest as _, Sha256};

use crate::call::Call;
use crate::machine::Digest;

/// Of the command and the args, whatever the order of their members and the white space between
/// them. Neither session nor id counts: a caller that tries again has new ones.
pub(super) fn digest(call: &Call) -> Digest {
    let mut hash = Sha256::new();
    hash.update(call.command.as_bytes());
    hash.update([0]);
    match serde_json::from_str::<serde_json::Value>(call.args.as_json()) {
        // The members of a value are in order of their names.
        Ok(args) => hash.update(args.to_string()),
        // A number beyond what a value holds: its own text must do.
        Err(_) => hash.update(call.args.as_json()),
    }
    let [front @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _]: [u8; 32] =
        hash.finalize().into();
    Digest(u128::from_be_bytes(front))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Args;

    fn of(command: &str, args: &str) -> Digest {
        digest(&Call::new(command, Args::parse(args).expect("it is an object")))
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
    }
}
