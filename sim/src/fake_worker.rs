//! A stand-in for one Python process: reads real frames, does what each call's script says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use poolshift::WorkerId;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::script::{Act, Birth, Script};

/// One call that a fake worker began to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Who executed it.
    pub worker: WorkerId,
    /// The call's id, as the request named it.
    pub call_id: String,
    /// The call's session, as its args named it.
    pub session: String,
}

/// What all fake workers of a spawner executed, in order: a ledger that no pool can touch.
pub type Ledger = Arc<Mutex<Vec<Execution>>>;

/// Why a fake worker stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Its stdin closed, or its script said so.
    Exited,
    /// As `Exited`, while somebody else holds its stdout open.
    ExitedHoldingPipe,
}

pub(crate) struct FakeWorker {
    pub(crate) id: WorkerId,
    pub(crate) birth: Birth,
    pub(crate) stdin: DuplexStream,
    pub(crate) stdout: DuplexStream,
    pub(crate) ledger: Ledger,
}

#[derive(Deserialize)]
struct Request {
    id: u64,
    command: String,
    #[serde(default)]
    call_id: String,
    #[serde(default)]
    args: RequestArgs,
}

#[derive(Default, Deserialize)]
struct RequestArgs {
    #[serde(default)]
    session_id: String,
    script: Option<Script>,
}

impl FakeWorker {
    /// Serves requests until stdin closes or a script ends the process. Being dropped is being
    /// killed: both pipe ends close.
    pub(crate) async fn run(&mut self) -> Stopped {
        match self.birth {
            Birth::Ready(after) => tokio::time::sleep(after).await,
            Birth::Exits(after) => {
                tokio::time::sleep(after).await;
                return Stopped::Exited;
            }
            Birth::Silent => std::future::pending().await,
            Birth::NotOk | Birth::Unspawnable => {}
        }
        loop {
            let Some(request) = self.read().await else { return Stopped::Exited };
            if let Some(stopped) = self.serve(request).await {
                return stopped;
            }
        }
    }

    async fn read(&mut self) -> Option<Request> {
        let length = self.stdin.read_u32().await.ok()?;
        let mut body = vec![0; length as usize];
        self.stdin.read_exact(&mut body).await.ok()?;
        Some(serde_json::from_slice(&body).expect("the host sends well-formed requests"))
    }

    async fn serve(&mut self, request: Request) -> Option<Stopped> {
        if request.command == "ping" {
            let status = if self.birth == Birth::NotOk { "starting" } else { "ok" };
            self.write(&ok(request.id, &format!("{{\"status\":\"{status}\"}}"))).await;
            return None;
        }
        if request.command == "shutdown" {
            self.write(&ok(request.id, "{}")).await;
            return None;
        }
        let script = request.args.script.unwrap_or(Script { after_ms: 0, act: Act::Reply });
        self.ledger.lock().expect("a ledger is only pushed to").push(Execution {
            worker: self.id,
            call_id: request.call_id.clone(),
            session: request.args.session_id,
        });
        tokio::time::sleep(Duration::from_millis(script.after_ms)).await;
        let good = ok(request.id, &format!("{{\"call_id\":\"{}\"}}", request.call_id));
        match script.act {
            Act::Reply => self.write(&good).await,
            Act::ReplyTwice => {
                self.write(&[good.clone(), good].concat()).await;
            }
            Act::ReplyAndRecycle => {
                let body = format!(
                    "{{\"id\":{},\"success\":true,\"result\":{{}},\"recycle\":true}}",
                    request.id
                );
                self.write(&frame(&body)).await;
            }
            Act::Raise => {
                let body =
                    format!("{{\"id\":{},\"success\":false,\"error\":\"scripted\"}}", request.id);
                self.write(&frame(&body)).await;
            }
            Act::WrongId => self.write(&ok(request.id + 1, "{}")).await,
            Act::Garble => self.write(b"Traceback (most recent call last)").await,
            Act::Hang => std::future::pending().await,
            Act::ReplyAndExit => {
                self.write(&good).await;
                return Some(Stopped::Exited);
            }
            Act::HalfReplyAndExit => {
                self.write(&good[..good.len() / 2]).await;
                return Some(Stopped::Exited);
            }
            Act::Exit => return Some(Stopped::Exited),
            Act::ExitHoldingPipe => return Some(Stopped::ExitedHoldingPipe),
        }
        None
    }

    /// A host that has closed the pipe is noticed at the next read.
    async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stdout.write_all(bytes).await;
    }
}

fn ok(id: u64, result: &str) -> Vec<u8> {
    frame(&format!("{{\"id\":{id},\"success\":true,\"result\":{result},\"timestamp\":0.5}}"))
}

fn frame(body: &str) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("fake replies are small");
    [&length.to_be_bytes(), body.as_bytes()].concat()
}
