//! The admin listener: probes, health and status for operators, on a thread of its own.
//!
//! Owns the thread and what its pages are. A heavy page cannot slow traffic, and traffic cannot
//! slow a probe. Where the documents come from is the caller's; what they look like is `status`'s.
//! Checks Host and Origin as the client listener does. Some pages take orders: from this machine only, and
//! never from a web page. What they do to plans (`order`) others carry out.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

use crate::body::Body;
use crate::correlation::Numbers;
use crate::descriptors::Purpose;
use crate::exposition::Form;
use crate::listener::{self, Bounds, Door, First};
use crate::order::{NotTaken, Orders, Verdict as Came, Wish};
use crate::origin::{self, Verdict};
use crate::reply::LocalReply;
use crate::server::fault::HeadBounds;
use crate::server::{Answers, Fault, Field, Head, Intake, Method, Response};
use crate::status::{Phase, Status};

/// Gives the picture of the moment.
pub(crate) type StatusSource = Arc<dyn Fn() -> Status + Send + Sync>;

/// Gives the metrics of the moment as a text.
pub(crate) type MetricsSource = Arc<dyn Fn(Form) -> String + Send + Sync>;

/// Takes the gateway out of service, without stopping it.
pub(crate) type Leave = Arc<dyn Fn() + Send + Sync>;

/// The running admin thread. Ends when it is dropped.
pub(crate) struct AdminThread {
    address: SocketAddr,
    stop: watch::Sender<Option<Duration>>,
    thread: Option<JoinHandle<()>>,
}

/// What operators see, and what they can ask for.
pub(crate) struct Desk {
    status: StatusSource,
    metrics: MetricsSource,
    leave: Leave,
    orders: Orders,
    numbers: Arc<Numbers>,
    /// Bound beyond loopback: probes come under the address of the machine or pod, which no plan knows.
    takes_addresses: bool,
    open: AtomicU32,
}

/// One operator at the desk.
#[derive(Clone)]
struct Visit {
    desk: Arc<Desk>,
    /// Whether the other end of the connection is on this machine, or in the same pod.
    is_near: bool,
}

/// Operators are few, and their requests small.
const BOUNDS: Bounds = Bounds {
    connections: 64,
    head: HeadBounds {
        bytes: 16 * 1024,
        fields: 64,
    },
    silence: Duration::from_secs(30),
};

/// How long the last answers may take when the thread ends.
const GRACE: Duration = Duration::from_millis(100);

impl AdminThread {
    /// Binds the address and starts the thread.
    ///
    /// # Errors
    /// The address cannot be bound, or the system gives no thread.
    pub(crate) fn start(address: SocketAddr, mut desk: Desk) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(None);
        let (bound, binding) = mpsc::sync_channel(1);
        desk.takes_addresses = !address.ip().is_loopback();
        let visit = Visit {
            desk: Arc::new(desk),
            is_near: false,
        };
        let mut builder = Builder::new_current_thread();
        let thread = std::thread::Builder::new()
            .name("mcpc-admin".into())
            .spawn(move || {
                let runtime = match builder.enable_all().build_local(LocalOptions::default()) {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(bound.send(Err(error))),
                };
                runtime.block_on(async move {
                    let listener = listener::bind(address, First::Yes);
                    match listener.and_then(|listener| Ok((listener.local_addr()?, listener))) {
                        Ok((address, listener)) => {
                            drop(bound.send(Ok(address)));
                            listener::run(listener, visit, stopped).await;
                        }
                        Err(error) => drop(bound.send(Err(error))),
                    }
                });
            })?;
        let ended = || Err(io::Error::other("the thread ended while it started"));
        let address = binding.recv().unwrap_or_else(|_| ended())?;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Where operators connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminThread {
    fn drop(&mut self) {
        self.stop.send_replace(Some(GRACE));
        if let Some(thread) = self.thread.take() {
            // If it panicked it has ended as well.
            let _ended = thread.join();
        }
    }
}

impl Door for Visit {
    fn bounds(&self) -> Bounds {
        BOUNDS
    }

    fn open(&self) -> &AtomicU32 {
        &self.desk.open
    }

    fn purpose(&self) -> Purpose {
        Purpose::Operators
    }

    /// Probes get through, however many connect and say nothing.
    fn is_always_open(&self) -> bool {
        true
    }

    fn facing(&self, peer: SocketAddr) -> Self {
        Self {
            desk: Arc::clone(&self.desk),
            is_near: peer.ip().to_canonical().is_loopback(),
        }
    }
}

impl Answers for Visit {
    fn answer(&self, head: &Head, _: Intake<'_>) -> impl Future<Output = Response> {
        let asked = self.asked(head);
        let desk = Arc::clone(&self.desk);
        async move {
            match asked {
                Asked::Page(page) => page,
                Asked::Order(wish) => desk.carried_out(wish).await,
            }
        }
    }

    fn refuse(&self, fault: Fault) -> Response {
        self.desk.refusal(&LocalReply::Framing(fault))
    }
}

/// What a request asks for.
enum Asked {
    /// A page, or a refusal.
    Page(Response),
    /// Something to be done.
    Order(Wish),
}

impl Visit {
    fn asked(&self, head: &Head) -> Asked {
        let order = match head.path() {
            "/reload" => Some(Wish::Reload),
            "/rollback" => Some(Wish::RollBack),
            "/leave" => None,
            _ => return Asked::Page(self.desk.page(head)),
        };
        match (self.may_order(head), order) {
            (Err(refusal), _) => Asked::Page(refusal),
            (Ok(()), Some(wish)) => Asked::Order(wish),
            (Ok(()), None) => Asked::Page(self.desk.left()),
        }
    }

    /// Whether a request comes from an operator on this machine, as far as can be told.
    fn may_order(&self, head: &Head) -> Result<(), Response> {
        let desk = &self.desk;
        desk.judged(head)?;
        if head.method() != Method::Post {
            let allow = "POST";
            return Err(desk
                .refusal(&LocalReply::MethodNotAllowed { allow })
                .with("allow", allow));
        }
        if !self.is_near {
            let message =
                "orders are taken only from the machine, or the pod, that the gateway runs in";
            return Err(desk.no_order(StatusCode::FORBIDDEN, message));
        }
        // Browsers say with each POST which page it comes from. The tools of operators come from none.
        let says_site = |name: &[u8]| name.eq_ignore_ascii_case(b"sec-fetch-site");
        let is_page =
            head.field(Field::Origin).is_some() || head.others().any(|(name, _)| says_site(name));
        if is_page {
            let message = "orders are not taken from web pages";
            return Err(desk.no_order(StatusCode::FORBIDDEN, message));
        }
        Ok(())
    }
}

impl Desk {
    /// What operators see, where their orders go, and how the gateway is taken out of service.
    pub(crate) fn new(
        status: StatusSource,
        leave: Leave,
        orders: Orders,
        numbers: Arc<Numbers>,
    ) -> Self {
        Self {
            status,
            metrics: Arc::new(|_| String::new()),
            leave,
            orders,
            numbers,
            takes_addresses: false,
            open: AtomicU32::new(0),
        }
    }

    /// The same with a metrics page that says something.
    pub(crate) fn with_metrics(self, metrics: MetricsSource) -> Self {
        Self { metrics, ..self }
    }

    /// Whether a request is for this gateway, and from no foreign page.
    fn judged(&self, head: &Head) -> Result<(), Response> {
        let knows = |host: origin::Host<'_>| {
            origin::is_known(host, &[]) || self.takes_addresses && host.is_address()
        };
        match origin::check_with(head, knows) {
            Verdict::Ok => Ok(()),
            Verdict::BadHost => Err(self.refusal(&LocalReply::BadHost)),
            Verdict::TwoHosts => Err(self.refusal(&LocalReply::TwoHosts)),
            Verdict::ForeignHost => Err(self.refusal(&LocalReply::ForeignHost)),
            Verdict::ForeignOrigin => Err(self.refusal(&LocalReply::ForeignOrigin)),
        }
    }

    fn page(&self, head: &Head) -> Response {
        if let Err(refusal) = self.judged(head) {
            return refusal;
        }
        let page = match head.path() {
            "/livez" => |_: &Self, _: &Head| livez(),
            "/readyz" => |desk: &Self, _: &Head| desk.readyz(),
            "/startupz" => |desk: &Self, _: &Head| desk.startupz(),
            "/health" => |desk: &Self, _: &Head| desk.health(),
            "/status" => |desk: &Self, _: &Head| desk.status(),
            "/metrics" => Self::metrics,
            _ => return self.refusal(&LocalReply::NoSuchPath),
        };
        if !matches!(head.method(), Method::Get | Method::Head) {
            let allow = "GET, HEAD";
            return self
                .refusal(&LocalReply::MethodNotAllowed { allow })
                .with("allow", allow);
        }
        page(self, head)
    }

    /// Clients can be sent here.
    fn readyz(&self) -> Response {
        let readiness = (self.status)().readiness();
        document(passes(readiness.ready), &readiness)
    }

    /// The first plan is live.
    fn startupz(&self) -> Response {
        let started = match (self.status)().phase {
            Phase::Starting => false,
            Phase::Serving | Phase::Leaving | Phase::Draining => true,
        };
        document(passes(started), &Started { started })
    }

    /// Clients shall be sent elsewhere from now on. Answers what `/readyz` says then.
    fn left(&self) -> Response {
        (self.leave)();
        document(StatusCode::OK, &(self.status)().readiness())
    }

    fn health(&self) -> Response {
        let health = (self.status)().health();
        document(passes(health.status.is_serving()), &health)
    }

    fn status(&self) -> Response {
        document(StatusCode::OK, &(self.status)())
    }

    fn metrics(&self, head: &Head) -> Response {
        let form = Form::of(head.field(Field::Accept));
        let text = Body::whole((self.metrics)(form));
        Response::text(form.content_type(), text).with("cache-control", "no-store")
    }

    /// What came of an order. It may take as long as a configuration takes to compile.
    async fn carried_out(&self, wish: Wish) -> Response {
        let outcome = match self.orders.clone().give(wish).await {
            Ok(outcome) => outcome,
            Err(not_taken) => {
                let message = match not_taken {
                    NotTaken::TooMany => {
                        "too many orders wait; try again when they are carried out"
                    }
                    NotTaken::Nobody => "the gateway starts or stops, and takes no order now",
                };
                return self.no_order(StatusCode::SERVICE_UNAVAILABLE, message);
            }
        };
        let status = match outcome.verdict {
            Came::Live | Came::Unchanged => StatusCode::OK,
            Came::Refused => StatusCode::CONFLICT,
        };
        document(status, &outcome)
    }

    fn refusal(&self, reply: &LocalReply) -> Response {
        let row = reply.row();
        let status = StatusCode::from_u16(row.legacy).unwrap_or(StatusCode::BAD_REQUEST);
        self.refused(status, row.code, row.text)
    }

    fn no_order(&self, status: StatusCode, message: &'static str) -> Response {
        self.refused(status, "MCPC9614", message)
    }

    fn refused(&self, status: StatusCode, code: &'static str, message: &'static str) -> Response {
        let correlation = format!("{:016x}", self.numbers.next());
        tracing::debug!(%correlation, code, "an operator's request refused: {message}");
        let refused = Refused {
            code,
            message,
            correlation,
        };
        document(status, &refused)
    }
}

/// The process runs and its admin thread answers. Asks nothing else, so that a gateway that
/// merely has trouble is not restarted.
fn livez() -> Response {
    document(StatusCode::OK, &Alive { alive: true })
}

#[derive(Serialize)]
struct Alive {
    alive: bool,
}

#[derive(Serialize)]
struct Started {
    started: bool,
}

#[derive(Serialize)]
struct Refused {
    code: &'static str,
    message: &'static str,
    correlation: String,
}

fn passes(probe: bool) -> StatusCode {
    if probe {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

fn document(status: StatusCode, content: &impl Serialize) -> Response {
    // None of these types can fail to become JSON: they hold no maps with keys that are not text.
    let Ok(mut text) = serde_json::to_vec_pretty(content) else {
        return Response::empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    text.push(b'\n');
    Response::json(status, Body::whole(text)).with("cache-control", "no-store")
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use serde_json::Value;

    use super::*;
    use crate::status::{UpstreamState, serving};

    fn desk(status: Status) -> Desk {
        let status = Arc::new(move || status.clone());
        let numbers = Arc::new(Numbers::new());
        Desk::new(status, Arc::new(|| {}), Orders::open().0, numbers)
    }

    fn visit(peer: &str) -> Visit {
        let visit = Visit {
            desk: Arc::new(desk(serving(&[]))),
            is_near: false,
        };
        visit.facing(SocketAddr::new(peer.parse().unwrap(), 40_000))
    }

    fn ask(request: &str, fields: &[(&'static str, &str)]) -> Head {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
        Head::with(request, &fields)
    }

    fn get(desk: &Desk, path: &str) -> (u16, Value) {
        let head = ask(&format!("GET {path}"), &[("host", "localhost:9090")]);
        read(desk.page(&head))
    }

    fn read(response: Response) -> (u16, Value) {
        let status = response.status().as_u16();
        let text = response.into_body().into_whole();
        (status, serde_json::from_slice(&text).unwrap())
    }

    #[test]
    fn a_serving_gateway_passes_every_probe_with_a_dead_upstream() {
        let desk = desk(serving(&[
            ("a", UpstreamState::Ready),
            ("b", UpstreamState::Down),
        ]));
        assert_eq!(get(&desk, "/livez").0, 200);
        assert_eq!(get(&desk, "/startupz?verbose").0, 200);
        let (status, ready) = get(&desk, "/readyz");
        assert_eq!(status, 200);
        assert_eq!(ready["upstreams"]["b"], "down");
        let (status, health) = get(&desk, "/health");
        assert_eq!(status, 200);
        assert_eq!(health["status"], "degraded");
        assert_eq!(health["components"]["upstreams"]["a"]["status"], "ok");
        assert_eq!(health["components"]["upstreams"]["b"]["state"], "down");
        let (status, page) = get(&desk, "/status");
        assert_eq!(status, 200);
        assert_eq!(page["live"]["since"], "2026-07-28T00:00:00.000Z");
        assert_eq!(page["refused"], Value::Null);
        assert_eq!(
            page["endpoints"][0]["servers"],
            serde_json::json!(["a", "b"])
        );
    }

    #[test]
    fn probes_follow_the_life_of_the_gateway() {
        for (phase, ready, started) in [
            (Phase::Starting, 503, 503),
            (Phase::Serving, 200, 200),
            (Phase::Leaving, 503, 200),
            (Phase::Draining, 503, 200),
        ] {
            let mut status = serving(&[]);
            status.phase = phase;
            let desk = desk(status);
            assert_eq!(get(&desk, "/livez").0, 200);
            assert_eq!(get(&desk, "/readyz").0, ready);
            let is_well = if phase == Phase::Leaving { 200 } else { ready };
            assert_eq!(get(&desk, "/health").0, is_well);
            assert_eq!(get(&desk, "/startupz").0, started);
            assert_eq!(get(&desk, "/status").0, 200);
        }
    }

    #[test]
    fn only_reading_known_pages_is_possible() {
        let desk = desk(serving(&[]));
        for path in ["/", "/mcp", "/status/", "/Status", "/livez%00"] {
            assert_eq!(get(&desk, path).0, 404, "{path}");
        }
        let page = |method: &str| {
            let head = ask(&format!("{method} /status"), &[("host", "[::1]")]);
            desk.page(&head)
        };
        assert_eq!(page("HEAD").status(), 200);
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let response = page(method);
            assert_eq!(response.status(), 405);
            assert_eq!(response.extra("allow").unwrap(), "GET, HEAD");
        }
    }

    #[test]
    fn foreign_pages_read_nothing() {
        let mut desk = desk(serving(&[]));
        let page = |desk: &Desk, fields: &[_]| read(desk.page(&ask("GET /status", fields))).0;
        for (name, status) in [("evil.test", 403), ("10.0.0.7:9090", 403), ("a/b", 400)] {
            assert_eq!(page(&desk, &[("host", name)]), status);
        }
        let foreign = [("host", "localhost"), ("origin", "http://evil.test")];
        assert_eq!(page(&desk, &foreign), 403);
        // Bound beyond loopback, an address is accepted: it cannot be rebound. A name still is not.
        desk.takes_addresses = true;
        for (name, status) in [
            ("10.0.0.7:9090", 200),
            ("[fd00::7]", 200),
            ("pod.test", 403),
        ] {
            assert_eq!(page(&desk, &[("host", name)]), status, "{name}");
        }
    }

    #[test]
    fn orders_come_from_this_machine_and_from_no_web_page() {
        let own = ("host", "127.0.0.1:9090");
        let status = |from: &Visit, method: &str, fields: &[_]| match from
            .asked(&ask(&format!("{method} /rollback"), fields))
        {
            Asked::Order(wish) => {
                assert_eq!(wish, Wish::RollBack);
                200
            }
            Asked::Page(refusal) => refusal.status().as_u16(),
        };
        let near = visit("127.0.0.1");
        assert_eq!(status(&near, "POST", &[own]), 200);
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            assert_eq!(status(&near, method, &[own]), 405, "{method}");
        }
        assert_eq!(status(&near, "POST", &[("host", "evil.test")]), 403);
        for field in [
            ("origin", "http://evil.test"),
            // A page that another program of this machine serves is no operator, either.
            ("origin", "http://localhost:3000"),
            ("origin", "null"),
            ("Sec-Fetch-Site", "same-origin"),
        ] {
            assert_eq!(status(&near, "POST", &[own, field]), 403, "{field:?}");
        }
        for (peer, answer) in [
            ("::1", 200),
            ("::ffff:127.0.0.1", 200),
            ("10.0.0.7", 403),
            ("::ffff:10.0.0.7", 403),
        ] {
            assert_eq!(status(&visit(peer), "POST", &[own]), answer, "{peer}");
        }
    }

    #[test]
    fn leaving_is_an_order_like_the_others() {
        let head = |method: &str| ask(&format!("{method} /leave"), &[("host", "localhost")]);
        for (peer, method, answer) in [
            ("127.0.0.1", "POST", 200),
            ("127.0.0.1", "GET", 405),
            ("10.0.0.7", "POST", 403),
        ] {
            let status = match visit(peer).asked(&head(method)) {
                Asked::Page(page) => Some(page.status().as_u16()),
                Asked::Order(_) => None,
            };
            assert_eq!(status, Some(answer), "{peer} {method}");
        }
    }

    #[tokio::test]
    async fn an_order_is_answered_with_what_came_of_it() {
        let (orders, mut taking) = Orders::open();
        let mut desk = desk(serving(&[]));
        desk.orders = orders;
        let live = mcpc_plan::Digest::of(b"live");
        let operates = async {
            for verdict in [Came::Unchanged, Came::Refused] {
                let order = taking.recv().await.unwrap();
                assert_eq!(order.wish(), Wish::Reload);
                order.answer(crate::Outcome {
                    verdict,
                    live: live.clone(),
                    refused: None,
                    tried_again: Vec::new(),
                });
            }
        };
        let asks = async {
            for status in [200, 409] {
                let reply = read(desk.carried_out(Wish::Reload).await);
                assert_eq!(reply.0, status);
                assert_eq!(reply.1["live"], live.as_str());
            }
        };
        tokio::join!(operates, asks);
        drop(taking);
        let nobody = read(desk.carried_out(Wish::Reload).await);
        assert_eq!((nobody.0, &nobody.1["code"]), (503, &"MCPC9614".into()));
    }

    #[tokio::test]
    async fn one_order_too_many_is_told_so() {
        let (orders, _nobody_takes) = Orders::open();
        let mut desk = desk(serving(&[]));
        desk.orders = orders.clone();
        for _ in 0..8 {
            tokio::spawn(orders.clone().give(Wish::Reload));
        }
        tokio::task::yield_now().await;
        let (status, refusal) = read(desk.carried_out(Wish::Reload).await);
        assert_eq!((status, &refusal["code"]), (503, &"MCPC9614".into()));
        let message = refusal["message"].as_str().unwrap();
        assert!(message.contains("too many orders wait"), "{message}");
    }

    #[test]
    fn it_answers_over_a_socket_until_it_is_dropped() {
        let status: StatusSource = Arc::new(|| serving(&[]));
        let numbers = Arc::new(Numbers::new());
        let start = |address| {
            let (status, numbers) = (Arc::clone(&status), Arc::clone(&numbers));
            let desk = Desk::new(status, Arc::new(|| {}), Orders::open().0, numbers);
            AdminThread::start(address, desk)
        };
        let admin = start("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = admin.address();
        let taken = start(address);
        assert_eq!(taken.err().unwrap().kind(), io::ErrorKind::AddrInUse);
        let ask = |request: &str| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        };
        let get = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let reply = ask(get);
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert!(reply.contains("\"ready\": true"), "{reply}");
        let head = ask(&get.replace("GET", "HEAD"));
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
        assert!(ask("GET /readyz HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
        drop(admin);
        assert!(TcpStream::connect(address).is_err());
    }
}
