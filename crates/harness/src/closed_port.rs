//! An address of this machine at which nobody listens, nor can anybody while it is kept: a port that is merely given back may be
//! the next one that another test gets.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Keeps a port by an open connection, which takes no others.
#[derive(Debug)]
pub struct ClosedPort {
    stream: TcpStream,
    /// The other end of the connection.
    _listener: TcpListener,
}

impl ClosedPort {
    /// Takes a port of the operating system's choice.
    ///
    /// # Errors
    /// If no port is free.
    pub fn new() -> io::Result<ClosedPort> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        Ok(ClosedPort {
            stream,
            _listener: listener,
        })
    }

    /// The address.
    ///
    /// # Errors
    /// If the operating system does not tell it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_let_in_and_nobody_can_listen() {
        let port = ClosedPort::new().unwrap();
        let address = port.address().unwrap();
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(TcpListener::bind(address).is_err());
    }
}
