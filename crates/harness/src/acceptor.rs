//! A small server on 127.0.0.1: a thread that accepts, and one for each connection.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::spawn;

/// Accepts connections until it is dropped.
#[derive(Debug)]
pub(crate) struct Acceptor {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Acceptor {
    /// Starts one on a port of the operating system's choice; `answer` has each connection in a thread of its own.
    ///
    /// # Errors
    /// If no port is free.
    pub(crate) fn start(
        answer: impl Fn(&TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> std::io::Result<Acceptor> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let ended = Arc::<AtomicBool>::default();
        let (answer, shared) = (Arc::new(answer), Arc::clone(&ended));
        spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.load(Ordering::SeqCst) {
                    return;
                }
                let answer = Arc::clone(&answer);
                spawn(move || {
                    let _ = answer(&stream);
                });
            }
        });
        Ok(Acceptor { address, ended })
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}
