//! A stand-in for one Python process: reads real frames, does what each call's script says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use poolshift::WorkerId;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::checkers::Law;
use crate::shell_rig::handoff::Handoff;
use crate::shell_rig::pipes::Tap;
use crate::shell_rig::script::{Act, Birth, Script};
use crate::trace::{CallNo, Event, Fault, Frame};

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
pub(super) enum Stopped {
    /// Its stdin closed, or its script said so.
    Exited,
    /// As `Exited`, while somebody else holds its stdout open.
    ExitedHoldingPipe,
}

pub(super) struct FakeWorker {
    pub(super) birth: Birth,
    pub(super) stdin: Option<DuplexStream>,
    pub(super) stdout: Option<DuplexStream>,
    pub(super) tap: Arc<Tap>,
    pub(super) ledger: Ledger,
    /// Its answer to the request before this one.
    pub(super) before: Vec<u8>,
    pub(super) steps: u64,
}

#[derive(Deserialize)]
struct Request {
    id: u64,
    command: String,
    #[serde(default)]
    call_id: String,
    #[serde(default)]
    shadow: bool,
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
    pub(super) async fn run(&mut self) -> Stopped {
        match self.birth {
            Birth::Ready(after) => tokio::time::sleep(after).await,
            Birth::Exits(after) => {
                tokio::time::sleep(after).await;
                return Stopped::Exited;
            }
            Birth::Silent => std::future::pending().await,
            _ => {}
        }
        loop {
            let Some(request) = self.read().await else { return Stopped::Exited };
            self.step_aside().await;
            if let Some(stopped) = self.serve(request).await {
                return stopped;
            }
        }
    }

    /// The next request; nothing when the host has closed the pipe.
    async fn read(&mut self) -> Option<Request> {
        let Some(stdin) = &mut self.stdin else { return std::future::pending().await };
        let length = stdin.read_u32().await.ok()?;
        let mut body = vec![0; length as usize];
        stdin.read_exact(&mut body).await.ok()?;
        let request = serde_json::from_slice(&body);
        let breach = |error: &serde_json::Error| {
            self.tap.journal.breach(Law::S7, format!("a worker read what is no request: {error}"));
        };
        request.inspect_err(breach).ok()
    }

    async fn serve(&mut self, request: Request) -> Option<Stopped> {
        let Request { id, command, call_id, shadow, args } = request;
        if command == "ping" {
            self.answer_ping(id).await;
            return None;
        }
        let call = call_id.parse().ok().map(CallNo);
        // Nobody is told what a shadow answers, so none of it is in the trace.
        let asked = Asked { id, nonce: call.filter(|_| !shadow) };
        if command == "shutdown" {
            self.write(&ok(id, "{}"), asked.reply(id)).await;
            return None;
        }
        let (worker, session) = (self.tap.worker, args.session_id);
        if let Some(call) = asked.nonce {
            self.tap.tell(Event::Executes { call, worker });
        }
        let Script { after_ms, act, shadow: other } = args.script.unwrap_or_default();
        let act = if shadow { other.unwrap_or(act) } else { act };
        let good = ok(id, &format!("{{\"call_id\":\"{call_id}\"}}"));
        match call.filter(|_| shadow) {
            Some(call) => self.tap.journal.shadow(self.tap.lane, call),
            None => {
                let execution = Execution { worker, call_id, session };
                self.ledger.lock().expect("a ledger is only pushed to").push(execution);
            }
        }
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        self.step_aside().await;
        if let Some(fault) = fault(act) {
            self.tap.tell(Event::Fault { fault, worker: Some(worker) });
        }
        let stopped = self.act(act, asked, &good).await;
        self.before = good;
        stopped
    }

    async fn answer_ping(&mut self, id: u64) {
        let asked = Asked { id, nonce: None };
        match self.birth {
            Birth::NotOk => self.write(&ok(id, r#"{"status":"starting"}"#), asked.reply(id)).await,
            Birth::Babbles => self.write(b"Traceback (most recent call last)", Frame::Junk).await,
            Birth::Misnumbers => {
                let reply = ok(id + 7, r#"{"status":"ok"}"#);
                self.write(&reply, asked.reply(id + 7)).await;
            }
            Birth::Raises => self.write(&raised(id, "unready"), asked.reply(id)).await,
            _ => {
                self.write(&ok(id, r#"{"status":"ok"}"#), asked.reply(id)).await;
                if id == 1 {
                    self.tap.tell(Event::Ready { worker: self.tap.worker });
                }
            }
        }
    }

    /// What a script says, but for those that end the process.
    async fn act(&mut self, act: Act, asked: Asked, good: &[u8]) -> Option<Stopped> {
        let (id, reply) = (asked.id, asked.reply(asked.id));
        match act {
            Act::Reply => self.write(good, reply).await,
            Act::ReplyTwice => {
                self.tap.tell(Event::Writes { worker: self.tap.worker, frame: reply });
                self.write(&[good, good].concat(), reply).await;
            }
            Act::ReplyAndRecycle => {
                let body = format!(
                    r#"{{"id":{id},"success":true,"result":{},"recycle":true}}"#,
                    asked.result()
                );
                self.write(&frame(&body), reply).await;
            }
            Act::Raise => self.write(&raised(id, "scripted"), reply).await,
            Act::Lie => self.write(&ok(id, "\"not so\""), reply).await,
            Act::WrongId => self.write(&ok(id + 1, "{}"), asked.reply(id + 1)).await,
            Act::StaleId => self.write(&ok(id - 1, "{}"), asked.reply(id - 1)).await,
            Act::Swap => {
                let before = std::mem::take(&mut self.before);
                self.write(&[before.as_slice(), good].concat(), Frame::Junk).await;
            }
            Act::Hang => std::future::pending().await,
            Act::Exit => return Some(Stopped::Exited),
            Act::ExitHoldingPipe => return Some(Stopped::ExitedHoldingPipe),
            Act::ReplyAndExit => {
                self.write(good, reply).await;
                return Some(Stopped::Exited);
            }
            Act::CutReply { at } => {
                let part = &good[..at.min(good.len())];
                let whole = part.len() == good.len();
                self.write(part, if whole { reply } else { Frame::Part }).await;
                return Some(Stopped::Exited);
            }
            Act::Garble => self.write(b"Traceback (most recent call last)", Frame::Junk).await,
            Act::FlipBit { .. } | Act::ClaimLength { .. } | Act::Print => {
                self.write(&spoilt(act, good), Frame::Junk).await;
            }
            _ => self.misuse_pipes(act, good, reply).await,
        }
        None
    }

    /// Faults of the pipe, not of what goes through it.
    async fn misuse_pipes(&mut self, act: Act, good: &[u8], reply: Frame) {
        match act {
            Act::CloseStdout => {
                self.stdout = None;
                self.tap.tell(Event::Closes { worker: self.tap.worker });
            }
            Act::SpeakLater { after_ms } => {
                self.write(good, reply).await;
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                self.write(good, Frame::Junk).await;
            }
            Act::GoDeaf { room } => {
                self.tap.shut(room, false);
                self.write(good, reply).await;
                std::future::pending().await
            }
            Act::CloseStdin { room } => {
                self.tap.shut(room, true);
                self.write(good, reply).await;
                // What the host's end still takes reaches nobody.
                std::future::pending().await
            }
            Act::Split { bytes } => {
                self.tap.split(bytes);
                self.write(good, reply).await;
            }
            Act::Drip { every_ms } => {
                for byte in good {
                    tokio::time::sleep(Duration::from_millis(every_ms)).await;
                    self.put(&[*byte]).await;
                }
                self.tap.tell(Event::Writes { worker: self.tap.worker, frame: reply });
            }
            Act::Stutter { wakes } => {
                for byte in good {
                    for _ in 0..wakes {
                        self.tap.wake();
                        tokio::task::yield_now().await;
                    }
                    self.put(&[*byte]).await;
                }
                self.tap.tell(Event::Writes { worker: self.tap.worker, frame: reply });
            }
            _ => unreachable!("what is no fault of the pipe has been acted on"),
        }
    }

    async fn write(&mut self, bytes: &[u8], frame: Frame) {
        self.tap.tell(Event::Writes { worker: self.tap.worker, frame });
        self.put(bytes).await;
    }

    /// A host that has closed the pipe is noticed at the next read.
    async fn put(&mut self, bytes: &[u8]) {
        let Some(stdout) = &mut self.stdout else { return };
        self.tap.writes(bytes.len());
        let _ = stdout.write_all(bytes).await;
    }

    async fn step_aside(&mut self) {
        self.steps += 1;
        self.tap.yields.step_aside(Handoff::Reply, self.tap.entity(), self.steps).await;
    }
}

/// A request that waits for its answer.
#[derive(Clone, Copy)]
struct Asked {
    id: u64,
    nonce: Option<CallNo>,
}

impl Asked {
    fn reply(self, id: u64) -> Frame {
        Frame::Reply { id, nonce: self.nonce }
    }

    fn result(self) -> String {
        self.nonce.map_or("{}".to_owned(), |call| format!(r#"{{"call_id":"{}"}}"#, call.0))
    }
}

fn spoilt(act: Act, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    match act {
        Act::FlipBit { bit } => bytes[bit / 8 % good.len()] ^= 1 << (bit % 8),
        Act::ClaimLength { bytes: length } => bytes[..4].copy_from_slice(&length.to_be_bytes()),
        Act::Print => bytes = [b"loading weights...\n", good].concat(),
        _ => {}
    }
    bytes
}

/// The kind of fault, if the trace has a word for it.
fn fault(act: Act) -> Option<Fault> {
    let number = act.number()?;
    Fault::ALL.into_iter().find(|fault| fault.number() == number)
}

fn raised(id: u64, message: &str) -> Vec<u8> {
    frame(&format!(r#"{{"id":{id},"success":false,"error":"{message}"}}"#))
}

fn ok(id: u64, result: &str) -> Vec<u8> {
    frame(&format!("{{\"id\":{id},\"success\":true,\"result\":{result},\"timestamp\":0.5}}"))
}

fn frame(body: &str) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("fake replies are small");
    [&length.to_be_bytes(), body.as_bytes()].concat()
}
