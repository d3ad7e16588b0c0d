//! Connections of browsers: so many at a time, and each as long as it moves. Whatever browsers do, a program that also
//! records keeps its file descriptors.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// The most connections; more wait until one is closed.
const CONNECTIONS_MAX: usize = 256;

/// How long a connection may take nothing of what it asks for. Sending a byte now and then does not count, or it would
/// keep a place for ever. The longest answer, an audit, may take as long before its first byte.
const PATIENCE: Duration = Duration::from_secs(600);

/// A listener that keeps to this.
pub(crate) struct Bounded<L> {
    listener: L,
    places: Arc<Semaphore>,
}

impl<L> Bounded<L> {
    pub(crate) fn new(listener: L) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let (io, address) = self.listener.accept().await;
        (Connection::new(io, place.ok()), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when it has stood still for too long.
pub(crate) struct Connection<I> {
    io: I,
    patience: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl<I> Connection<I> {
    fn new(io: I, place: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            io,
            patience: Box::pin(sleep(PATIENCE)),
            _place: place,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Connection<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_pending() {
            ready!(self.patience.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Connection<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        if written.is_pending() {
            ready!(self.patience.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.patience.as_mut().reset(Instant::now() + PATIENCE);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn j02_a_connection_that_stands_still_is_closed() {
        let (mut browser, served) = duplex(4);
        let mut served = Connection::new(served, None);
        for _ in 0..3 {
            // As long as it takes what it is sent, it stays.
            tokio::time::advance(PATIENCE - Duration::from_secs(1)).await;
            served.write_all(b"x").await.unwrap();
            assert_eq!(browser.read_u8().await.unwrap(), b'x');
        }
        // A byte now and then keeps no place.
        let begun = Instant::now();
        let read = async {
            loop {
                if let Err(error) = served.read_u8().await {
                    return error;
                }
            }
        };
        let drips = async {
            loop {
                browser.write_all(b"x").await.unwrap();
                tokio::time::sleep(Duration::from_secs(9)).await;
            }
        };
        let error = tokio::select! {
            error = read => error,
            () = drips => unreachable!("it goes on"),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
        // Nobody reads what is written.
        let (_browser, served) = duplex(4);
        let mut served = Connection::new(served, None);
        let error = served.write_all(b"more than fits").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    struct Endless;

    impl Listener for Endless {
        type Io = tokio::io::DuplexStream;
        type Addr = ();

        async fn accept(&mut self) -> (Self::Io, ()) {
            (duplex(1).0, ())
        }

        fn local_addr(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn j02_there_are_so_many_connections_and_no_more() {
        let mut listener = Bounded::new(Endless);
        let mut open = Vec::new();
        while let Ok((io, ())) =
            tokio::time::timeout(Duration::from_secs(1), listener.accept()).await
        {
            open.push(io);
        }
        assert_eq!(open.len(), CONNECTIONS_MAX);
        open.pop();
        listener.accept().await;
    }
}
