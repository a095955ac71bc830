//! A plan or a configuration at a URL.
//!
//! Owns which URLs may be used and what one request for it looks like. What is read there decides which
//! programs are started, so it must come from whom the operator named: over TLS, or from this machine;
//! no redirects (`docs/decisions/0031-content-from-urls.md`).

use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri, header};
use mcpc_dataplane::{Ask, Page, Reach, Refusal, Target};
use mcpc_plan::{HttpTransport, Scheme};

/// For one request with everything that belongs to it: the name, the connection, the whole response.
const PATIENCE: Duration = Duration::from_secs(10);

/// The variable that holds the value of the `Authorization` header.
const CREDENTIAL: &str = "MCPC_SOURCE_AUTHORIZATION";

/// See the file's header.
pub(crate) struct Remote {
    /// As it is shown: without the query, which may hold what is nobody's business.
    name: String,
    place: HttpTransport,
    reach: Arc<dyn Reach>,
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
        let name = match text.split_once('?') {
            Some((before, _)) => format!("{before}?…"),
            None => text.to_owned(),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let place = HttpTransport {
            scheme,
            host: host.into(),
            port: authority.port_u16().unwrap_or(scheme.default_port()),
            authority: authority.as_str().into(),
            path: path.into(),
            headers: Box::default(),
        };
        Ok(Self {
            name,
            place,
            reach: Arc::clone(reach),
        })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Asks for it. Gives a few words if there is nothing.
    pub(crate) async fn get(&self, bytes_max: u64) -> Result<Vec<u8>, String> {
        let mut fields = Vec::new();
        if let Some(credential) = self.reach.variable(CREDENTIAL) {
            let value = HeaderValue::from_str(credential.expose());
            let mut value = value.map_err(|_| format!("{CREDENTIAL} is no header value"))?;
            value.set_sensitive(true);
            fields.push((header::AUTHORIZATION, value));
        }
        let connecting = self.reach.connect(&Target::of(&self.place));
        let ask = Ask {
            place: &self.place,
            fields: &fields,
            message: None,
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            patience: PATIENCE,
        };
        match mcpc_dataplane::ask(connecting, ask).await {
            Ok(Page { status: 200, body }) => Ok(body.into()),
            Ok(Page { status, .. }) if (300..400).contains(&status) => Err(format!(
                "the answer is {status}, and redirects are not followed"
            )),
            Ok(Page { status, .. }) => Err(format!("the answer is {status}")),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                Err(format!("no answer within {} s", PATIENCE.as_secs()))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// The same, for callers that may block.
    pub(crate) fn get_now(&self, bytes_max: u64) -> Result<Vec<u8>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let got = runtime.block_on(self.get(bytes_max));
        // A name that is still being looked up must not keep the gateway.
        runtime.shutdown_background();
        got
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
