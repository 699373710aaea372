//! One connection that is made again when it breaks.

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Target;

/// One name for all servers, so that their ports do not show in a key.
pub(crate) const HOST_NAME: HeaderValue = HeaderValue::from_static("bench.example");

/// A client with one connection.
pub(crate) struct Client {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new(target: Target) -> Client {
        Client {
            target,
            sender: None,
        }
    }

    /// The whole body of a 2xx answer; anything else is an error.
    pub(crate) async fn ask(&mut self, method: &Method, path: &str) -> anyhow::Result<Bytes> {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = path.parse()?;
        request.headers_mut().insert(HOST, HOST_NAME);
        self.send(request).await
    }

    /// The same of a request that is made already.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Bytes> {
        let answer = self.connected().await?.send_request(request).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.sender = None;
                return Err(error.into());
            }
        };
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status.is_success(), "{status}");
        Ok(body)
    }

    /// Connects ahead of the first request.
    pub(crate) async fn connect(&mut self) -> anyhow::Result<()> {
        self.connected().await.map(|_| ())
    }

    async fn connected(&mut self) -> anyhow::Result<&mut SendRequest<Full<Bytes>>> {
        let ready = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !ready {
            let stream = TcpStream::connect(self.target).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        Ok(self.sender.as_mut().expect("it was set above"))
    }
}
