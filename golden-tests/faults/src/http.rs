//! The server over Streamable HTTP: a thread per connection, and bytes written by hand.
//!
//! Owns what each fault puts on the socket, and sessions that can be forgotten. Reads requests as far as
//! it must.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Value, json};

use crate::fault::{Fault, HUGE_BYTES};
use crate::healthy::{Asked, asked, given_up, healthy};
use crate::ledger::{Held, Ledger};
use crate::stdio::unasked;

/// A server that serves until the process ends.
pub struct HttpServer {
    /// Where it is.
    pub address: SocketAddr,
    open: Arc<AtomicUsize>,
    shared: Arc<Shared>,
}

/// What all connections of a server share.
#[derive(Default)]
struct Shared {
    ledger: Ledger,
    /// Sessions are numbered in the order in which they began.
    begun: AtomicUsize,
    /// Sessions up to this number are unknown.
    forgotten: AtomicUsize,
    /// Whether it refuses what asks it whether it is there.
    is_sick: AtomicBool,
    /// How often it was asked.
    asked: AtomicUsize,
    /// How many calls it got.
    called: AtomicUsize,
    /// Its connections, also those that have ended.
    sockets: Mutex<Vec<Weak<TcpStream>>>,
    /// How many tools are on each page of a list that never ends; none: it ends.
    per_page: AtomicUsize,
}

/// A request, as it came.
struct Incoming {
    /// The number of its session, if it has one.
    session: Option<usize>,
    body: Vec<u8>,
}

/// What becomes of a connection.
#[derive(PartialEq, Eq)]
enum After {
    Keep,
    Close,
}

/// How often something that never ends goes on.
const PACE: Duration = Duration::from_millis(20);

const JSON: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

impl HttpServer {
    /// Starts a server at an address; port 0 is any free one.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&open);
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (open, shared) = (Arc::clone(&counted), Arc::clone(&serving));
                open.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    // A client that leaves ends its connection, whatever was to be said.
                    let _left = connection(stream, &shared);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(Self {
            address,
            open,
            shared,
        })
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The sockets of the connections that are open.
    pub fn sockets(&self) -> Vec<Arc<TcpStream>> {
        let sockets = self.shared.sockets.lock();
        let sockets = sockets.unwrap_or_else(PoisonError::into_inner);
        sockets.iter().filter_map(Weak::upgrade).collect()
    }

    /// How often it was asked whether it is there.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// How many calls it got.
    pub fn called(&self) -> usize {
        self.shared.called.load(Ordering::SeqCst)
    }

    /// From now on its list of tools has pages of so many, and never ends.
    pub fn list_without_end(&self, per_page: usize) {
        self.shared.per_page.store(per_page, Ordering::SeqCst);
    }

    /// From now on it refuses what asks it whether it is there, and nothing else; or it does not.
    pub fn be_sick(&self, is_sick: bool) {
        self.shared.is_sick.store(is_sick, Ordering::SeqCst);
    }

    /// How many sessions have begun.
    pub fn sessions(&self) -> usize {
        self.shared.begun.load(Ordering::SeqCst)
    }

    /// Forgets all sessions: who comes with one is told 404.
    pub fn forget_sessions(&self) {
        let begun = self.sessions();
        self.shared.forgotten.store(begun, Ordering::SeqCst);
    }
}

impl Shared {
    /// The head of an answer that is the message, or nothing for a session that is forgotten.
    fn head(&self, session: Option<usize>, asked: &Asked) -> Option<String> {
        if asked.method == "initialize" {
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            return Some(format!("{JSON}Mcp-Session-Id: {number}\r\n"));
        }
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        let is_known = session.is_none_or(|number| number > forgotten);
        is_known.then(|| JSON.to_owned())
    }

    /// A page of a list of tools that never ends. Its cursor is the number of the next tool.
    fn page(&self, asked: &Asked) -> Option<Value> {
        let per_page = self.per_page.load(Ordering::SeqCst);
        if per_page == 0 || asked.method != "tools/list" {
            return None;
        }
        let first = asked.cursor.as_deref().unwrap_or("0").parse().unwrap_or(0);
        let next = first + per_page;
        let tool = |number: usize| json!({ "name": format!("tool_{number}"), "inputSchema": { "type": "object" } });
        let tools: Vec<Value> = (first..next).map(tool).collect();
        let result = json!({ "tools": tools, "nextCursor": next.to_string() });
        Some(json!({ "jsonrpc": "2.0", "id": asked.id, "result": result }))
    }

    /// Counts a request. Whether it is one that is refused now.
    fn refuses(&self, asked: &Asked) -> bool {
        let is_question = ["ping", "server/discover"].contains(&asked.method.as_str());
        let is_call = asked.method == "tools/call";
        self.asked
            .fetch_add(usize::from(is_question), Ordering::SeqCst);
        self.called
            .fetch_add(usize::from(is_call), Ordering::SeqCst);
        is_question && self.is_sick.load(Ordering::SeqCst)
    }
}

fn connection(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = Arc::new(stream.try_clone()?);
    let sockets = shared.sockets.lock();
    let mut sockets = sockets.unwrap_or_else(PoisonError::into_inner);
    sockets.push(Arc::downgrade(&socket));
    drop(sockets);
    let mut stream = BufReader::new(stream);
    while let Some(Incoming { session, body }) = request(&mut stream)? {
        if let Some(id) = given_up(&body) {
            shared.ledger.cancel(&id);
        }
        let after = match asked(&body) {
            None => whole(stream.get_mut(), "HTTP/1.1 202 Accepted\r\n", "")?,
            Some(asked) if shared.refuses(&asked) => {
                whole(stream.get_mut(), "HTTP/1.1 503 Service Unavailable\r\n", "")?
            }
            Some(asked) => match (shared.head(session, &asked), asked.fault) {
                (None, _) => whole(stream.get_mut(), "HTTP/1.1 404 Not Found\r\n", "")?,
                (Some(_), Some(fault)) => answer(&mut stream, &asked, fault, &shared.ledger)?,
                (Some(head), None) => {
                    let answer = shared.page(&asked);
                    let answer = answer.unwrap_or_else(|| healthy(&asked, &shared.ledger));
                    let answer = answer.to_string();
                    whole(stream.get_mut(), &head, &answer)?
                }
            },
        };
        if after == After::Close {
            break;
        }
    }
    Ok(())
}

/// The next request; nothing at the end of the connection.
fn request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Incoming>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let head = head.to_ascii_lowercase();
    let number = |name: &str| -> Option<usize> {
        let (_, value) = head.split_once(name)?;
        value.split('\r').next()?.parse().ok()
    };
    let mut body = vec![0; number("content-length: ").unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok(Some(Incoming {
        session: number("mcp-session-id: "),
        body,
    }))
}

/// The answer to a call that asks for a fault.
fn answer(
    stream: &mut BufReader<TcpStream>,
    asked: &Asked,
    fault: Fault,
    ledger: &Ledger,
) -> io::Result<After> {
    let answer = healthy(asked, ledger).to_string();
    let out = stream.get_mut();
    match fault {
        Fault::Garbage => return whole(out, JSON, "\u{0}{not json}"),
        Fault::WrongId => {
            let wrong = json!({ "jsonrpc": "2.0", "id": 987_654_321, "result": {} });
            return whole(out, JSON, &wrong.to_string());
        }
        Fault::Silence | Fault::Hang => await_departure(stream)?,
        Fault::Die => {}
        Fault::Huge | Fault::HugeChunks | Fault::HugeEvent | Fault::EndlessBody => {
            large(out, fault, &asked.id)?;
        }
        Fault::EndlessEvents | Fault::Firehose | Fault::Notices => endless_events(out, fault)?,
        Fault::CutBody | Fault::StalledBody => {
            write!(out, "{JSON}Content-Length: 1000\r\n\r\n{{\"jsonrpc\":")?;
            if fault == Fault::StalledBody {
                await_departure(stream)?;
            }
        }
        Fault::CutHead | Fault::StalledHead => {
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Ty")?;
            if fault == Fault::StalledHead {
                await_departure(stream)?;
            }
        }
        Fault::EndlessHead => endless_head(out)?,
        Fault::WrongType => {
            let html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n";
            return whole(out, html, "<h1>Welcome</h1>");
        }
        Fault::Held => {
            if hold(out, asked, ledger)? == Held::Released {
                return whole(out, JSON, &answer);
            }
        }
        Fault::Late => {
            std::thread::sleep(asked.pause());
            return whole(out, JSON, &answer);
        }
        Fault::Twice => {
            return twice(out, &answer);
        }
        Fault::Again => {
            whole(out, JSON, &answer)?;
            request(stream)?;
            whole(stream.get_mut(), JSON, &answer)?;
        }
        Fault::Unasked => {
            out.write_all(EVENTS.as_bytes())?;
            for message in unasked() {
                chunk(out, format!("data: {message}\n\n").as_bytes())?;
            }
            chunk(out, format!("data: {answer}\n\n").as_bytes())?;
            chunk(out, b"")?;
            return Ok(After::Keep);
        }
        Fault::Asks => ask(stream)?,
        Fault::Flood | Fault::Fork => return whole(out, JSON, &answer),
    }
    Ok(After::Close)
}

/// Asks on the stream of the call, and leaves it open.
fn ask(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    let out = stream.get_mut();
    out.write_all(EVENTS.as_bytes())?;
    let [question, ..] = unasked();
    chunk(out, format!("data: {question}\n\n").as_bytes())?;
    await_departure(stream)
}

/// A whole response with this body.
fn whole(out: &mut TcpStream, head: &str, body: &str) -> io::Result<After> {
    write!(out, "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
    Ok(After::Keep)
}

/// A whole response twice in one piece, so that the second is there as soon as the first can be read.
fn twice(out: &mut TcpStream, body: &str) -> io::Result<After> {
    let one = format!("{JSON}Content-Length: {}\r\n\r\n{body}", body.len());
    out.write_all(one.repeat(2).as_bytes())?;
    Ok(After::Keep)
}

fn chunk(out: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    write!(out, "{:x}\r\n", bytes.len())?;
    out.write_all(bytes)?;
    out.write_all(b"\r\n")
}

fn large(out: &mut TcpStream, fault: Fault, id: &Value) -> io::Result<()> {
    let filler = vec![b'x'; 1 << 20];
    let start = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"x\":\"");
    if fault == Fault::Huge {
        let length = start.len() + HUGE_BYTES + 3;
        write!(out, "{JSON}Content-Length: {length}\r\n\r\n{start}")?;
        for _ in 0..HUGE_BYTES / filler.len() {
            out.write_all(&filler)?;
        }
        return out.write_all(b"\"}}");
    }
    if fault == Fault::HugeEvent {
        out.write_all(EVENTS.as_bytes())?;
        chunk(out, b"data: ")?;
    } else {
        write!(out, "{JSON}Transfer-Encoding: chunked\r\n\r\n")?;
    }
    chunk(out, start.as_bytes())?;
    let mut left = HUGE_BYTES / filler.len();
    while left > 0 {
        chunk(out, &filler)?;
        left -= usize::from(fault != Fault::EndlessBody);
    }
    chunk(out, b"\"}}\n\n")?;
    chunk(out, b"")
}

fn endless_head(out: &mut TcpStream) -> io::Result<()> {
    out.write_all(b"HTTP/1.1 200 OK\r\n")?;
    loop {
        out.write_all(&b"X-More: of the same, again and again\r\n".repeat(100))?;
    }
}

fn endless_events(out: &mut TcpStream, fault: Fault) -> io::Result<()> {
    out.write_all(EVENTS.as_bytes())?;
    let log = json!({ "level": "info", "data": "still here" });
    let log = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": log });
    let notice = log.to_string().replace("still", &"x".repeat(1024));
    loop {
        match fault {
            Fault::Firehose => chunk(out, &b": nothing to see here\n\n".repeat(1000))?,
            Fault::Notices => chunk(out, format!("data: {notice}\n\n").as_bytes())?,
            _ => {
                chunk(out, format!("data: {log}\n\n").as_bytes())?;
                std::thread::sleep(PACE);
            }
        }
    }
}

/// Holds a call until it is released or given up. A client of 2026-07-28 gives it up by closing the
/// connection; the others say so, and may close whatever they mean.
fn hold(out: &mut TcpStream, asked: &Asked, ledger: &Ledger) -> io::Result<Held> {
    ledger.begin(asked);
    out.set_read_timeout(Some(PACE))?;
    let mut has_left = false;
    loop {
        match ledger.state(asked) {
            Held::Waits => {}
            Held::Released => {
                ledger.settle(asked);
                out.set_read_timeout(None)?;
                return Ok(Held::Released);
            }
            Held::Cancelled => return Ok(Held::Cancelled),
        }
        if has_left {
            std::thread::sleep(PACE);
            continue;
        }
        let seen = out.peek(&mut [0]);
        has_left = !seen.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        if has_left && asked.is_modern {
            ledger.cancel(&asked.id);
        }
    }
}

/// Waits until the client gives up.
fn await_departure(stream: &mut impl Read) -> io::Result<()> {
    io::copy(stream, &mut io::sink()).map(|_| ())
}
