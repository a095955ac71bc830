//! The filter of system calls of a sandbox, met by programs that make one call each.
//!
//! They are machine code, since no other program passes the system a process id of 64 bits, or comes in by
//! the gates of 32-bit programs.

use std::os::unix::fs::PermissionsExt as _;

use mcpc_dataplane::Ended;

use super::{definition, empty_sandbox, runtime, start};

/// How 64-bit programs call the system (`syscall`), and how 32-bit ones do (`int 0x80`).
const WIDE: [u8; 2] = *b"\x0f\x05";
const NARROW: [u8; 2] = *b"\xcd\x80";

const PRLIMIT: u32 = 302;
const PRLIMIT_OF_NARROW: u32 = 340;
/// Set in the numbers of the ABI of 64-bit programs with addresses of 32 bits.
const X32: u32 = 1 << 30;

const DONE: Ended = Ended::Code(0);
/// What it ends with that met the filter (EPERM).
const REFUSED: Ended = Ended::Code(1);
/// What it ends with that met the system (EFAULT).
const LET_THROUGH: Ended = Ended::Code(14);
/// SIGSYS.
const KILLED: Ended = Ended::Signal(31);

/// Where the program lies in memory, and its code in the program: after the two headers.
const ADDRESS: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;

pub(crate) fn are_filtered_in_a_sandbox() {
    let other = u64::from(std::process::id());
    let high = 1 << 32;
    let cases = [
        (WIDE, PRLIMIT, other, 8, REFUSED),
        (WIDE, PRLIMIT, other, high, REFUSED),
        (WIDE, PRLIMIT | X32, other, 8, REFUSED),
        (NARROW, PRLIMIT_OF_NARROW, other, 8, KILLED),
        // A process id has 32 bits, whatever is passed.
        (WIDE, PRLIMIT, high | other, 8, REFUSED),
        (WIDE, PRLIMIT, high, 8, LET_THROUGH),
        // Its own limits, and a look at those of others.
        (WIDE, PRLIMIT, 0, 8, LET_THROUGH),
        (WIDE, PRLIMIT, other, 0, DONE),
    ];
    for (at, (gate, number, process, new, expected)) in cases.into_iter().enumerate() {
        let program = executable(&code(gate, number, process, new));
        assert_eq!(end_of(&program), expected, "case {at}");
    }
    println!("limits of other processes cannot be set in a sandbox ... ok");
}

fn end_of(program: &[u8]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls");
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut definition = definition(path.to_str().unwrap(), &[]);
    definition.sandbox = Some(empty_sandbox());
    runtime().block_on(async { start(&definition, &[]).unwrap().ended.await.unwrap() })
}

/// Sets the limit of core dumps, and ends with the number of the error. Where `new` is, no limit can be read,
/// so a call that gets to the system changes nothing.
fn code(gate: [u8; 2], number: u32, process: u64, new: u64) -> Vec<u8> {
    let (number, process, new) = (
        &number.to_le_bytes(),
        &process.to_le_bytes(),
        &new.to_le_bytes(),
    );
    [
        // mov eax, number
        &b"\xb8"[..],
        number,
        // mov rdi, process; mov rbx, process, where the narrow gate looks
        b"\x48\xbf",
        process,
        b"\x48\xbb",
        process,
        // mov esi, RLIMIT_CORE; mov ecx, RLIMIT_CORE, likewise
        b"\xbe\x04\0\0\0",
        b"\xb9\x04\0\0\0",
        // mov rdx, new; xor r10d, r10d
        b"\x48\xba",
        new,
        b"\x45\x31\xd2",
        &gate,
        // neg eax; mov edi, eax; mov eax, exit; syscall
        b"\xf7\xd8\x89\xc7\xb8\x3c\0\0\0",
        &WIDE,
    ]
    .concat()
}

/// The code as an ELF executable of one segment, which is the whole file.
fn executable(code: &[u8]) -> Vec<u8> {
    let size = &(HEADERS + code.len() as u64).to_le_bytes();
    let start = &(ADDRESS + HEADERS).to_le_bytes();
    let (address, none) = (&ADDRESS.to_le_bytes(), &[0; 8]);
    [
        // The file: an executable for x86-64, with one program header of 56 bytes after these 64.
        &b"\x7fELF\x02\x01\x01\0"[..],
        none,
        b"\x02\0\x3e\0\x01\0\0\0",
        start,
        &64_u64.to_le_bytes(),
        none,
        b"\0\0\0\0\x40\0\x38\0\x01\0\0\0\0\0\0\0",
        // The segment: from the beginning of the file, to be read and executed.
        b"\x01\0\0\0\x05\0\0\0",
        none,
        address,
        address,
        size,
        size,
        &0x1000_u64.to_le_bytes(),
        code,
    ]
    .concat()
}
