//! Ports on the loopback address.

use std::net::{Ipv4Addr, TcpListener};

use crate::{Error, Result};

/// A free port: `wanted` when that is free, else any.
///
/// The port is free now; another process may take it before ours does, which then ends and says so.
///
/// # Errors
/// [`Error::File`] when the system has no port left.
pub fn free(wanted: Option<u16>) -> Result<u16> {
    if let Some(port) = wanted.filter(|port| *port != 0)
        && is_free(port)
    {
        return Ok(port);
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Error::at("127.0.0.1:0"))
}

/// Whether nothing listens on a port.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_the_wanted_port_and_avoids_a_taken_one() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(free(Some(port)).unwrap(), port);
        let other = free(None).unwrap();
        assert_eq!(free(Some(other)).unwrap(), other);
    }
}
