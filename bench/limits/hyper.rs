//! The bare limit of the HTTP library: hyper with the settings of a Pannier worker, answering a constant
//! with the header fields of a Pannier hit.

mod args;
#[path = "../object.rs"]
mod object;
mod serve;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;

use args::Args;

fn main() -> anyhow::Result<()> {
    let Some(args) = Args::read() else {
        return Ok(());
    };
    let constant = Constant::new(&args)?;
    serve::run(&args, || {
        let constant = constant.clone();
        serve::http(args.port, move |_| {
            let answer = constant.answer();
            async move { answer }
        })
    })
}

#[derive(Clone)]
struct Constant {
    status: StatusCode,
    fields: HeaderMap,
    body: Bytes,
}

impl Constant {
    fn new(args: &Args) -> anyhow::Result<Constant> {
        let status = StatusCode::from_u16(args.status)?;
        let body = match status {
            StatusCode::NOT_MODIFIED => Bytes::new(),
            _ => object::body("1", 1, args.bytes),
        };
        let fields = object::hit_fields(args.bytes);
        Ok(Constant {
            status,
            fields,
            body,
        })
    }

    fn answer(&self) -> Response<Full<Bytes>> {
        let mut answer = Response::new(Full::new(self.body.clone()));
        *answer.status_mut() = self.status;
        *answer.headers_mut() = self.fields.clone();
        answer
    }
}
