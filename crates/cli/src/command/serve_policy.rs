//! `pointsman serve-policy`: the file of a policy over HTTP, as `policy_source` of the plugin's configuration asks for it.
//!
//! The response carries the signature that stands next to the policy and an entity tag, so that a proxy which has it gets an answer of a few bytes. It
//! reads the files anew for each request: to change the policy of every proxy, replace them. YAML is served as the JSON that it
//! means. It checks nothing else; proxies do.
//! No TLS: it is for the loopback interface, or behind a proxy that adds it.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use pointsman::control::policy_source::{SIGNATURE_HEADER, fingerprint};
use serde_json::json;

use tokio::net::TcpListener;

use crate::command::sign::signature_path;
use crate::failure::Failure;
use crate::io::document::{Document, Form};
use crate::io::input;
use crate::wait_for_end;

/// Arguments of `pointsman serve-policy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy, JSON or YAML; the signature of a JSON policy, if there is one, stands next to it as POLICY.sig
    #[arg(value_name = "POLICY")]
    file: PathBuf,
    /// The port; the operating system chooses one if absent
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// The path under which the policy is found
    #[arg(long, default_value = "/policy.json")]
    path: String,
    /// End when standard input does
    #[arg(long)]
    until_stdin_ends: bool,
}

type Answer = Response<Full<Bytes>>;

/// Serves until Ctrl-C, or until standard input ends. Prints where it listens as one line of JSON.
pub fn run(args: Args) -> Result<(), Failure> {
    crate::runtime()?.block_on(serve(args))
}

async fn serve(args: Args) -> Result<(), Failure> {
    check_form(&args.file)?;
    let address = SocketAddr::new(args.address, args.port);
    let cannot = |error| Failure::Failed(format!("cannot listen on `{address}`: {error}"));
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let mut out = std::io::stdout();
    let message =
        json!({"address": address.to_string(), "port": address.port(), "path": args.path});
    writeln!(out, "{message}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let until_stdin_ends = args.until_stdin_ends;
    tokio::spawn(accept(listener, Arc::new(args)));
    wait_for_end(until_stdin_ends).await
}

/// A YAML policy has to be readable, and cannot be signed: the signature is of the bytes that proxies get.
fn check_form(file: &Path) -> Result<(), Failure> {
    if Form::from_name(file) != Some(Form::Yaml) {
        return Ok(());
    }
    input::read_document(file)?;
    let signature = signature_path(file);
    if signature.exists() {
        return Err(Failure::Input(format!(
            "`{}` is the signature of a YAML policy, but proxies read JSON: `pointsman convert` the policy, and sign that",
            signature.display()
        )));
    }
    Ok(())
}

/// The policy as proxies read it.
fn served(file: &Path) -> std::io::Result<Vec<u8>> {
    let bytes = std::fs::read(file)?;
    if Form::from_name(file) != Some(Form::Yaml) {
        return Ok(bytes);
    }
    let text = String::from_utf8(bytes).map_err(std::io::Error::other)?;
    Document::parse(Form::Yaml, text)
        .map(|document| document.json.into_bytes())
        .map_err(|(line, column, problem)| {
            std::io::Error::other(format!("{line}:{column}: {problem}"))
        })
}

async fn accept(listener: TcpListener, args: Arc<Args>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let args = Arc::clone(&args);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let args = Arc::clone(&args);
                async move { Ok::<_, Infallible>(answer(&args, &request)) }
            });
            // An error here is a client that went away.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

fn answer(args: &Args, request: &Request<Incoming>) -> Answer {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => plain(StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, path) if path == args.path => {
            let known = request.headers().get(IF_NONE_MATCH);
            document(&args.file, known).unwrap_or_else(|error| {
                eprintln!("warning: `{}`: {error}", args.file.display());
                plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the policy cannot be read\n",
                )
            })
        }
        (&Method::GET | &Method::HEAD, _) => plain(StatusCode::NOT_FOUND, "no such policy\n"),
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"),
    }
}

/// The policy with its signature, or 304 where `known` is its tag.
fn document(file: &Path, known: Option<&HeaderValue>) -> std::io::Result<Answer> {
    let body = served(file)?;
    let signature = std::fs::read_to_string(signature_path(file)).ok();
    let signature = signature.as_deref().map(str::trim);
    // Of both: a document that was signed anew is another answer.
    let signed = fingerprint(signature.unwrap_or_default().as_bytes());
    let tag = format!("\"{:016x}{signed:016x}\"", fingerprint(&body));
    let has_it = known
        .and_then(|known| known.to_str().ok())
        .is_some_and(|known| known.split(',').any(|known| known.trim() == tag));
    let mut response = Response::new(Full::new(match has_it {
        true => Bytes::new(),
        false => Bytes::from(body),
    }));
    if has_it {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let other = |_| std::io::Error::other("its signature is not a header value");
    headers.insert(ETAG, HeaderValue::from_str(&tag).map_err(other)?);
    if let Some(signature) = signature {
        let value = HeaderValue::from_str(signature).map_err(other)?;
        headers.insert(SIGNATURE_HEADER, value);
    }
    Ok(response)
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}
