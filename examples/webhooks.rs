//! A small web service: each request to a webhook is an execution with a deadline, and the client gets its answer.

use std::time::Duration;

use command_executor::{CommandExecutor, Event, ListenerHandle, Overlap, SqliteStore};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open("webhooks.db").await?;
    let executor = CommandExecutor::builder(store).start().await?;
    let webhook = executor
        .listener("web", "build_finished")
        .topic("POST /build")
        .timeout(Duration::from_millis(200))
        .overlap(Overlap::Parallel)
        .for_wrapping()
        .register()
        .await?;

    let server = TcpListener::bind("127.0.0.1:0").await?;
    let address = server.local_addr()?;
    let serving = tokio::spawn(serve(server, webhook));

    // Requests as a build server would send them: a passed build, an empty body, and one that takes too long.
    for body in ["passed", "", "slow"] {
        println!("{body:?}: {}", post(address, body).await?);
    }

    serving.abort();
    let report = executor.shutdown(Duration::from_secs(5)).await;
    println!("{}", report.ledger);
    Ok(())
}

async fn serve(server: TcpListener, webhook: ListenerHandle) -> anyhow::Result<()> {
    loop {
        let (stream, peer) = server.accept().await?;
        let webhook = webhook.clone();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let body = read_body(&mut stream).await?;
            let event = Event::new("POST /build").with_origin(peer.to_string());
            // The future borrows the request; its error is recorded, and also returned for the answer.
            let (status, answer) = match webhook.wrap_result(event, handle(&body)).await {
                Err(refused) => (503, refused.to_string()),
                Ok(wrapped) => match wrapped.value {
                    Some(Ok(answer)) => (200, answer),
                    Some(Err(error)) => (400, error.to_string()),
                    None => (500, wrapped.result.status().as_str().to_owned()),
                },
            };
            let length = answer.len();
            let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all((head + &answer).as_bytes()).await?;
            anyhow::Ok(())
        });
    }
}

async fn handle(body: &str) -> anyhow::Result<String> {
    anyhow::ensure!(!body.is_empty(), "the body is empty");
    if body == "slow" {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    Ok(format!("build {body}"))
}

/// Reads just enough HTTP for this example.
async fn read_body(stream: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim_end().split_once(": ") {
            Some(("Content-Length", value)) => length = value.parse()?,
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(String::from_utf8(body)?)
}

async fn post(address: std::net::SocketAddr, body: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "POST /build HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).unwrap_or_default();
    Ok(format!("{status} {body}"))
}
