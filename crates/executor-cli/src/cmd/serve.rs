//! `executor serve`: the history in a browser.

mod connections;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::serve::ListenerExt;
use command_executor::CommandExecutor;
use command_executor::inspect::MachineSpools;
use executor_dashboard::{Access, Dashboard, Token};
use tokio::net::{TcpListener, UnixListener};

use crate::args::verbs::ServeArgs;
use crate::cmd::looking::Looking;
use crate::cmd::run::signals::Signals;
use crate::cmd::serve::connections::Bounded;
use crate::exit::Failure;
use crate::output::console;
use crate::output::plain::plain;
use crate::wire;

/// A token in the environment, which unlike an argument nobody else sees.
const VARIABLE: &str = "EXECUTOR_TOKEN";

pub(crate) async fn serve(args: ServeArgs) -> Result<ExitCode, Failure> {
    let looking = Looking::new(&args.look)?;
    refuse_exposure(&args)?;
    let token = token(args.no_token, args.token_file.as_deref())?;
    // Before anybody is told that it is there.
    let mut signals = Signals::listen().map_err(Failure::Signals)?;
    let bound = match &args.socket {
        Some(path) => Bound::at_socket(path)?,
        None => Bound::at_address(args.listen).await?,
    };
    let mut dashboard = dashboard(&looking.url)?;
    for host in &args.allow_host {
        dashboard = dashboard.allowing_host(host);
    }
    if args.behind_proxy {
        dashboard = dashboard.behind_tls();
    }
    let serving = Serving::new(bound, dashboard, token);
    // A browser keeps its connections, and nothing is lost with them.
    tokio::select! {
        failed = serving.serve() => Err(failed),
        () = signals.next() => Ok(ExitCode::SUCCESS),
    }
}

/// A dashboard that listens.
pub(crate) struct Serving {
    bound: Bound,
    router: Router,
}

/// A dashboard beside a program that also does something else: it listens, and is shown once that has started.
pub(crate) struct Beside {
    bound: Bound,
    token: Shown,
}

impl Beside {
    /// Listens at a loopback address. The token is that of the environment, or a new one.
    pub(crate) async fn listen(address: SocketAddr) -> Result<Self, Failure> {
        Ok(Self {
            bound: Bound::at_address(address).await?,
            token: token(false, None)?,
        })
    }

    /// Shows a history, and lets people act on an executor if there is one.
    pub(crate) fn show(
        self,
        url: &str,
        actions: Option<CommandExecutor>,
    ) -> Result<Serving, Failure> {
        let mut dashboard = dashboard(url)?;
        if let Some(executor) = actions {
            dashboard = dashboard.with_actions(Arc::new(executor));
        }
        Ok(Serving::new(self.bound, dashboard, self.token))
    }
}

/// The dashboard of a database.
fn dashboard(url: &str) -> Result<Dashboard, Failure> {
    let dashboard = Dashboard::new(wire::history(url)?, Access::Everybody);
    let dashboard = dashboard.with_database(plain(&wire::shown(url)));
    Ok(match wire::spools(url)? {
        Some(spools) => dashboard.with_live_state(Arc::new(MachineSpools::new(spools))),
        None => dashboard,
    })
}

impl Serving {
    /// Says where it is, and the token if nobody knows it yet.
    fn new(bound: Bound, dashboard: Dashboard, token: Shown) -> Self {
        console::say(&format!("the dashboard is at {}", bound.shown()));
        let access = match token {
            Shown::Once(token) => {
                console::say(&format!("its token is {}", token.as_str()));
                Access::Token(token)
            }
            Shown::Never(token) => Access::Token(token),
            Shown::Nothing => Access::Everybody,
        };
        let router = dashboard
            .with_access(access)
            .for_port(bound.port())
            .router();
        Self { bound, router }
    }

    /// Answers, and returns only if it cannot listen any more.
    pub(crate) async fn serve(self) -> Failure {
        let what = self.bound.shown();
        let served = match self.bound {
            Bound::Address(listener, _) => {
                // axum tells the addresses of a listener of somebody else only if it is tapped; who acts is recorded with it.
                let listener = Bounded::new(listener).tap_io(|_| {});
                let service = self
                    .router
                    .into_make_service_with_connect_info::<SocketAddr>();
                axum::serve(listener, service).await
            }
            Bound::Socket(listener, _) => axum::serve(Bounded::new(listener), self.router).await,
        };
        let source = served.err().unwrap_or_else(|| io::Error::other("it ended"));
        Failure::Listen { what, source }
    }
}

/// Refuses to show a history to other machines, or to everybody, by mistake.
fn refuse_exposure(args: &ServeArgs) -> Result<(), Failure> {
    let is_here = args.socket.is_some() || args.listen.ip().is_loopback();
    let what = match &args.socket {
        Some(path) => format!("the socket `{}`", plain(&path.to_string_lossy())),
        None => args.listen.to_string(),
    };
    // Whoever names a host has something in front that lets others in.
    let is_for_others = !is_here || args.behind_proxy || !args.allow_host.is_empty();
    match () {
        () if args.socket.is_some() && args.allow_host.is_empty() => Err(Failure::NoHost { what }),
        () if !is_here && !args.behind_proxy => Err(Failure::Exposed { what }),
        () if args.no_token && is_for_others => Err(Failure::WithoutToken { what }),
        () => Ok(()),
    }
}

/// The token, and whether people have to be told.
enum Shown {
    /// It was made here.
    Once(Token),
    /// They know it.
    Never(Token),
    /// There is none.
    Nothing,
}

fn token(is_open: bool, file: Option<&Path>) -> Result<Shown, Failure> {
    if is_open {
        return Ok(Shown::Nothing);
    }
    let given = match file {
        Some(path) => {
            let of = format!("`{}`", plain(&path.to_string_lossy()));
            let text = private(path);
            let text = text.map_err(|why| Failure::Token {
                of: of.clone(),
                why: why.to_string(),
            })?;
            Some((of, text))
        }
        None => std::env::var_os(VARIABLE)
            .map(|text| (VARIABLE.to_owned(), text.to_string_lossy().into_owned())),
    };
    match given {
        Some((of, text)) => match Token::new(&text) {
            Ok(token) => Ok(Shown::Never(token)),
            Err(why) => Err(Failure::Token {
                of,
                why: why.to_string(),
            }),
        },
        None => Token::random().map(Shown::Once).map_err(Failure::Runtime),
    }
}

/// Reads a file that nobody else may read.
fn private(path: &Path) -> io::Result<String> {
    let mode = fs::metadata(path)?.mode();
    match mode & 0o077 {
        0 => fs::read_to_string(path),
        _ => Err(io::Error::other(
            "others may read it; take that away with `chmod 600`",
        )),
    }
}

/// Where browsers come.
enum Bound {
    Address(TcpListener, SocketAddr),
    Socket(UnixListener, String),
}

impl Bound {
    async fn at_address(address: SocketAddr) -> Result<Self, Failure> {
        let failed = |source| Failure::Listen {
            what: address.to_string(),
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self::Address(listener, address))
    }

    /// Takes the place of a socket that nobody listens at any more.
    fn at_socket(path: &Path) -> Result<Self, Failure> {
        let what = plain(&path.to_string_lossy());
        let failed = |source| Failure::Listen {
            what: format!("`{what}`"),
            source,
        };
        let is_socket = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
        let nobody = || {
            let asked = std::os::unix::net::UnixStream::connect(path);
            asked.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        if is_socket && nobody() {
            fs::remove_file(path).map_err(failed)?;
        }
        // From its first moment it is nobody else's.
        let others = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(path);
        rustix::process::umask(others);
        let listener = listener.map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self::Socket(listener, what))
    }

    const fn port(&self) -> u16 {
        match self {
            Self::Address(_, address) => address.port(),
            Self::Socket(..) => 0,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Address(_, address) => format!("http://{address}/"),
            Self::Socket(_, path) => format!("the socket `{path}`"),
        }
    }
}
