//! `--metrics ADDR`: the metrics of the run, as Prometheus reads them, on a loopback address.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{interval, sleep, timeout};

use crate::exit::Failure;

/// The upper ends of the buckets of durations, in seconds.
const BUCKETS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3_600.0,
];
/// The most requests that are answered at once, the time and the bytes that each may take.
const REQUESTS_MAX: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);
const REQUEST_BYTES_MAX: usize = 8_192;
/// The interval at which what was measured is put into the buckets.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The metrics, and where they are asked for.
pub(super) struct Metrics {
    listener: TcpListener,
    handle: PrometheusHandle,
}

impl Metrics {
    /// Listens, and measures from now on.
    pub(super) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let failed = |source: io::Error| Failure::Metrics { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let handle = install().map_err(|error| failed(io::Error::other(error)))?;
        if let Ok(address) = listener.local_addr() {
            tracing::debug!("metrics at http://{address}/metrics");
        }
        Ok(Self { listener, handle })
    }

    /// Answers. Never completes.
    pub(super) async fn serve(metrics: Option<&Self>) {
        let Some(Self { listener, handle }) = metrics else {
            return pending().await;
        };
        let room = Arc::new(Semaphore::new(REQUESTS_MAX));
        let mut upkeep = interval(UPKEEP_EVERY);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = upkeep.tick() => {
                    handle.run_upkeep();
                    continue;
                }
            };
            let Ok((stream, _)) = accepted else {
                // Such as too many open files.
                sleep(Duration::from_secs(1)).await;
                continue;
            };
            // Beyond that nobody is answered.
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                continue;
            };
            let handle = handle.clone();
            tokio::spawn(async move {
                // Whoever asked may be gone.
                let _ = timeout(PATIENCE, answer(stream, &handle)).await;
                drop(permit);
            });
        }
    }
}

fn install() -> Result<PrometheusHandle, BuildError> {
    let durations = Matcher::Full("executor_execution_duration_seconds".to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(durations, &BUCKETS)?
        .install_recorder()
}

async fn answer(mut stream: TcpStream, handle: &PrometheusHandle) -> io::Result<()> {
    let request = request(&mut stream).await?;
    let (status, body) = match &*request {
        "GET /metrics" | "GET /" => ("200 OK", handle.render()),
        other if other.starts_with("GET ") => ("404 Not Found", "see /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "only GET\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// Reads a whole request and returns its method and path.
async fn request(stream: &mut TcpStream) -> io::Result<String> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 1_024]);
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await?;
        if read == 0 || bytes.len() > REQUEST_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(&buffer[..read]);
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut words = text.split_ascii_whitespace();
    let (method, target) = (words.next(), words.next());
    let path = target.unwrap_or_default().split('?').next();
    let (method, path) = (method.unwrap_or_default(), path.unwrap_or_default());
    Ok(format!("{method} {path}"))
}
