//! A Unix socket to which any number of programs write lines.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ending::End;
use super::lines::{Ahead, Sender, buffered, pump, spawn};

/// The most programs that are connected; others wait.
const CONNECTIONS_MAX: usize = 16;
/// The delay after a connection could not be accepted.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The socket, which is removed at the end.
pub(super) struct Bound {
    path: PathBuf,
    /// Whoever has replaced it keeps the replacement.
    inode: u64,
}

impl End for Bound {
    fn begin(&self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|it| it.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }

    fn is_over(&self) -> bool {
        true
    }

    fn force(&self) {
        self.begin();
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
    let mut has_warned = false;
    while !sender.is_closed() {
        if room.available_permits() == 0 && !std::mem::replace(&mut has_warned, true) {
            tracing::warn!(
                "{CONNECTIONS_MAX} programs are connected to a socket; the next ones wait until one leaves"
            );
        }
        let claim = ahead.runtime.block_on(Arc::clone(&room).acquire_owned());
        match listener.accept() {
            Ok((connection, _)) => read_aside(connection, claim.ok(), ahead, sender),
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                sleep(TRY_AGAIN);
            }
        }
    }
}

/// Reads a connection on a thread of its own, which keeps its place until it is read.
fn read_aside(
    connection: UnixStream,
    place: Option<OwnedSemaphorePermit>,
    ahead: &Ahead,
    sender: &Sender,
) {
    let (ahead, sender) = (ahead.clone(), sender.clone());
    let read = spawn(move || {
        read_connection(connection, &ahead, &sender);
        drop(place);
    });
    if let Err(error) = read {
        tracing::warn!("cannot read a connection: {error}");
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
    match connect(path) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path),
        // Somebody listens, but does not accept right now.
        Ok(()) | Err(Errno::AGAIN) => Err(io::Error::other(
            "another process listens on this socket: stop it, or give another path",
        )),
        Err(Errno::PROTOTYPE) => Err(io::Error::other(
            "another process has a socket of another kind there: stop it, or give another path",
        )),
        Err(error) => Err(error.into()),
    }
}

/// Never waits: a process that listens may not accept.
fn connect(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}
