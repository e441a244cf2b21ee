//! Ports on the loopback address.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::{Error, Result};

/// A free port: `wanted` when that is free, else any.
///
/// The port is free now; another process may take it before ours does, which then ends and says so.
///
/// # Errors
/// [`Error::Project`] when no port is left.
pub fn free(wanted: Option<u16>) -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    if let Some(port) = wanted.filter(|port| *port != 0 && is_free(*port)) {
        return Ok(port);
    }
    // Processes that choose at the same time begin apart.
    let process = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or_default();
    let spread = process.wrapping_mul(SPREAD);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = RANGE.start + spread.wrapping_add(step) % COUNT;
        if is_free(port) {
            return Ok(port);
        }
    }
    Err(Error::Project(format!("no port from {} to {} is free", RANGE.start, RANGE.end - 1)))
}

/// Whether nothing listens on a port.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Below the range from which Linux takes the ports of outgoing connections (32768 on): a port of ours must still be free
/// when its process starts again.
const RANGE: Range<u16> = 20_000..32_000;

const COUNT: u16 = RANGE.end - RANGE.start;

/// Ports between the beginnings of two processes with neighbouring numbers.
const SPREAD: u16 = 97;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_the_wanted_port_and_avoids_a_taken_one() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(free(Some(port)).unwrap(), port);
        let other = free(None).unwrap();
        assert!(RANGE.contains(&other));
        assert_eq!(free(Some(other)).unwrap(), other);
    }

    #[test]
    fn never_gives_one_port_twice_in_a_row() {
        assert_ne!(free(None).unwrap(), free(None).unwrap());
    }
}
