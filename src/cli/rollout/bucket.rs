//! `poolshift rollout bucket`.

use clap::Args;
use poolshift::router::bucket::draw;
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::stdout;

#[derive(Debug, Args)]
pub(crate) struct BucketArgs {
    /// The flag's key, which salts the hash
    #[arg(long)]
    flag: String,
    /// The session, or the id of a call without one
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    session: String,
}

pub(super) fn bucket(args: BucketArgs, json: bool) -> Result<(), Failure> {
    let BucketArgs { flag, session } = args;
    let draw = draw(&flag, &session);
    if json {
        let (hash, bucket) = (draw.hash, draw.bucket);
        return stdout::json(&json!({
            "flag": flag, "session": session, "hash": hash, "bucket": bucket,
        }));
    }
    stdout::line(&format!("bucket {} of 100000 (hash {})", draw.bucket, draw.hash))
}
