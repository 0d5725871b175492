//! Asking a worker whether it is one, and well.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::call::Args;
use crate::shell::Readiness;
use crate::shell::desk::LinkOf;
use crate::worker::Spawner;
use crate::worker::link::{LinkError, Progress};
use crate::worker::wire::Outgoing;

/// How the runtime that the binary carries names itself.
const OUR_RUNTIME: &str = "poolshift_worker/";

/// The version of the protocol that this host speaks with its own runtime.
const PROTOCOL: u64 = 1;

/// What a good ping reply tells.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Pong {
    #[serde(default)]
    status: String,
    #[serde(default)]
    runtime: String,
    /// Of any type: a legacy script may use the name for something of its own.
    #[serde(default)]
    protocol: Value,
}

impl Pong {
    /// Only our runtime writes its stacks when it is asked; a legacy script would die of it.
    pub(super) fn is_our_runtime(&self) -> bool {
        self.runtime.starts_with(OUR_RUNTIME)
    }

    /// Why this is not a good answer to the start ping, if it is none.
    pub(super) fn unreadiness(&self, readiness: Readiness) -> Option<String> {
        if self.is_our_runtime() && self.protocol != PROTOCOL {
            let Self { runtime, protocol, .. } = self;
            return Some(format!(
                "{runtime} speaks protocol {protocol}, this host {PROTOCOL}; take the \
                 poolshift_worker that the host carries"
            ));
        }
        let ok = readiness == Readiness::AnyResult || self.status == "ok";
        (!ok).then(|| format!("its start ping said status {:?}, not \"ok\"", self.status))
    }
}

/// One ping; bounded and interrupted by the caller. Dropped midway, the link is spoilt.
///
/// # Errors
/// `Garbled` if the worker raised, or answered anything but an object.
pub(super) async fn ping<S: Spawner>(
    link: &mut LinkOf<S>,
    purpose: &Args,
) -> Result<Pong, LinkError> {
    link.about(None);
    let request = Outgoing::own("ping", purpose);
    link.prepare(request).map_err(|refusal| LinkError::Garbled(refusal.to_string()))?;
    if !link.is_quiet() {
        return Err(LinkError::Closed("it spoke before it was asked, or closed its pipe".into()));
    }
    link.send(&Progress::default()).await?;
    let reply = link.receive().await?;
    let result =
        reply.result.map_err(|error| LinkError::Garbled(format!("ping raised: {error}")))?;
    parse(&result)
}

fn parse(result: &RawValue) -> Result<Pong, LinkError> {
    serde_json::from_str(result.get())
        .map_err(|error| LinkError::Garbled(format!("its ping reply is no status object: {error}")))
}
