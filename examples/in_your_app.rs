//! A program's own web application with the dashboard in it. The application lets people in and says who they are, so
//! the dashboard asks for no token, and what they do is recorded under their names.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use command_executor::{CommandExecutor, SqliteHistory, SqliteStore};
use executor_dashboard::{Access, Dashboard, Visitor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let executor = CommandExecutor::builder(SqliteStore::open("app.db").await?)
        .start()
        .await?;
    let job = executor
        .job("house", "backup")
        .handler_fn(|| async {})
        .register()
        .await?;
    executor.execute(job.run_now()).await?;
    executor.flush().await?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let dashboard = Dashboard::new(Arc::new(SqliteHistory::new("app.db")?), Access::Everybody)
        .with_live_state(Arc::new(executor.clone()))
        .with_actions(Arc::new(executor.clone()))
        .for_port(address.port())
        .at("/telemetry")
        .router();
    let app = Router::new()
        .route("/", get(async || "the application itself\n"))
        .nest("/telemetry", dashboard.layer(from_fn(let_in)));
    // With the addresses of clients, which are recorded.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(axum::serve(listener, app).into_future());

    println!("{}", first_line(&ask(address, "/", "").await?));
    println!("{}", first_line(&ask(address, "/telemetry", "").await?));
    let seen = ask(address, "/telemetry", "x-user: operator\r\n").await?;
    println!(
        "{}, {}",
        first_line(&seen),
        seen.contains("1 execution, 0 failed")
    );

    serving.abort();
    let report = executor.shutdown(Duration::from_secs(5)).await;
    println!("{}", report.ledger);
    Ok(())
}

/// What a session of the application would know, a header says here.
async fn let_in(mut request: Request, next: Next) -> Result<Response, StatusCode> {
    let user = request
        .headers()
        .get("x-user")
        .and_then(|it| it.to_str().ok());
    let visitor = Visitor(user.ok_or(StatusCode::UNAUTHORIZED)?.to_owned());
    request.extensions_mut().insert(visitor);
    Ok(next.run(request).await)
}

/// Asks as a browser would.
async fn ask(address: SocketAddr, path: &str, headers: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .context("no answer")?;
    Ok(answer)
}

fn first_line(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default()
}
