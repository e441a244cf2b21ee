//! `cargo xtask plc`: the PLC server alone, for a Worker that something else runs.

use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::RecvTimeoutError;

use super::{Arguments, signals};
use crate::child::Echo;
use crate::plc::Plc;
use crate::state::State;
use crate::{Error, Result, root};

pub(super) fn run(mut arguments: Arguments) -> Result<()> {
    let mut folder = root().join(".state/plc");
    let mut port = DEFAULT_PORT;
    while let Some(option) = arguments.word() {
        match option.as_str() {
            "--port" => port = arguments.port("--port")?,
            "--state" => folder = PathBuf::from(arguments.value("--state")?),
            _ => return Err(Error::Usage(format!("`{option}` is not understood"))),
        }
    }
    let state = State::open(&folder)?;
    state.remember_port("plc", port)?;
    let mut plc = Plc::start(&root(), &state, Echo::Show)?;
    let signals = signals::watch()?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, r#"{{"ready":true,"plc":"{}"}}"#, plc.url())
        .and_then(|()| stdout.flush())
        .map_err(Error::at("standard output"))?;
    while let Err(RecvTimeoutError::Timeout) = signals.recv_timeout(signals::WATCH) {
        if let Some(status) = plc.child().ended() {
            return Err(Error::Ended { name: "plc", status: status.to_string() });
        }
    }
    plc.stop();
    Ok(())
}

/// The reference server's port in development.
const DEFAULT_PORT: u16 = 2582;
