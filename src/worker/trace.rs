//! The log of frames, for `[debug] trace_requests`.

use std::sync::Arc;

use crate::call::Lane;
use crate::pool::WorkerId;
use crate::worker::redaction::Redaction;

/// How much of a frame is logged.
const EXCERPT_BYTES: usize = 256;

/// Logs each frame of one worker: the direction, the call, the worker, the length, and the
/// beginning without secrets. At level info, for the target `poolshift::frame`.
#[derive(Debug)]
pub struct FrameTrace {
    lane: Lane,
    worker: WorkerId,
    redaction: Arc<Redaction>,
    /// The call that the worker has; the host's own requests have none.
    call_id: Option<String>,
}

impl FrameTrace {
    /// The log of a worker's frames.
    #[must_use]
    pub fn new(lane: Lane, worker: WorkerId, redaction: Arc<Redaction>) -> Self {
        Self { lane, worker, redaction, call_id: None }
    }

    /// The frames that follow are about this call, or about none.
    pub fn about(&mut self, call_id: Option<String>) {
        self.call_id = call_id;
    }

    /// A request, from host to worker.
    pub fn request(&self, body: &[u8]) {
        self.log("request", body);
    }

    /// A reply, from worker to host, be it well-formed or not.
    pub fn reply(&self, body: &[u8]) {
        self.log("reply", body);
    }

    fn log(&self, direction: &'static str, body: &[u8]) {
        let Self { lane, worker, redaction, call_id } = self;
        tracing::info!(
            target: "poolshift::frame",
            direction,
            call_id = call_id.as_deref().unwrap_or("-"),
            worker = %format_args!("{lane}-{worker}"),
            bytes = body.len(),
            frame = %redaction.excerpt(body, EXCERPT_BYTES),
        );
    }
}
