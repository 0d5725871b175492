//! The two threads that start and reap processes.

use std::io;
use std::sync::{Mutex, mpsc};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Runs `spawn` on the one thread that starts workers and never ends: PDEATHSIG follows the
/// thread that forked, and a tokio thread may end long before the host.
pub(super) async fn on_spawner_thread<T: Send + 'static>(
    spawn: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    static THREAD: Thread = Mutex::new(None);
    let (sender, receiver) = oneshot::channel();
    // A process that nobody waits for any more is dropped with the refused send, and so ended.
    let job: Job = Box::new(move || drop(sender.send(spawn())));
    post(&THREAD, "poolshift-spawner", job)?;
    receiver.await.unwrap_or_else(|_| Err(io::Error::other("the spawner thread is gone")))
}

/// Runs `wait` where blocking does no harm.
///
/// # Errors
/// If there is no room for the thread; never again once it was there.
pub(super) fn on_reaper_thread(wait: impl FnOnce() + Send + 'static) -> io::Result<()> {
    static THREAD: Thread = Mutex::new(None);
    post(&THREAD, "poolshift-reaper", Box::new(wait))
}

/// A thread that is started by the first job and ends with the host.
type Thread = Mutex<Option<mpsc::Sender<Job>>>;

fn post(thread: &Thread, name: &str, job: Job) -> io::Result<()> {
    let mut thread = thread.lock().expect("nothing panics while it holds this lock");
    let sender = match &*thread {
        Some(sender) => sender,
        None => {
            // Unbounded, but each entry is one process, and pools bound those.
            let (sender, jobs) = mpsc::channel::<Job>();
            let work = move || jobs.into_iter().for_each(|job| job());
            std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
            thread.insert(sender)
        }
    };
    sender.send(job).expect("the thread ends with the host");
    Ok(())
}
