//! A folder with one world: its secrets, its ports, its databases and its blobs.
//!
//! ```text
//! secrets.json   made once, readable by their owner only
//! ports.json     the ports that identities' documents name, taken again at the next start
//! plc.jsonl      the PLC server's log
//! storage/       the objects' SQLite files, and D1's
//! blobs/         blob bytes
//! outbox/        letters, one file each
//! worker/        the generated configuration and a copy of the built Worker
//! lock           held while a world runs
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{Error, Result, ports};

/// An open state folder. One process at a time has it.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    secrets: Secrets,
    _lock: File,
}

/// What a world must keep to itself.
#[derive(Clone)]
pub struct Secrets {
    /// Signs session tokens.
    pub jwt_secret: String,
    /// Opens the administrator's methods.
    pub admin_password: String,
    /// The key-encryption key, version 1, in hexadecimal.
    pub kek: String,
    /// The host's PLC rotation key (K-256), in hexadecimal.
    pub plc_rotation_key: String,
}

impl State {
    /// Opens a state folder, and makes it with new secrets where there is none.
    ///
    /// # Errors
    /// [`Error::StateBusy`] while another process has it; [`Error::Project`] when its secrets are damaged: they are
    /// never replaced, for what they sealed would be lost.
    pub fn open(folder: &Path) -> Result<Self> {
        private_folder(folder)?;
        for name in ["storage", "assets", "blobs", "outbox", "worker"] {
            private_folder(&folder.join(name))?;
        }
        let folder = folder.canonicalize().map_err(Error::at(folder))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(Error::at(&path))?;
        take(&lock, &folder)?;
        let secrets = Secrets::load(&folder.join("secrets.json"))?;
        Ok(Self { folder, secrets, _lock: lock })
    }

    /// Removes a state folder. Refuses one that does not look like ours.
    ///
    /// # Errors
    /// [`Error::Project`] for a folder of something else, [`Error::StateBusy`] for one in use.
    pub fn remove(folder: &Path) -> Result<()> {
        if !folder.exists() {
            return Ok(());
        }
        let mut entries = fs::read_dir(folder).map_err(Error::at(folder))?;
        if !folder.join("secrets.json").is_file() && entries.next().is_some() {
            return Err(Error::Project(format!("{} is not a state folder: not removed", folder.display())));
        }
        let path = folder.join("lock");
        if let Ok(lock) = File::open(&path) {
            take(&lock, folder)?;
        }
        fs::remove_dir_all(folder).map_err(Error::at(folder))
    }

    /// The folder, absolute.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file or folder in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Its secrets.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The port that `part` had here before if that is free, else a free one. It is remembered.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn port(&self, part: &str) -> Result<u16> {
        let port = ports::free(self.remembered_port(part))?;
        self.remember_port(part, port)?;
        Ok(port)
    }

    /// Remembers a port for the next start.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn remember_port(&self, part: &str, port: u16) -> Result<()> {
        let mut ports = self.ports();
        ports.insert(part.to_owned(), json!(port));
        let path = self.path("ports.json");
        fs::write(&path, Value::Object(ports).to_string()).map_err(Error::at(&path))
    }

    fn remembered_port(&self, part: &str) -> Option<u16> {
        self.ports().get(part)?.as_u64()?.try_into().ok()
    }

    fn ports(&self) -> Map<String, Value> {
        let text = fs::read_to_string(self.path("ports.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }
}

/// Takes the lock of a state folder. A process that another thread has just forked holds what we hold until it is another program.
fn take(lock: &File, folder: &Path) -> Result<()> {
    for _ in 0..LOCK_TRIES {
        if lock.try_lock().is_ok() {
            return Ok(());
        }
        thread::sleep(LOCK_PAUSE);
    }
    Err(Error::StateBusy { path: folder.to_path_buf() })
}

const LOCK_TRIES: usize = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

impl Secrets {
    /// New ones.
    ///
    /// # Errors
    /// [`Error::File`] when the system has no randomness to give.
    pub fn make() -> Result<Self> {
        Ok(Self {
            jwt_secret: random_hex(32)?,
            admin_password: random_hex(16)?,
            kek: random_hex(32)?,
            plc_rotation_key: random_hex(32)?,
        })
    }

    fn load(path: &Path) -> Result<Self> {
        if !path.exists() {
            let made = Self::make()?;
            made.store(path)?;
            return Ok(made);
        }
        let text = fs::read_to_string(path).map_err(Error::at(path))?;
        let read = || -> Option<Self> {
            let value: Value = serde_json::from_str(&text).ok()?;
            let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
            Some(Self {
                jwt_secret: text("jwtSecret")?,
                admin_password: text("adminPassword")?,
                kek: text("kek")?,
                plc_rotation_key: text("plcRotationKey")?,
            })
        };
        read().ok_or_else(|| {
            Error::Project(format!("{} is damaged: restore it, or start anew with --fresh", path.display()))
        })
    }

    fn store(&self, path: &Path) -> Result<()> {
        let value = json!({
            "jwtSecret": self.jwt_secret,
            "adminPassword": self.admin_password,
            "kek": self.kek,
            "plcRotationKey": self.plc_rotation_key,
        });
        write_private(path, &format!("{value:#}\n"))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// Writes a file that only its owner may read, whole or not at all.
///
/// # Errors
/// [`Error::File`].
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(Error::at(&new))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(Error::at(&new))?;
    fs::rename(&new, path).map_err(Error::at(path))
}

fn private_folder(folder: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Error::at(folder))
}

fn random_hex(bytes: usize) -> Result<String> {
    let mut buffer = vec![0; bytes];
    let source = Path::new("/dev/urandom");
    File::open(source).and_then(|mut file| file.read_exact(&mut buffer)).map_err(Error::at(source))?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder of this test, empty.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("murmuration-state-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn makes_secrets_once_and_only_for_their_owner() {
        let folder = folder("secrets");
        let first = State::open(&folder).unwrap().secrets().kek.clone();
        assert_eq!(first.len(), 64);
        assert_eq!(State::open(&folder).unwrap().secrets().kek, first);
        let mode = fs::metadata(folder.join("secrets.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        State::remove(&folder).unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn never_replaces_damaged_secrets() {
        let folder = folder("damaged");
        drop(State::open(&folder).unwrap());
        fs::write(folder.join("secrets.json"), "{\"kek\":").unwrap();
        assert!(matches!(State::open(&folder), Err(Error::Project(_))));
        State::remove(&folder).unwrap();
    }

    #[test]
    fn is_open_to_one_process_at_a_time() {
        let folder = folder("busy");
        let held = State::open(&folder).unwrap();
        assert!(matches!(State::open(&folder), Err(Error::StateBusy { .. })));
        assert!(matches!(State::remove(&folder), Err(Error::StateBusy { .. })));
        drop(held);
        State::remove(&folder).unwrap();
    }

    #[test]
    fn does_not_remove_a_folder_of_something_else() {
        let folder = folder("else");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("thesis.txt"), "years of work").unwrap();
        assert!(State::remove(&folder).is_err());
        assert!(folder.join("thesis.txt").exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn remembers_ports() {
        let folder = folder("ports");
        let state = State::open(&folder).unwrap();
        let port = state.port("plc").unwrap();
        assert_eq!(state.port("plc").unwrap(), port);
        drop(state);
        State::remove(&folder).unwrap();
    }
}
