//! Threads that give way to charging.
//!
//! After an outage every modem comes back in the same second: their handshakes take all
//! the processor they can get. The drain makes thousands of rows at once. On shared
//! threads a charging request would wait behind either. On threads of a higher nice value
//! the kernel lets charging go first and gives them the rest.

use std::io;

use tokio::runtime::{Builder, EnterGuard, Runtime};
use tokio::task::JoinHandle;

/// What is spawned on them, or spawned and bound while [`Threads::enter`] is held, runs there.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// `threads` of that name, one for each core where that is 0, each with the nice
    /// value `niceness`.
    pub(super) fn start(name: &'static str, threads: usize, niceness: u8) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        if threads > 0 {
            builder.worker_threads(threads);
        }
        let give_way = move || give_way(name, niceness);
        let runtime = builder.enable_all().thread_name(name).on_thread_start(give_way).build()?;
        Ok(Self(Some(runtime)))
    }

    /// Until the guard is dropped, tasks and sockets made here are theirs.
    pub(super) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }

    /// Runs a task there; threads that it starts have their nice value.
    pub(super) fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.0.as_ref().expect("they end when this is dropped").spawn(task)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Dropped inside another runtime, where nothing may block.
            runtime.shutdown_background();
        }
    }
}

/// Lowers the calling thread's priority. On Linux a nice value is a thread's own;
/// elsewhere it is the process's, and stays as it is.
fn give_way(name: &str, niceness: u8) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, niceness.min(19).into()) {
        tracing::warn!(%error, niceness, "threads `{name}` keep their priority");
    }
    #[cfg(not(target_os = "linux"))]
    let _unused = (name, niceness);
}
