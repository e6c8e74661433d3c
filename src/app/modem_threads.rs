//! Threads that serve modems and give way to everything else.
//!
//! After an outage every modem comes back in the same second. Their handshakes
//! then take all the processor they can get, and on shared threads a charging
//! request would wait behind thousands of them. On threads of a higher nice value
//! the kernel lets charging go first and gives modems the rest.

use std::io;

use tokio::runtime::{Builder, EnterGuard, Runtime};

/// What is spawned and bound while [`ModemThreads::enter`] is held runs on them.
pub(super) struct ModemThreads(Option<Runtime>);

impl ModemThreads {
    /// `threads` of them, one for each core where that is 0, each with the nice
    /// value `niceness`.
    pub(super) fn start(threads: usize, niceness: u8) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        if threads > 0 {
            builder.worker_threads(threads);
        }
        let give_way = move || give_way(niceness);
        let runtime = builder.enable_all().thread_name("modems").on_thread_start(give_way).build()?;
        Ok(Self(Some(runtime)))
    }

    /// Until the guard is dropped, tasks and sockets made here are theirs.
    pub(super) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }
}

impl Drop for ModemThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Dropped inside another runtime, where nothing may block.
            runtime.shutdown_background();
        }
    }
}

/// Lowers the calling thread's priority. On Linux a nice value is a thread's own;
/// elsewhere it is the process's, and stays as it is.
fn give_way(niceness: u8) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, niceness.min(19).into()) {
        tracing::warn!(%error, niceness, "threads that serve modems keep their priority");
    }
    #[cfg(not(target_os = "linux"))]
    let _unused = niceness;
}
