//! How clients reach a provider: over TCP, a unix socket or a pipe in memory.
//!
//! **Invariant:** nothing listens anywhere but on this machine, and never where another program does.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

use crate::exchange::Listening;
use crate::shell::held::HeldStream;
use crate::shell::pipe::{self, Dialed, Dialer};
use crate::shell::stream::{Accepted, Stream};

/// What carries the bytes between client and provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Loopback TCP: for every client that takes a URL.
    Tcp,
    /// A unix socket: for clients that can be given one, such as reqwest.
    Unix,
    /// A pipe in memory: the fastest, for clients whose connector can be replaced, such as hyper-util.
    Memory,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Unix, Self::Memory];

    /// The name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "loopback TCP",
            Self::Unix => "a unix socket",
            Self::Memory => "a pipe in memory",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a provider listens. Clones reach the same provider.
#[derive(Clone, Debug)]
pub struct Endpoint(Place);

#[derive(Clone, Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
    Memory(Dialer),
}

impl Endpoint {
    /// A new connection to the provider.
    ///
    /// # Errors
    /// If nobody listens any more.
    pub async fn connect(&self) -> io::Result<Stream> {
        match &self.0 {
            Place::Tcp(addr) => TcpStream::connect(addr).await.map(Stream::tcp),
            Place::Unix(path) => UnixStream::connect(path).await.map(Stream::unix),
            Place::Memory(dialer) => dialer.dial().map(Stream::memory),
        }
    }

    /// What carries the bytes.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        match &self.0 {
            Place::Tcp(_) => Transport::Tcp,
            Place::Unix(_) => Transport::Unix,
            Place::Memory(_) => Transport::Memory,
        }
    }

    /// The address, over TCP.
    #[must_use]
    pub const fn addr(&self) -> Option<SocketAddr> {
        match &self.0 {
            Place::Tcp(addr) => Some(*addr),
            Place::Unix(_) | Place::Memory(_) => None,
        }
    }

    /// The socket's path, over a unix socket. On Linux it begins with a zero byte: a name that stands in
    /// no folder.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Place::Unix(path) => Some(path),
            Place::Tcp(_) | Place::Memory(_) => None,
        }
    }
}

/// A place that listens.
#[derive(Debug)]
pub(super) struct Listener(Inner);

#[derive(Debug)]
enum Inner {
    Tcp(TcpListener),
    /// The port is held, and nobody listens.
    TcpShut(TcpSocket),
    /// Without a listener the name is held by nobody, but no other process takes it.
    Unix {
        listener: Option<UnixListener>,
        file: SocketFile,
    },
    Memory(Dialed),
}

impl Listener {
    /// Listens; a port is for TCP alone, 0 for any.
    pub(super) async fn open(transport: Transport, port: u16) -> io::Result<(Self, Endpoint)> {
        match transport {
            Transport::Tcp => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
                let addr = listener.local_addr()?;
                Ok((Self(Inner::Tcp(listener)), Endpoint(Place::Tcp(addr))))
            }
            Transport::Unix => {
                let (listener, file) = bind_new()?;
                let path = file.0.clone();
                let inner = Inner::Unix { listener: Some(listener), file };
                Ok((Self(inner), Endpoint(Place::Unix(path))))
            }
            Transport::Memory => {
                let (dialer, dialed) = pipe::listen();
                Ok((Self(Inner::Memory(dialed)), Endpoint(Place::Memory(dialer))))
            }
        }
    }

    pub(super) async fn accept(&mut self) -> io::Result<Accepted> {
        match &mut self.0 {
            Inner::Tcp(listener) => Ok(Accepted::tcp(listener.accept().await?.0)),
            Inner::Unix { listener: Some(listener), .. } => {
                Ok(Accepted::Unix(HeldStream::new(listener.accept().await?.0)))
            }
            Inner::TcpShut(_) | Inner::Unix { listener: None, .. } => std::future::pending().await,
            Inner::Memory(dialed) => Ok(Accepted::Memory(dialed.accept().await)),
        }
    }
}

impl Listener {
    /// From here on connections are taken, or refused; those that wait to be taken are reset.
    pub(super) fn turn(&mut self, listening: Listening) -> io::Result<()> {
        let open = listening.open;
        match &mut self.0 {
            Inner::Memory(dialed) => dialed.turn(listening),
            Inner::Unix { listener, .. } if listener.is_some() == open => {}
            Inner::Unix { listener, file } => {
                *listener = None;
                file.remove();
                if open {
                    *listener = Some(UnixListener::bind(&file.0)?);
                }
            }
            Inner::Tcp(_) if open => {}
            Inner::TcpShut(_) if !open => {}
            tcp @ (Inner::Tcp(_) | Inner::TcpShut(_)) => {
                // A moment without any listener, so that what it held can be moved.
                let (_, nobody) = pipe::listen();
                let before = std::mem::replace(tcp, Inner::Memory(nobody));
                *tcp = turned(before)?;
            }
        }
        Ok(())
    }
}

/// A listening socket that no longer listens, or one that listens again; the port stays its own.
fn turned(before: Inner) -> io::Result<Inner> {
    Ok(match before {
        Inner::Tcp(listener) => {
            let addr = listener.local_addr()?;
            drop(listener);
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            Inner::TcpShut(socket)
        }
        Inner::TcpShut(socket) => Inner::Tcp(socket.listen(BACKLOG)?),
        other @ (Inner::Unix { .. } | Inner::Memory(_)) => other,
    })
}

/// How many connections wait to be taken, as tokio has it.
const BACKLOG: u32 = 1024;

/// Tells the sockets of this process apart.
static LAST_SOCKET: AtomicU64 = AtomicU64::new(0);

/// Listens under a name that nobody has.
fn bind_new() -> io::Result<(UnixListener, SocketFile)> {
    for _ in 0..1_000 {
        let number = LAST_SOCKET.fetch_add(1, Ordering::Relaxed);
        let name = format!("brownout-{}-{number}", std::process::id());
        let path = if cfg!(target_os = "linux") {
            PathBuf::from(format!("\0{name}"))
        } else {
            std::env::temp_dir().join(format!("{name}.sock"))
        };
        match UnixListener::bind(&path) {
            Ok(listener) => return Ok((listener, SocketFile(path))),
            // Another program of the same number, in another container.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// The name of a socket; where it is a file, that is gone with it.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl SocketFile {
    fn remove(&self) {
        if !cfg!(target_os = "linux") {
            // What cannot be removed stands in the folder for temporary files.
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}
