//! A Unix socket to which any number of programs write lines.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::lines::{Ahead, Sender, buffered, pump, spawn};

/// The most programs that are connected; others wait.
const CONNECTIONS_MAX: usize = 16;
/// The delay after a connection could not be accepted.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The socket; it is removed when this is dropped.
pub(super) struct Bound {
    path: PathBuf,
    /// Whoever has replaced it keeps the replacement.
    inode: u64,
}

impl Drop for Bound {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|it| it.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the socket and accepts connections. Only the owner may connect.
pub(super) fn listen(path: PathBuf, ahead: &Ahead, sender: Sender) -> io::Result<Bound> {
    remove_dead(&path)?;
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let inode = fs::symlink_metadata(&path)?.ino();
    let ahead = ahead.shared_by(CONNECTIONS_MAX as u64);
    spawn(move || accept(&listener, &ahead, &sender))?;
    Ok(Bound { path, inode })
}

fn accept(listener: &UnixListener, ahead: &Ahead, sender: &Sender) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while !sender.is_closed() {
        let claim = Arc::clone(&room).acquire_owned();
        let claim = ahead.runtime.block_on(claim);
        let connection = match listener.accept() {
            Ok((connection, _)) => connection,
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                sleep(TRY_AGAIN);
                continue;
            }
        };
        let (ahead, sender) = (ahead.clone(), sender.clone());
        let read = spawn(move || {
            read_connection(connection, &ahead, &sender);
            drop(claim);
        });
        if let Err(error) = read {
            tracing::warn!("cannot read a connection: {error}");
        }
    }
}

/// A connection that breaks off ends by itself; the others go on.
fn read_connection(connection: UnixStream, ahead: &Ahead, sender: &Sender) {
    pump(buffered(Quiet(connection)), ahead, sender);
}

/// Ends where reading fails.
struct Quiet(UnixStream);

impl io::Read for Quiet {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                tracing::warn!("a connection broke off: {error}");
                Ok(0)
            }
            read => read,
        }
    }
}

/// Removes a socket on which nobody listens. Anything else is left alone.
fn remove_dead(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !there.file_type().is_socket() {
        let what = "there is something else at this path, which is left alone: remove it, or give another path";
        return Err(io::Error::other(what));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other(
            "another process listens on this socket: stop it, or give another path",
        )),
    }
}
