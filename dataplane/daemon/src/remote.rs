//! A plan or a configuration at a URL.
//!
//! Owns which URLs may be used and what one request for it looks like. What is read there decides which
//! programs are started, so it must come from whom the operator named: over TLS, or from this machine;
//! no redirects (`docs/decisions/0027-content-from-urls.md`).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, ETAG, HOST, HeaderValue, IF_NONE_MATCH, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use mcpc_dataplane::{Reach, Refusal, Target};
use mcpc_plan::Scheme;

use crate::http;

/// For one request with everything that belongs to it: the name, the connection, the whole response.
const PATIENCE: Duration = Duration::from_secs(10);

/// The variable that holds the value of the `Authorization` header.
const CREDENTIAL: &str = "MCPC_SOURCE_AUTHORIZATION";

/// See the file's header.
pub(crate) struct Remote {
    uri: Uri,
    target: Target,
    reach: Arc<dyn Reach>,
}

/// What a request came back with.
pub(crate) enum Fetched {
    /// The version that was known.
    Same,
    /// Another one.
    New {
        bytes: Vec<u8>,
        etag: Option<HeaderValue>,
    },
}

impl Remote {
    /// What a URL stands for; nothing if the text is none.
    pub(crate) fn of(text: &str, reach: &Arc<dyn Reach>) -> Option<Result<Self, Refusal>> {
        let (scheme, _) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return None,
        };
        Some(Self::at(text, scheme, reach).map_err(unusable))
    }

    fn at(text: &str, scheme: Scheme, reach: &Arc<dyn Reach>) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "it is not a URL")?;
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("a URL carries no user name or password; set MCPC_SOURCE_AUTHORIZATION");
        }
        let host = authority.host();
        let host = host.strip_prefix('[').unwrap_or(host);
        let host = host.strip_suffix(']').unwrap_or(host);
        if scheme == Scheme::Http && !is_this_machine(host) {
            return Err("without TLS it may only be on this machine; use https");
        }
        let target = Target {
            scheme,
            host: host.into(),
            port: authority.port_u16().unwrap_or(match scheme {
                Scheme::Https => 443,
                Scheme::Http => 80,
            }),
        };
        Ok(Self {
            uri,
            target,
            reach: Arc::clone(reach),
        })
    }

    /// The URL without its query, which may hold what is nobody's business.
    pub(crate) fn name(&self) -> String {
        let text = self.uri.to_string();
        match text.split_once('?') {
            Some((before, _)) => format!("{before}?…"),
            None => text,
        }
    }

    /// Asks for it, on condition that it is not the version that is known. Gives a few words if there
    /// is nothing.
    pub(crate) async fn get(
        &self,
        known: Option<&HeaderValue>,
        bytes_max: u64,
    ) -> Result<Fetched, String> {
        let exchange = tokio::time::timeout(PATIENCE, self.exchange(known, bytes_max));
        let in_time = exchange.await;
        in_time.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?
    }

    /// The same, for callers that may block.
    pub(crate) fn get_now(
        &self,
        known: Option<&HeaderValue>,
        bytes_max: u64,
    ) -> Result<Fetched, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.kind().to_string())?;
        let got = runtime.block_on(self.get(known, bytes_max));
        // A name that is still being looked up must not keep the gateway.
        runtime.shutdown_background();
        got
    }

    async fn exchange(
        &self,
        known: Option<&HeaderValue>,
        bytes_max: u64,
    ) -> Result<Fetched, String> {
        let request = self.request(known)?;
        let connected = self.reach.connect(&self.target).await;
        let stream = connected.map_err(|error| format!("no connection: {}", error.kind()))?;
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let response = http::exchange(stream, request, bytes_max)
            .await
            .map_err(|_| "the answer is too large, or no HTTP".to_owned())?;
        fetched(response)
    }

    fn request(&self, known: Option<&HeaderValue>) -> Result<Request<Full<Bytes>>, String> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.uri.authority().map_or("", |host| host.as_str());
        let mut request = Request::get(path)
            .header(HOST, host)
            .header(USER_AGENT, concat!("mcpc/", env!("CARGO_PKG_VERSION")));
        if let Some(known) = known {
            request = request.header(IF_NONE_MATCH, known);
        }
        if let Some(credential) = self.reach.variable(CREDENTIAL) {
            let mut value = HeaderValue::from_str(credential.expose())
                .map_err(|_| format!("{CREDENTIAL} is no header value"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Full::default());
        request.map_err(|_| "the URL makes no request".to_owned())
    }
}

fn fetched(response: Response<Bytes>) -> Result<Fetched, String> {
    let (head, body) = response.into_parts();
    match head.status {
        StatusCode::OK => Ok(Fetched::New {
            bytes: body.into(),
            etag: head.headers.get(ETAG).cloned(),
        }),
        StatusCode::NOT_MODIFIED => Ok(Fetched::Same),
        status if status.is_redirection() => Err(format!(
            "the answer is {}, and redirects are not followed",
            status.as_u16()
        )),
        status => Err(format!("the answer is {}", status.as_u16())),
    }
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Why a URL is not read from.
pub(crate) fn unusable(reason: &str) -> Refusal {
    Refusal {
        code: "MCPC0006",
        reason: format!("the URL cannot be read: {reason}"),
    }
}
