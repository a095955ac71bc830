//! The misbehaving server as a program: over stdio, or over HTTP at an address.
//!
//! `mcpc-faulty [--deaf] [--silent] [--family] [--old] [--alone]` speaks on its pipes;
//! `mcpc-faulty http ADDRESS` listens and says where; `mcpc-faulty linger` is what it leaves behind.

use std::io::Write;
use std::process::ExitCode;

use mcpc_faults::{Habits, HttpServer, linger, serve};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("linger") => linger(),
        Some("http") => {
            let address = arguments.get(1).and_then(|text| text.parse().ok());
            let started = address.and_then(|address| HttpServer::start(address).ok());
            let Some(server) = started else {
                return ExitCode::FAILURE;
            };
            let _told = writeln!(std::io::stdout(), "{}", server.address);
            loop {
                std::thread::park();
            }
        }
        _ => serve(Habits::of(&arguments)),
    }
    ExitCode::SUCCESS
}
