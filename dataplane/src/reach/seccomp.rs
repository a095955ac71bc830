//! The filter of system calls of a process that locks itself in.
//!
//! Owns what rules for files do not reach, because the call names a process and no file. `sandbox` is the one
//! that applies it. See `docs/decisions/0053-limits-of-other-processes.md`.

use std::env::consts::ARCH;

use rustix::io::Errno;
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// The numbers of prlimit(2). On x86-64 it has another one for programs with addresses of 32 bits (x32).
#[cfg(target_arch = "x86_64")]
const PRLIMIT: &[i64] = &[302, 302 + (1 << 30)];
#[cfg(not(target_arch = "x86_64"))]
const PRLIMIT: &[i64] = &[261];

/// Refuses from now on to this process, and to all that it starts, to set limits of another process. The
/// system lets everyone do that to processes of the same user: with a limit of processor time, to end them.
/// A program for another architecture than this one, such as a 32-bit one, is killed at its first call,
/// since its calls have other numbers (SIGSYS).
///
/// # Errors
/// The system has no such filters, or this architecture is none that they are made for.
pub(super) fn leave_limits_of_others() -> Result<(), Error> {
    let rules = PRLIMIT
        .iter()
        .map(|number| Ok((*number, vec![sets_of_other()?])));
    let filter = SeccompFilter::new(
        rules.collect::<Result<_, BackendError>>()?,
        SeccompAction::Allow,
        SeccompAction::Errno(Errno::PERM.raw_os_error().unsigned_abs()),
        TargetArch::try_from(ARCH)?,
    )?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)
}

/// A call that is about another process than its own, which is 0, and has a new limit, not only a place for the
/// present one.
fn sets_of_other() -> Result<SeccompRule, BackendError> {
    let differs_from_zero =
        |argument, length| SeccompCondition::new(argument, length, SeccompCmpOp::Ne, 0);
    SeccompRule::new(vec![
        // The system takes 32 bits of a process id and all of an address.
        differs_from_zero(0, SeccompCmpArgLen::Dword)?,
        differs_from_zero(2, SeccompCmpArgLen::Qword)?,
    ])
}
